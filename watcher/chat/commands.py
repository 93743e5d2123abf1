"""`/relayer …`: questions, and things that start. Answers are private, rules and audit as ever."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from watcher import scopes, shown, timetable
from watcher.alert_rules import RULES
from watcher.chat.deciding import COMMAND
from watcher.chat.places import Reading
from watcher.chat.waiting import soon
from watcher.clients.slack import answers, modals, others
from watcher.core import timing
from watcher.core.approval import CHAT
from watcher.core.moments import next_window, parse_until
from watcher.core.state import Surveyed
from watcher.core.update import Update
from watcher.errors import Declined
from watcher.people import People
from watcher.planner import Planner
from watcher.ports import Clock, Store
from watcher.ports_telling import Command, Content, Reply
from watcher.rights import Rights
from watcher.shown_drift import age_sentence, behind, urgency, why
from watcher.telling.cards import Cards

HELP = (
    "`status` what is under way and what ended last",
    "`pools` every pool and what it needs",
    "`drift [CLUSTER]` every pool of every cluster, what it runs and how far behind it is",
    "`update ID` one update, with its buttons",
    "`plan POOL` what would be done about a pool, and why",
    "`rebuild POOL` ask for an update now",
    "`approve ID`, `reject ID reason`, `snooze ID 4h|tomorrow|next-window`",
    "`hold POOL [reason] [until 2h|2026-12-24 18:00]`, `unhold POOL`",
    "`freeze [CLUSTER] [reason] [until …]`, `unfreeze [CLUSTER]`, `freezes`",
    "`silence everywhere|CLUSTER|POOL [RULE] reason until 4h`, `unsilence ID`, `silences`",
    "`stock POOL` go back to the stock image (asks to confirm)",
    "`history POOL`, `windows POOL`, `help`",
)
HISTORY = 10
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
    surveyed: Callable[[], Sequence[Surveyed]]

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
            "drift": self._drift,
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
            "silence": self._silence,
            "unsilence": self._unsilence,
            "silences": self._silences,
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
            (r["id"], self._name(r), _state(r), str(r["progress"].get("waiting", "")))
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

    async def _drift(self, asked: Asked) -> Reply:
        seen = [one for one in self.surveyed() if asked.first in ("", one.cluster)]
        if not seen:
            raise Declined(f"{asked.first[:40]} is no cluster; there are: {self._clusters()}")
        found = sorted((f for one in seen for f in one.findings), key=urgency)
        rows = [
            (self.reading.shown(f.cluster, f.pool), str(f.state), behind(f.lag), why(f))
            for f in found
        ]
        blocks = [(b.target, "", "blocks", b.why) for f in found for b in f.blocks]
        ages = [age_sentence(one, now=self.clock.now()) for one in seen]
        title = "; ".join(filter(None, [f"Drift of {len(rows)} pools", *ages]))
        return Reply(answer=answers.table(title, [*rows, *blocks]))

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
        pools, now = [self.reading.configured(place)], self.clock.now()
        (row,) = await timetable.timetables(self.store, pools, now=now)
        lines = ["now: allowed"] if row["allowed"] else [f"now: no, {r}" for r in row["reasons"]]
        lines += [f"after {one['place']}, which goes first" for one in row["after"]]
        lines += [_opening(one, ZoneInfo(row["time_zone"])) for one in row["openings"]]
        lines += ["no windows are configured: they keep nothing back"] * (not row["windows"])
        return Reply(answer=answers.bullets(f"Windows of {place}", lines))

    async def _freezes(self, asked: Asked) -> Reply:
        rows = await shown.freezes(self.store, now=self.clock.now())
        lines = [f"{row['scope'] or 'everything'}: {row['sentence']}" for row in rows]
        return Reply(answer=answers.bullets("In force", lines or ["nothing is frozen or held"]))

    async def _silences(self, asked: Asked) -> Reply:
        rows = await shown.silences(self.store, now=self.clock.now())
        lines = [f"{row['id']}: {row['scope'] or 'everywhere'}: {row['sentence']}" for row in rows]
        return Reply(answer=answers.bullets("Silenced", lines or ["nothing is silenced"]))

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
        update, now = await self.reading.update(asked.first), self.clock.now()
        opens = next_window(update.policy.windows, update.policy.blackouts, now=now)
        with _declining():
            until = parse_until(
                asked.after_first or "1h",
                now=now,
                zone=self.cards.zone(update),
                next_window=opens,
            )
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
        return await self._stopped(str(place), asked.after_first, asked.by)

    async def _freeze(self, asked: Asked) -> Reply:
        scope, rest = self._scope(asked)
        return await self._stopped(scope, rest, asked.by)

    async def _stopped(self, scope: str, said: str, by: str) -> Reply:
        reason, until = self._reason_and_until(scope, said)
        await self.rights.check_freeze(scope, by=by, surface=COMMAND)
        async with self._audited("Freeze", scope, by):
            made = await self.people.freeze(
                scope, by=by, because=reason, until=until, surface=COMMAND
            )
        return _say(scopes.frozen_sentence(made))

    async def _unhold(self, asked: Asked) -> Reply:
        return await self._lifted(str(self.reading.place(asked.first)), asked.by)

    async def _unfreeze(self, asked: Asked) -> Reply:
        scope, rest = self._scope(asked)
        if rest:  # a slip of the hand must not lift what holds everything
            raise Declined(f"{rest[:80]} is no cluster; there are: {self._clusters()}")
        return await self._lifted(scope, asked.by)

    async def _lifted(self, scope: str, by: str) -> Reply:
        await self.rights.check("Unfreeze", scope, by=by, surface=COMMAND)
        async with self._audited("Unfreeze", scope, by):
            await self.people.unfreeze(scope, by=by, surface=COMMAND)
        return _say(await scopes.lifted_sentence(self.store, scope, now=self.clock.now()))

    async def _silence(self, asked: Asked) -> Reply:
        scope = self._quiet_place(asked.first)
        word, more = _first_word(asked.after_first)
        rule, said = (word, more) if word.strip("`") in RULES else ("", asked.after_first)
        reason, until = self._reason_and_until(scope, said)
        if until is None:
            raise Declined("say until when at the end, for example: until 4h")
        await self.rights.check_silence(scope, by=asked.by, surface=COMMAND)
        async with self._audited("Silence", scope, asked.by):
            made = await self.people.silence(
                scope,
                rule=rule.strip("`"),
                by=asked.by,
                because=reason,
                until=until,
                surface=COMMAND,
            )
        return _say(scopes.silenced_sentence(self.reading.settings, made))

    async def _unsilence(self, asked: Asked) -> Reply:
        lifted = await self.rights.check_unsilence(asked.first, by=asked.by, surface=COMMAND)
        async with self._audited("Unsilence", lifted.scope, asked.by):
            await self.people.unsilence(lifted, by=asked.by, surface=COMMAND)
        now = self.clock.now()
        return _say(await scopes.unsilenced_sentence(self.store, lifted, now=now))

    # --- helpers ---

    def _quiet_place(self, name: str) -> str:
        """The scope that is named: never everything by a slip, nor by a cluster misspelt."""
        if name == "everywhere":
            return ""
        if "/" in name or name in scopes.clusters_of(self.reading.settings):
            return name
        return str(self.reading.place(name))

    def _scope(self, asked: Asked) -> tuple[str, str]:
        """The cluster that is named first, else everything; and what else was said."""
        if asked.first in {c.name for c in self.reading.settings.clusters}:
            return asked.first, asked.after_first
        if named := self.reading.places(asked.first):
            raise Declined(f"{named[0]} is a pool: `hold` and `unhold` are for pools")
        return "", asked.rest

    def _clusters(self) -> str:
        return ", ".join(c.name for c in self.reading.settings.clusters) or "none"

    def _reason_and_until(self, scope: str, said: str) -> tuple[str, datetime | None]:
        """`reason until 2h`: the last `until` begins the time."""
        head, word, tail = f" {said}".rpartition(" until ")
        if not word:
            return said, None
        with _declining():
            until = scopes.until(self.reading.settings, scope, tail, now=self.clock.now())
        return head.strip(), until

    def _audited(self, what: str, scope: str, by: str) -> AbstractAsyncContextManager[None]:
        """For decisions that do not audit by themselves why they are declined."""
        return scopes.declined_is_audited(
            self.store, self.clock, what, scope, by=by, surface=COMMAND
        )

    def _name(self, row: shown.Row) -> str:
        return self.reading.shown(row["cluster"], row["pool"])


@contextmanager
def _declining() -> Iterator[None]:
    """What is no moment is declined, with its sentence."""
    try:
        yield
    except ValueError as error:
        raise Declined(str(error)) from error


def _opening(row: shown.Row, zone: ZoneInfo) -> str:
    start, end = (
        datetime.fromisoformat(row[at]).astimezone(zone) if row[at] else None
        for at in ("start", "end")
    )
    return f"{start:%a %Y-%m-%d %H:%M %Z}" + (f" to {end:%a %H:%M %Z}" if end else ", always open")


def _state(row: shown.Row) -> str:
    if not row["scheduled_for"]:
        return str(row["state"])
    return f"scheduled for {timing.shown(datetime.fromisoformat(row['scheduled_for']))}"


def _say(sentence: str) -> Reply:
    return Reply(answer=answers.answer(sentence))


def _first_word(text: str) -> tuple[str, str]:
    """Return it, and what else was said."""
    word, rest, *_ = (*text.split(maxsplit=1), "", "")
    return word, rest.strip()
