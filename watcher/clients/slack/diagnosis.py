"""What an error of Slack's, or on the way to Slack, means, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from slack_sdk.errors import SlackApiError

from watcher.findings import Finding, Level
from watcher.ports import OutsideError, Transient

MOST_CONNECTIONS = 10
"""Slack's limit for the connections of one app."""
REINSTALL = "add it in the app at OAuth & Permissions, reinstall the app, and put the new token"
ADDRESS = "check slack.api_url: https://slack.com/api/, or https://slack-gov.com/api/ for GovSlack"
STATUS = "see https://slack-status.com, and try again"
TROUBLE = "Slack has trouble of its own"
NEXT: Mapping[str, tuple[str, str]] = {
    "invalid_auth": (
        "Slack does not know the token",
        "copy it again, whole; a token of GovSlack needs slack.api_url https://slack-gov.com/api/",
    ),
    "not_authed": ("no token arrived", "look for a proxy that takes the Authorization header out"),
    "token_revoked": ("the token was revoked", "reinstall the app, and put the new token"),
    "token_expired": (
        "the app has token rotation on, and that cannot be switched off again",
        "make a new app from config/slack-app.yaml",
    ),
    "account_inactive": ("the app was removed", "install the app again, and put the new token"),
    "missing_scope": ("the token lacks a scope", REINSTALL),
    "not_allowed_token_type": (
        "it is the other kind of token",
        "put xoxb-… into bot_token_file, and xapp-… into app_token_file",
    ),
    "channel_not_found": (
        "there is no such channel in this workspace, or it is private and the app is not in it",
        "check the id (C…, at the end of what the channel's name opens), and invite the app there",
    ),
    "not_in_channel": ("the app is not in the channel", "type there: /invite @relayer"),
    "is_archived": ("the channel is archived", "unarchive it, or name another one"),
    "restricted_action": (
        "a rule of the workspace forbids it",
        "let an administrator allow the app to post there, or name another channel",
    ),
    "no_such_subteam": (
        "there is no such user group, or it is disabled",
        "check the id (S…, at the end of the group's link), and enable the group",
    ),
    "plan_upgrade_required": (
        "the workspace's plan has no user groups",
        "name people (slack:U…) as approvers",
    ),
    "accesslimited": (
        "the workspace takes no calls from this network",
        "let an administrator allow this machine's address",
    ),
    "link_disabled": (
        "Socket Mode is switched off in the app",
        "switch it on at Settings, Socket Mode",
    ),
    "too_many_websockets": (
        f"the app has {MOST_CONNECTIONS} connections, the most there can be",
        "stop what else uses its app token",
    ),
    "ratelimited": ("Slack asks for a pause", "try again in a minute"),
    "internal_error": (TROUBLE, STATUS),
    "fatal_error": (TROUBLE, STATUS),
    "service_unavailable": (TROUBLE, STATUS),
}
"""Slack's word for an error → what it means, and what to do. docs/slack.md lists the same."""
PASSING = frozenset({"ratelimited", "internal_error", "fatal_error", "service_unavailable"})
"""Those that pass without anybody mending anything."""


@dataclass(frozen=True, slots=True)
class Meaning:
    why: str
    then: str
    passing: bool


def failed(what: str, error: OutsideError, about: str = "", *, after: str = "") -> Finding:
    """Return the finding of an error; `about` says of what, `after` what else follows."""
    meant = meaning(error)
    said = f"{meant.why}{about and f' ({about})'}; {meant.then}{after and f'; {after}'}"
    return Finding(Level.FAILED, what, said, meant.passing)


def meaning(error: OutsideError) -> Meaning:
    """Return what an error means, what to do, and whether it may pass by itself."""
    answer = answer_of(error)
    if answer is not None:
        return _of_answer(answer)
    cause = error.__cause__
    if isinstance(cause, AttributeError):
        return Meaning(str(error), ADDRESS, False)
    if isinstance(cause, aiohttp.ClientError | OSError):
        return _of_network(cause)
    why, _, then = str(error).partition("; ")
    return Meaning(why, then or "try again", isinstance(error, Transient))


def of_word(word: str, *, needed: str = "") -> Meaning:
    """Return what one of Slack's words means."""
    if word not in NEXT:
        return Meaning(
            f"Slack says {word[:80]}", "look the word up at https://docs.slack.dev", False
        )
    why, then = NEXT[word]
    if needed == "connections:write":
        then = "generate an app-level token with it, at Basic Information"
    more = f" ({needed[:80]})" if needed else ""
    return Meaning(f"{word}: {why}{more}", then, word in PASSING)


def answer_of(error: BaseException) -> object | None:
    """Return Slack's answer that an error came from; None if there was none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SlackApiError):
        cause = cause.__cause__
    return cause and (cause.response or object())


def _of_answer(answer: object) -> Meaning:
    data, status = getattr(answer, "data", None), getattr(answer, "status_code", 0)
    said = data if isinstance(data, dict) else {}
    word = "ratelimited" if status == 429 else str(said.get("error", ""))
    if word:
        return of_word(word, needed=str(said.get("needed") or ""))
    if status >= 500:
        return Meaning(f"{TROUBLE} (status {status})", STATUS, True)
    return Meaning(f"what answers is not Slack's API (status {status or '?'})", ADDRESS, False)


def _of_network(error: aiohttp.ClientError | OSError) -> Meaning:
    """Without any address as the library tells it: it may hold a password or a ticket."""
    proxy = "the proxy that HTTPS_PROXY or HTTP_PROXY names"
    match error:
        case aiohttp.ClientProxyConnectionError():
            return Meaning(f"{proxy} does not answer", "correct the variable, or the proxy", True)
        case aiohttp.ClientHttpProxyError():
            then = "let it pass Slack; a login belongs into the variable"
            return Meaning(f"{proxy} refuses with status {error.status}", then, False)
        case aiohttp.ClientConnectorCertificateError():
            then = "where a proxy looks into TLS, name its CA in SSL_CERT_FILE"
            return Meaning(f"the certificate of {error.host} is not trusted here", then, False)
        case aiohttp.ClientConnectorDNSError():
            return Meaning(f"no address is known for {error.host}", f"{ADDRESS}; check DNS", True)
        case aiohttp.ClientConnectorError():
            why = f"no connection to {error.host}:{error.port}"
            return Meaning(
                why, f"open the way out, or name a proxy in HTTPS_PROXY; {ADDRESS}", True
            )
        case TimeoutError():
            return Meaning("no answer in time", f"check proxies and firewalls; {STATUS}", True)
        case _:
            return Meaning(f"the connection broke ({type(error).__name__})", STATUS, True)
