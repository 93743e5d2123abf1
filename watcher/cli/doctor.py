"""`relayer doctor`: is what the configuration names set up outside, each thing in a sentence.

Needs neither a running service nor its store, and changes nothing.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from watcher.bootstrap.clients import secret_of
from watcher.cli import output
from watcher.cli.exits import Code
from watcher.cli.output import Format, say
from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.checks import Checks, asks
from watcher.clock import SystemClock
from watcher.core.approval import CHAT, GROUP, PERSON
from watcher.findings import Finding, Level
from watcher.ports import Refused
from watcher.settings import Settings

WIDTH = 20
KINDS = {
    "xoxb-": "a bot token (xoxb-…)",
    "xapp-": "an app token (xapp-…)",
    "xoxp-": "a user token (xoxp-…)",
    "xoxe.": "a token that is rotated (xoxe.…)",
    "xoxe-": "a refresh token (xoxe-…)",
}
"""How Slack's tokens begin."""


@dataclass(frozen=True, slots=True)
class _Secret:
    what: str
    file: Path | None
    variable: str
    kind: str = ""
    """How it must begin; empty: a signing secret, which has no beginning of its own."""
    page: str = ""
    """Where in the app it is found."""

    @property
    def where(self) -> str:
        return str(self.file) if self.file is not None else f"${self.variable}"


async def slack(settings: Settings, *, post: bool, form: Format) -> Code:
    """Check everything about Slack; none of it stops the rest."""
    async with AsyncExitStack() as stack:
        found = await printed(_found(settings, post, stack), form)
    return ended(found, form, usable=settings.slack.is_on)


async def printed(
    findings: AsyncIterator[Finding], form: Format, *, width: int = WIDTH
) -> list[Finding]:
    """Print each line as it comes, unless all shall be one JSON document; return them."""
    found = []
    async for one in findings:
        found.append(one)
        if not form.is_data:
            say(f"{one.level:<8} {one.what:<{width}} — {one.said}")
            sys.stdout.flush()
    return found


def ended(found: list[Finding], form: Format, *, usable: bool = True) -> Code:
    """Return the code of what was found, and print the JSON document if that is wanted."""
    code = _code(found, usable=usable)
    if form.is_data:
        rows = [
            {"level": str(f.level), "what": output.clean(f.what), "said": output.clean(f.said)}
            for f in found
        ]
        output.data({"ok": code is Code.OK, "checks": rows}, form)
    return code


async def unusable(why: str, form: Format) -> Code:
    """Say that the configuration has nothing to look at."""

    async def only() -> AsyncIterator[Finding]:
        yield Finding(Level.FAILED, "configuration", why)

    return ended(await printed(only(), form), form, usable=False)


def _code(found: list[Finding], *, usable: bool) -> Code:
    failed = [one for one in found if one.level is Level.FAILED]
    if not failed:
        return Code.OK
    if not usable:
        return Code.USAGE
    return Code.UNREACHABLE if all(one.passing for one in failed) else Code.REFUSED


async def _found(settings: Settings, post: bool, stack: AsyncExitStack) -> AsyncIterator[Finding]:
    said = settings.slack
    if not said.is_on:
        why = "there is no slack with a bot token in it; docs/slack.md says how to begin"
        yield Finding(Level.FAILED, "configuration", why)
        return
    ids = f"mode {said.mode}, team {said.team}, app {said.app}, channel {said.channel}"
    yield Finding(Level.OK, "configuration", ids)
    opened: dict[str, SlackApi] = {}
    hidden: list[str] = []
    for secret in _secrets(settings):
        finding, read = _readable(secret)
        yield finding
        if read is not None:
            hidden.append(read())
        if read is not None and secret.kind:
            api = SlackApi.opened(read, api_url=said.api_url)
            opened[secret.what] = await stack.enter_async_context(api)
    for finding in _of_people(settings):
        yield finding
    checks = Checks(
        settings=settings,
        clock=SystemClock(),
        bot=opened.get("bot token"),
        app=opened.get("app token"),
    )
    async for finding in checks.run(post=post):
        yield _without(hidden, finding)


def _without(secrets: list[str], finding: Finding) -> Finding:
    """Whatever comes from outside is printed, but no secret."""
    said = finding.said
    for secret in secrets:
        said = said.replace(secret, "…")
    return Finding(finding.level, finding.what, said, finding.passing)


# --- secrets -------------------------------------------------------------------------------------


def _secrets(settings: Settings) -> Iterator[_Secret]:
    said = settings.slack
    page = "Install App"
    yield _Secret("bot token", said.bot_token_file, said.bot_token_env, "xoxb-", page)
    page = "Basic Information"
    if said.mode == "socket":
        yield _Secret("app token", said.app_token_file, said.app_token_env, "xapp-", page)
    if said.mode == "http":
        file, variable = said.signing_secret_file, said.signing_secret_env
        yield _Secret("signing secret", file, variable, page=page)


def _readable(secret: _Secret) -> tuple[Finding, Callable[[], str] | None]:
    """Return what is found, and what reads the secret if it could be one."""
    try:
        read = secret_of(secret.file, secret.variable, "slack")
        begins = read()[:5]
    except Refused as error:
        why = f"{str(error).removeprefix('slack: ')}; put it there"
        return Finding(Level.FAILED, secret.what, why), None
    right = begins == secret.kind if secret.kind else begins not in KINDS
    if right:
        return Finding(Level.OK, secret.what, f"{secret.where} can be read"), read
    if secret.kind == "xoxb-" and begins == "xoxe.":
        why = f"{secret.where}: the app has token rotation on, so it ends after 12 h, and Relayer "
        why += "renews none; make a new app from config/slack-app.yaml"
        return Finding(Level.WARNING, secret.what, why), read
    holds = KINDS.get(begins, "something else")
    wanted = KINDS.get(secret.kind, "the signing secret")
    why = f"{secret.where} holds {holds}; put {wanted} there, from the app's page {secret.page}"
    if {begins, secret.kind} == {"xoxb-", "xapp-"}:
        why += "; are the two exchanged?"
    return Finding(Level.FAILED, secret.what, why), None


# --- people --------------------------------------------------------------------------------------


def _of_people(settings: Settings) -> Iterator[Finding]:
    if settings.slack.mode == "none":
        return
    for pool in settings.pools:
        if asks(pool) and not any(
            _from_slack(settings, approver) for approver in pool.policy.approval.approvers
        ):
            place = f"{pool.cluster}/{pool.pool}"
            why = f"nobody can approve {place} from Slack; name slack:U… or slack-group:S… in "
            why += "its policy.approval.approvers"
            yield Finding(Level.WARNING, "approvers", why)
    named = {a for pool in settings.pools for a in pool.policy.approval.approvers}
    named |= {identity for person in settings.people for identity in person.identities}
    if people := sorted(one for one in named if one.startswith(CHAT)):
        why = f"whether there is {_shortened(people)} only the scope users:read could tell, which "
        why += "is not asked for; compare with Copy member ID in the menu of their profiles"
        yield Finding(Level.SKIPPED, "people", why)


def _from_slack(settings: Settings, approver: str) -> bool:
    theirs = (p.identities for p in settings.people if PERSON + p.name == approver)
    return any(one.startswith((CHAT, GROUP)) for one in (approver, *next(theirs, ())))


def _shortened(names: list[str], most: int = 3) -> str:
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
