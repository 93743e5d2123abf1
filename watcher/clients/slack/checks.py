"""Is Slack set up as the configuration says? One question each, answered in a sentence.

Asked through the service's own calls, so that what goes well here goes well there. Nothing is
remembered, and only the trial of posting writes anything, which it takes away again.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.diagnosis import (
    MOST_CONNECTIONS,
    NEXT,
    REINSTALL,
    answer_of,
    failed,
    of_word,
)
from watcher.clients.slack.scopes import SCOPES
from watcher.clients.slack.sink import PREFIX, SlackSink
from watcher.clients.slack.trial import Trial
from watcher.core.approval import CHAT, GROUP, PERSON
from watcher.core.changes import Change, Mode
from watcher.findings import Finding, Level
from watcher.ports import Clock, OutsideError, Transient
from watcher.settings import PoolSettings, Settings

HELLO_SECONDS = 5.0
"""Slack greets within a second; a proxy may be in between."""
MOST_HELLO_BYTES = 64 * 1024
SKEW_SECONDS = 60
"""A request older than 5 min is refused in mode http; a clock that drifts gets there."""
BOT, APP = "bot token", "app token"


@dataclass(slots=True, kw_only=True)
class Checks:
    """All questions to one workspace."""

    settings: Settings
    clock: Clock
    bot: SlackApi | None
    """None: there is no bot token that could be used."""
    app: SlackApi | None = None
    """With the app token. None: there is none that could be used, or the mode needs none."""
    hello_seconds: float = HELLO_SECONDS
    _me: Mapping[str, Any] = field(init=False, default_factory=dict)
    """Slack's answer to who we are; empty: the bot token opens nothing."""
    _unreachable: bool = field(init=False, default=False)
    _apps: dict[str, str] = field(init=False, default_factory=dict)
    """Which token → the app it is of, as far as anything told."""
    _members: dict[str, frozenset[str]] = field(init=False, default_factory=dict)

    async def run(self, *, post: bool = False) -> AsyncIterator[Finding]:
        """Yield what each check finds. What Slack refuses is a finding; nothing of it is raised."""
        for check in (self._identity, self._places, self._groups, self._listening):
            for found in await check():
                yield found
        for found in await self._trial() if post else ():
            yield found
        if not post:
            yield Finding(Level.SKIPPED, "posting", "--post tries it with a message")
        yield self._app_id()

    # --- who we are ---------------------------------------------------------------------------

    async def _identity(self) -> list[Finding]:
        without = Finding(Level.SKIPPED, "scopes, channels, groups", "no bot token that works")
        if self.bot is None:
            return [without]
        try:
            me, headers = await self.bot.call_with_headers("auth.test")
        except OutsideError as error:
            self._unreachable = answer_of(error) is None
            return [failed("bot", error), without]
        self._me = me
        self._apps[BOT] = str(me.get("app_id", ""))
        said = {name.lower(): str(value) for name, value in headers.items()}
        return [*self._workspace(me), self._clock(said.get("date", "")), *self._scopes(said)]

    def _workspace(self, me: Mapping[str, Any]) -> list[Finding]:
        who, team = f"{me.get('user')} ({me.get('user_id')})", str(me.get("team_id", ""))
        found = Finding(Level.OK, "bot", f"the bot token works; it is {who}")
        if not me.get("bot_id"):
            why = f"the token is that of a person, {who}; put the bot token (xoxb-…)"
            found = Finding(Level.FAILED, "bot", why)
        named = self.settings.slack.team
        if team == named:
            return [found, Finding(Level.OK, "team", f"{team}, {me.get('team')}")]
        why = f"the token is of workspace {team} ({me.get('team')}), and slack.team is {named}"
        why += ", so every click would be refused; correct the one that is wrong"
        return [found, Finding(Level.FAILED, "team", why)]

    def _clock(self, date: str) -> Finding:
        try:
            skew = (self.clock.now() - parsedate_to_datetime(date)).total_seconds()
        except (TypeError, ValueError):
            return Finding(Level.SKIPPED, "clock", "Slack's answer says no time")
        if abs(skew) <= SKEW_SECONDS:
            return Finding(Level.OK, "clock", "less than a minute from Slack's")
        why = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Slack's; synchronise it: "
        why += "in mode http what is 300 s off is refused"
        return Finding(Level.WARNING, "clock", why)

    def _scopes(self, headers: Mapping[str, str]) -> list[Finding]:
        if "x-oauth-scopes" not in headers:
            return [Finding(Level.SKIPPED, "scopes", "Slack's answer does not list them")]
        granted = {scope.strip() for scope in headers["x-oauth-scopes"].split(",")} - {""}
        found = [self._without(scope) for scope in SCOPES if scope not in granted]
        if not found:
            found = [Finding(Level.OK, "scopes", f"all {len(SCOPES)} are granted")]
        if surplus := sorted(granted - set(SCOPES)):
            why = f"{', '.join(surplus)}: granted and never used; remove what is not needed"
            found.append(Finding(Level.WARNING, "scopes", why))
        return found

    def _without(self, scope: str) -> Finding:
        unused = ""
        if scope.startswith("groups:"):
            unused = "only private channels need it"
        elif scope == "usergroups:read" and not groups(self.settings):
            unused = "only user groups need it, and none is named"
        elif scope == "commands" and self.settings.slack.mode == "none":
            unused = "mode is none"
        what = f"scope {scope}"
        if unused:
            return Finding(Level.WARNING, what, f"not granted: {unused}; else {REINSTALL}")
        return Finding(Level.FAILED, what, f"not granted ({SCOPES[scope]}); {REINSTALL}")

    # --- what the configuration names ---------------------------------------------------------

    async def _places(self) -> list[Finding]:
        named = channels(self.settings).items() if self._me else ()
        return [await self._place(channel, ", ".join(uses)) for channel, uses in named]

    async def _place(self, channel: str, uses: str) -> Finding:
        assert self.bot is not None, "only asked with one"
        what = f"channel {channel}"
        if channel.startswith("D"):
            why = f"a direct message ({uses}) cannot be looked into; name a channel instead"
            return Finding(Level.WARNING, what, why)
        try:
            answer = await self.bot.call("conversations.info", channel=channel)
        except OutsideError as error:
            return failed(what, error, uses)
        there = answer.get("channel") or {}
        name = f"#{there.get('name')} ({uses})"
        if there.get("is_archived"):
            return Finding(Level.FAILED, what, f"{name} is archived; {NEXT['is_archived'][1]}")
        if not there.get("is_member"):
            why = f"the app is not in {name}; type there: /invite @{self._me.get('user')}"
            return Finding(Level.FAILED, what, why)
        return Finding(Level.OK, what, f"the app is in {name}")

    async def _groups(self) -> list[Finding]:
        named = groups(self.settings)
        if not named or not self._me or self.bot is None:
            return []
        try:
            answer = await self.bot.call("usergroups.list", include_disabled=True)
        except OutsideError as error:
            return [failed("groups", error, ", ".join(named))]
        known = {str(group.get("id")): group for group in answer.get("usergroups", ())}
        found = [await self._group(g, known.get(g), ", ".join(named[g])) for g in named]
        return [*found, *self._quorums()]

    async def _group(self, group: str, there: Mapping[str, Any] | None, uses: str) -> Finding:
        assert self.bot is not None, "only asked with one"
        what = f"group {group}"
        if there is None:
            why, then = NEXT["no_such_subteam"]
            return Finding(Level.FAILED, what, f"{why} ({uses}); {then}")
        name = f"@{there.get('handle')} ({uses})"
        if there.get("date_delete"):
            why = f"{name} is disabled, so nobody counts as its member; enable it in Slack"
            return Finding(Level.FAILED, what, why)
        try:
            answer = await self.bot.call("usergroups.users.list", usergroup=group)
        except OutsideError as error:
            return failed(what, error, uses)
        members = frozenset(str(user) for user in answer.get("users", ()))
        self._members[group] = members
        if not members:
            return Finding(Level.WARNING, what, f"{name} has no members; add some in Slack")
        plural = "s" * (len(members) != 1)
        return Finding(Level.OK, what, f"{name} has {len(members)} member{plural}")

    def _quorums(self) -> list[Finding]:
        """Of pools that ask a group: of the others this was checked when the file was read."""
        return [
            Finding(Level.WARNING, f"pool {pool.cluster}/{pool.pool}", why)
            for pool in self.settings.pools
            if asks(pool) and (why := self._too_few(pool))
        ]

    def _too_few(self, pool: PoolSettings) -> str:
        rules = pool.policy.approval
        asked_for = {a.removeprefix(GROUP) for a in rules.approvers if a.startswith(GROUP)}
        if not asked_for or not asked_for <= self._members.keys():
            return ""
        able = {self._one(a) for a in rules.approvers if not a.startswith(GROUP)}
        able |= {self._one(CHAT + user) for group in asked_for for user in self._members[group]}
        recipe = next((r for r in self.settings.recipes if r.name == pool.recipe), None)
        authors = {self._one(author) for author in recipe.authors} if recipe else set()
        if len(able) < rules.quorum:
            return f"{rules.quorum} must approve, and only {len(able)} may; add approvers"
        if rules.two_person and able <= authors:
            return f"two_person, and all who may approve wrote recipe {pool.recipe}; add somebody"
        return ""

    def _one(self, identity: str) -> str:
        person = self.settings.person_of(identity)
        return PERSON + person if person else identity

    # --- hearing ------------------------------------------------------------------------------

    async def _listening(self) -> list[Finding]:
        said, web = self.settings.slack, self.settings.web
        if said.mode == "none":
            return [Finding(Level.OK, "listening", "mode none: nobody decides from Slack")]
        if said.mode == "http":
            why = "cannot be seen from here: in the app, the Request URL of Interactivity and of "
            why += "/relayer must be https://<your host>/slack/events, and lead to our web server "
            return [Finding(Level.SKIPPED, "listening", f"{why}({web.host}, port {web.port})")]
        if self.app is None or self._unreachable:
            why = "no app token that could be used" if self.app is None else "no way to Slack"
            return [Finding(Level.SKIPPED, "socket", why)]
        return [await self._socket(self.app)]

    async def _socket(self, app: SlackApi) -> Finding:
        try:
            answer = await app.call("apps.connections.open")
            hello = await self._greeted(str(answer.get("url", "")), app.client.proxy)
        except OutsideError as error:
            return failed("socket", error)
        if hello.get("type") != "hello":
            meant = of_word(str(hello.get("reason", "nothing we know")))
            return Finding(Level.FAILED, "socket", f"{meant.why}; {meant.then}")
        self._apps[APP] = str((hello.get("connection_info") or {}).get("app_id", ""))
        count = int(hello.get("num_connections") or 1)
        said = f"{count} of {MOST_CONNECTIONS} connections of the app, with this one"
        if count >= MOST_CONNECTIONS:
            why = f"{said}, so no replica more could connect; stop what else uses the app token"
            return Finding(Level.WARNING, "socket", why)
        return Finding(Level.OK, "socket", f"Slack greets us over a websocket; {said}")

    async def _greeted(self, url: str, proxy: str | None) -> Mapping[str, Any]:
        """Return Slack's first word over a new connection, which is closed at once.

        Slack deals events out among all connections, so until then a click may come to this one.
        """
        host = urlsplit(url).hostname or "?"
        let_pass = f"let proxies and firewalls pass websockets to {host}"
        try:
            async with (
                asyncio.timeout(self.hello_seconds),
                aiohttp.ClientSession() as session,
                session.ws_connect(url, proxy=proxy, max_msg_size=MOST_HELLO_BYTES) as link,
            ):
                first = json.loads(await link.receive_str())
        except TimeoutError:
            late = f"nothing comes over the websocket within {self.hello_seconds:g} s"
            raise Transient(f"{late}; {let_pass}") from None
        except aiohttp.WSServerHandshakeError as error:  # its own text has the ticket
            why = f"the websocket is refused with status {error.status}"
            raise Transient(f"{why}; {let_pass}") from None
        except (ValueError, TypeError):  # aiohttp raises the latter if it closes instead
            raise Transient(f"the websocket says nothing of Slack's; {let_pass}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Transient("no websocket") from error
        return first if isinstance(first, dict) else {}

    # --- trying, and what it told -------------------------------------------------------------

    async def _trial(self) -> list[Finding]:
        if self.bot is None or not self._me:
            return [Finding(Level.SKIPPED, "posting", "no bot token that works")]
        trial = Trial(SlackSink(self.bot), self.clock, self.settings.slack.channel)
        found = await trial.run()
        self._apps[BOT] = trial.app or self._apps[BOT]
        return found

    def _app_id(self) -> Finding:
        """What is meant for another app than the configured one is refused."""
        named = self.settings.slack.app
        told = {token: app for token, app in self._apps.items() if app}
        for token, app in told.items():
            if app != named:
                why = (
                    f"the {token} is of app {app}, and slack.app is {named}; correct the wrong one"
                )
                return Finding(Level.FAILED, "app", why)
        more = "" if BOT in told else "; of the bot token only --post can tell"
        if not told:
            return Finding(Level.SKIPPED, "app", f"nothing told which app it is{more}")
        return Finding(Level.OK, "app", f"{named}, says the {' and the '.join(sorted(told))}{more}")


# --- what the configuration says ------------------------------------------------------------------


def channels(settings: Settings) -> dict[str, list[str]]:
    """Return every channel of Slack that is named, with what names it."""
    named = [(PREFIX + settings.slack.channel, "slack.channel")] if settings.slack.channel else []
    named += [(to, f"routes[{n}]") for n, route in enumerate(settings.routes) for to in route.to]
    named += [(to, f"digest {digest.name}") for digest in settings.digests for to in digest.to]
    people = (f"{PREFIX}U", f"{PREFIX}W")
    named += [(to, use) for to, use in _escalations(settings) if not to.startswith(people)]
    return _grouped((to.removeprefix(PREFIX), use) for to, use in named if to.startswith(PREFIX))


def groups(settings: Settings) -> dict[str, list[str]]:
    """Return every user group that is named, with what names it."""
    named = [
        (approver, f"approver of {pool.cluster}/{pool.pool}")
        for pool in settings.pools
        for approver in pool.policy.approval.approvers
    ]
    named += _escalations(settings)
    return _grouped((to.removeprefix(GROUP), use) for to, use in named if to.startswith(GROUP))


def asks(pool: PoolSettings) -> bool:
    """Whether people are asked about any kind of change."""
    return any(pool.mode_of(change) is Mode.APPROVE for change in Change)


def _escalations(settings: Settings) -> list[tuple[str, str]]:
    return [
        (one.to, f"escalation of {pool.cluster}/{pool.pool}")
        for pool in settings.pools
        for one in pool.asking.escalate
    ]


def _grouped(pairs: Iterable[tuple[str, str]], most: int = 3) -> dict[str, list[str]]:
    """Return each name with the first few uses of it, and how many more there are."""
    found: dict[str, Sequence[str]] = {}
    for name, use in pairs:
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), use)))
    return {
        name: [*uses[:most], *[f"{len(uses) - most} more"] * (len(uses) > most)]
        for name, uses in found.items()
    }
