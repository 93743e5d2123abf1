"""`/relayer …`: questions, and things that start. Answers are private, rules and audit as ever."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from watcher import shown
from watcher.chat.deciding import COMMAND
from watcher.chat.places import Place, Reading
from watcher.chat.waiting import soon
from watcher.clients.slack import answers, modals, others
from watcher.core import timing, windows
from watcher.core.approval import CHAT
from watcher.core.moments import next_window, parse_until
from watcher.core.timing import Timing
from watcher.core.update import Policy, Update
from watcher.people import Declined, People
from watcher.planner import Planner
from watcher.ports import Clock, Store
from watcher.ports_telling import Command, Content, Reply
from watcher.rights import Rights
from watcher.settings import PoolSettings
from watcher.telling.cards import Cards

HELP = (
    "`status` what is under way and what ended last",
    "`pools` every pool and what it needs",
    "`update ID` one update, with its buttons",
    "`plan POOL` what would be done about a pool, and why",
    "`rebuild POOL` ask for an update now",
    "`approve ID`, `reject ID reason`, `snooze ID 4h|tomorrow|next-window`",
    "`hold POOL [reason] [until 2h|2026-12-24 18:00]`, `unhold POOL`",
    "`freeze [CLUSTER] [reason] [until …]`, `unfreeze [CLUSTER]`, `freezes`",
    "`stock POOL` go back to the stock image (asks to confirm)",
    "`history POOL`, `windows POOL`, `help`",
)
HISTORY = 10
WINDOWS = 5
Handle = Callable[["Asked"], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One command, taken apart."""

    by: str
    rest: str
    """Everything after the verb."""
    channel: str

    @property
    def first(self) -> str:
        """Backticks are ours: ids stand in code in every message, and are copied with them."""
        return _first_word(self.rest)[0].strip("`")

    @property
    def after_first(self) -> str:
        return _first_word(self.rest)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    people: People
    planner: Planner
    rights: Rights
    cards: Cards
    reading: Reading
    store: Store
    clock: Clock

    async def __call__(self, command: Command) -> Reply:
        """Carry it out. Raise Declined, KeyError (no such update), OutsideError."""
        verb, rest = _first_word(command.text)
        handle = self._verbs().get(verb.lower() or "help")
        if handle is None:
            listed = ", ".join(f"`{name}`" for name in self._verbs())
            return _say(f"{verb[:40]} is no command of Relayer's. There are: {listed}")
        return await handle(Asked(CHAT + command.user, rest, command.channel))

    def _verbs(self) -> Mapping[str, Handle]:
        return {
            "status": self._status,
            "pools": self._pools,
            "update": self._update,
            "plan": self._plan,
            "rebuild": self._rebuild,
            "approve": self._approve,
            "reject": self._reject,
            "snooze": self._snooze,
            "hold": self._hold,
            "unhold": self._unhold,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "freezes": self._freezes,
            "stock": self._stock,
            "history": self._history,
            "windows": self._windows,
            "help": self._help,
        }

    async def _help(self, asked: Asked) -> Reply:
        return Reply(answer=answers.bullets("/relayer", HELP))

    # --- questions ---

    async def _fleet(self) -> shown.Row:
        places = [(p.cluster, p.pool) for p in self.reading.settings.pools]
        return await shown.status(self.store, places, now=self.clock.now())

    async def _status(self, asked: Asked) -> Reply:
        fleet = await self._fleet()
        rows = [
            (r["id"], self._name(r), r["state"], str(r["progress"].get("waiting", "")))
            for r in fleet["active"]
        ]
        ended = [(r["id"], self._name(r), r["state"], r["ended_because"]) for r in fleet["recent"]]
        title = f"{len(rows)} active, {len(ended)} ended last" + (
            f", {fleet['dead_letters']} dead letters" if fleet["dead_letters"] else ""
        )
        return Reply(answer=answers.table(title, [*rows, *ended]))

    async def _pools(self, asked: Asked) -> Reply:
        rows = [
            (self._name(r), r["decision"] or "?", r["because"])
            for r in (await self._fleet())["pools"]
        ]
        return Reply(answer=answers.table("Pools", rows))

    async def _update(self, asked: Asked) -> Reply:
        facts = await self.cards.facts(await self.reading.update(asked.first))
        return Reply(answer=others.render(self.cards.card(facts)))

    async def _plan(self, asked: Asked) -> Reply:
        place = self.reading.place(asked.first)

        async def work() -> Content:
            row = shown.plan_row(await self.planner.plan(place.cluster, place.pool))
            lines = [f"{row['decision']}: {row['because']}"]
            lines += [f"release: {row['release']}"] * bool(row["release"])
            lines += [f"runs: {row['running'] or 'the stock image'}"]
            lines += [f"in the way now: {one}" for one in row["unmet"]]
            return answers.bullets(f"Plan for {place}", lines)

        return await soon(work)

    async def _history(self, asked: Asked) -> Reply:
        place = self.reading.place(asked.first)
        found = await self.store.history(place.cluster, place.pool, HISTORY)
        rows = [
            (
                job.id,
                f"{job.changed_at:%Y-%m-%d %H:%M}",
                str(job.state),
                job.target.release_version,
                job.ended_because or job.because,
            )
            for job in (s.job for s in found)
            if isinstance(job, Update)
        ]
        return Reply(answer=answers.table(f"Updates of {place}, newest first", rows))

    async def _windows(self, asked: Asked) -> Reply:
        place = self.reading.place(asked.first)
        said = self.reading.configured(place)
        now = self.clock.now()
        verdict = timing.verdict(await self._timing(place, said), now=now)
        zone = ZoneInfo(said.time_zone)
        lines = ["now: allowed"] if verdict.allowed else [f"now: no, {r}" for r in verdict.reasons]
        periods = windows.openings(
            said.policy.windows, said.policy.blackouts, now=now, count=WINDOWS
        )
        lines += [
            f"{p.start.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"
            + (f" to {p.end.astimezone(zone):%a %H:%M %Z}" if p.end else ", always open")
            for p in periods
        ]
        return Reply(answer=answers.bullets(f"Windows of {place}", lines))

    async def _timing(self, place: Place, said: PoolSettings) -> Timing:
        view = await self.store.view(f"pool:{place}")
        release = str(view.get("release_seen_at") or "")
        now, policy = self.clock.now(), said.policy
        return Timing(
            windows=policy.windows,
            blackouts=policy.blackouts,
            # Not known before the first look, and then not in the way of an answer.
            min_age_seconds=policy.min_age_seconds if release else 0,
            release_seen_at=datetime.fromisoformat(release) if release else None,
            freezes=timing.in_force(await self.store.freezes(), place.cluster, place.pool, now=now),
        )

    async def _freezes(self, asked: Asked) -> Reply:
        rows = await shown.freezes(self.store, now=self.clock.now())
        lines = [f"{row['scope'] or 'everything'}: {row['sentence']}" for row in rows]
        return Reply(answer=answers.bullets("In force", lines or ["nothing is frozen or held"]))

    # --- decisions ---

    async def _approve(self, asked: Asked) -> Reply:
        outcome = await self.people.approve(
            asked.first, by=asked.by, reason=asked.after_first, surface=COMMAND
        )
        return _say(f"{outcome.sentence}. It is image {outcome.update.image}")

    async def _reject(self, asked: Asked) -> Reply:
        outcome = await self.people.reject(
            asked.first, by=asked.by, reason=asked.after_first, surface=COMMAND
        )
        return _say(outcome.sentence)

    async def _snooze(self, asked: Asked) -> Reply:
        update = await self.reading.update(asked.first)
        opens = self._next_window(update.policy)
        until = self._until(asked.after_first or "1h", self.cards.zone(update), opens)
        outcome = await self.people.snooze(update.id, by=asked.by, until=until, surface=COMMAND)
        return _say(outcome.sentence)

    async def _rebuild(self, asked: Asked) -> Reply:
        place = self.reading.place(asked.first)
        await self.rights.check("Rebuild", str(place), by=asked.by, surface=COMMAND)

        async def work() -> Content:
            update = await self.planner.rebuild(
                place.cluster, place.pool, by=asked.by, surface=COMMAND
            )
            return answers.answer(f"{update.id} for {place} is {update.state}: {update.because}")

        return await soon(work)

    async def _stock(self, asked: Asked) -> Reply:
        place = self.reading.place(asked.first)
        await self.rights.check("Stock", str(place), by=asked.by, surface=COMMAND)
        view = modals.stock_modal(
            cluster=place.cluster,
            pool=place.pool,
            sentence="Asked for by /relayer stock.",
            channel=asked.channel,
        )
        return Reply(view=view)

    async def _hold(self, asked: Asked) -> Reply:
        place = self.reading.place(asked.first)
        said = self.reading.configured(place)
        opens = self._next_window(said.policy)
        zone = ZoneInfo(said.time_zone)
        return await self._stopped(str(place), asked.after_first, zone, asked.by, opens)

    async def _freeze(self, asked: Asked) -> Reply:
        scope, rest = self._scope(asked)
        return await self._stopped(scope, rest, ZoneInfo("UTC"), asked.by)

    async def _stopped(
        self, scope: str, said: str, zone: ZoneInfo, by: str, opens: datetime | None = None
    ) -> Reply:
        await self.rights.check("Freeze", scope, by=by, surface=COMMAND)
        reason, until = self._reason_and_until(said, zone, opens)
        made = await self.people.freeze(scope, by=by, because=reason, until=until, surface=COMMAND)
        return _say(f"{scope or 'Everything'} is {timing.freeze_sentence(made)}")

    async def _unhold(self, asked: Asked) -> Reply:
        return await self._lifted(str(self.reading.place(asked.first)), asked.by)

    async def _unfreeze(self, asked: Asked) -> Reply:
        scope, rest = self._scope(asked)
        if rest:  # a slip of the hand must not lift what holds everything
            raise Declined(f"{rest[:80]} is no cluster; there are: {self._clusters()}")
        return await self._lifted(scope, asked.by)

    async def _lifted(self, scope: str, by: str) -> Reply:
        await self.rights.check("Unfreeze", scope, by=by, surface=COMMAND)
        await self.people.unfreeze(scope, by=by, surface=COMMAND)
        return _say(f"{scope or 'Everything'} may go on")

    # --- helpers ---

    def _scope(self, asked: Asked) -> tuple[str, str]:
        """The cluster that is named first, else everything; and what else was said."""
        if asked.first in {c.name for c in self.reading.settings.clusters}:
            return asked.first, asked.after_first
        if named := self.reading.places(asked.first):
            raise Declined(f"{named[0]} is a pool: `hold` and `unhold` are for pools")
        return "", asked.rest

    def _clusters(self) -> str:
        return ", ".join(c.name for c in self.reading.settings.clusters) or "none"

    def _reason_and_until(
        self, said: str, zone: ZoneInfo, opens: datetime | None
    ) -> tuple[str, datetime | None]:
        """`reason until 2h`: the last `until` begins the time."""
        head, word, tail = f" {said}".rpartition(" until ")
        if not word:
            return said, None
        return head.strip(), self._until(tail.strip(), zone, opens)

    def _next_window(self, policy: Policy) -> datetime | None:
        return next_window(policy.windows, policy.blackouts, now=self.clock.now())

    def _until(self, text: str, zone: ZoneInfo, opens: datetime | None) -> datetime:
        try:
            return parse_until(text, now=self.clock.now(), zone=zone, next_window=opens)
        except ValueError as error:
            raise Declined(str(error)) from error

    def _name(self, row: shown.Row) -> str:
        return self.reading.shown(row["cluster"], row["pool"])


def _say(sentence: str) -> Reply:
    return Reply(answer=answers.answer(sentence))


def _first_word(text: str) -> tuple[str, str]:
    """Return it, and what else was said."""
    word, rest, *_ = (*text.split(maxsplit=1), "", "")
    return word, rest.strip()
