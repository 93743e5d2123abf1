"""Response URLs: what an app may say for half an hour after a click or a command, five times."""

import secrets
from dataclasses import dataclass

from aiohttp import web

from simulator.slack import chat
from simulator.slack.calls import Args, Refused
from simulator.slack.workspace import Json, Message, Workspace

USES = 5
LIFE_SECONDS = 1800.0


@dataclass(slots=True)
class Hook:
    """One response URL."""

    channel: str
    user: str
    made_at: float
    message: Message | None
    """What was clicked on; a command has none."""
    used: int = 0


class Hooks:
    """All response URLs there are."""

    def __init__(self, workspace: Workspace) -> None:
        self.base = ""
        self._workspace = workspace
        self._hooks: dict[str, Hook] = {}

    def new(self, channel: str, user: str, message: Message | None = None) -> str:
        """A fresh URL."""
        path = f"/hooks/{self._workspace.team_id}/{secrets.token_hex(12)}"
        self._hooks[path] = Hook(channel, user, self._workspace.clock(), message)
        return self.base + path

    def handle(self, path: str, said: Args) -> web.Response:
        """A POST to one of them."""
        hook = self._hooks.get(path)
        if hook is None or self._workspace.clock() - hook.made_at > LIFE_SECONDS:
            return _refused("expired_url", 404)
        if hook.used >= USES:
            return _refused("used_url", 404)
        try:
            self.respond(hook, said)
        except Refused as refused:
            return _refused(refused.error, 400)
        hook.used += 1
        return web.Response(text="ok")

    def respond(self, hook: Hook, said: Args) -> None:
        """Do what was said; raises Refused."""
        original = hook.message
        if original and said.flag("delete_original"):
            self._workspace.remove(original)
        elif original and said.flag("replace_original"):
            chat.replace_content(self._workspace, original, said)
        else:
            self._put(hook, said)

    def command_answer(self, channel: str, user: str, payload: Json) -> None:
        """What a command's ack carries is shown like the first use of its response URL."""
        said = Args(payload)
        if said.get("text") or said.get("blocks"):
            self._put(Hook(channel, user, self._workspace.clock(), None), said)

    def _put(self, hook: Hook, said: Args) -> None:
        text, blocks = chat.content(said)
        public = said.text("response_type") == "in_channel"
        message = Message(
            hook.channel,
            self._workspace.new_ts(),
            self._workspace.bot.id,
            text,
            blocks or [],
            thread_ts=said.text("thread_ts") or None,
            only_for=None if public else hook.user,
        )
        self._workspace.put(message)


def _refused(error: str, status: int) -> web.Response:
    return web.json_response({"ok": False, "error": error}, status=status)
