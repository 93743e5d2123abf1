"""How a method of the Web API is called: its arguments, its refusals, the table of all methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from simulator.slack.workspace import Channel, Json, Workspace


class Refused(Exception):
    """Slack's `ok: false`, with its word for the reason."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more

    def answer(self) -> Json:
        return {"ok": False, "error": self.error, **self.more}


class Args(dict[str, Any]):
    """Arguments as they came: typed ones from JSON bodies, strings from forms and queries."""

    def text(self, name: str) -> str:
        value = self.get(name)
        return "" if value is None else str(value)

    def flag(self, name: str) -> bool:
        return str(self.get(name, "")).lower() in {"1", "true"}

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.get(name) or default)
        except (TypeError, ValueError):
            raise Refused("invalid_arguments") from None

    def structure(self, name: str, *, wrong: str) -> Any:
        """A list or object: itself in a JSON body, written as JSON in a form."""
        value = self.get(name)
        if not isinstance(value, str):
            return value
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise Refused(wrong) from None


Act = Callable[[Workspace, Args], Json]


@dataclass(frozen=True, slots=True)
class Method:
    """What one method does and who may call it."""

    act: Act
    scope: str | None = None
    token: str = "xoxb"  # noqa: S105 - a kind of token
    """How the only kind of token that may call it begins; empty for any."""


METHODS: dict[str, Method] = {}


def method(name: str, *, scope: str | None = None, token: str = "xoxb") -> Callable[[Act], Act]:  # noqa: S107
    """Puts a function into the table of methods."""

    def put(act: Act) -> Act:
        METHODS[name] = Method(act, scope, token)
        return act

    return put


def granted(workspace: Workspace, called: Method, token: str | None) -> None:
    """Raises Refused if this token may not call this method."""
    if not token:
        raise Refused("not_authed")
    if token in workspace.revoked:
        raise Refused("token_revoked")
    if token not in {workspace.bot_token, workspace.app_token}:
        raise Refused("invalid_auth")
    if not token.startswith(called.token):
        raise Refused("not_allowed_token_type")
    if called.scope:
        needs(workspace, called.scope)


def needs(workspace: Workspace, scope: str) -> None:
    """Raises Refused if the app was not granted this."""
    if scope not in workspace.scopes:
        raise Refused("missing_scope", needed=scope, provided=",".join(workspace.scopes))


def channel_of(workspace: Workspace, args: Mapping[str, Any], *, inside: bool = True) -> Channel:
    """The channel an argument names by its id; raises Refused.

    A private channel without the bot is not there at all.
    """
    channel = workspace.channels.get(str(args.get("channel") or ""))
    member = channel is not None and workspace.bot.id in channel.members
    if channel is None or (channel.private and not member):
        raise Refused("channel_not_found")
    if inside and not member:
        raise Refused("not_in_channel")
    return channel
