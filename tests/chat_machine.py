"""People, a planner, an engine and crashes around one pool's updates, all at the same time.

Each store call is a moment at which another may go on, or the process may die. What may follow is
judged in `tests.chat_judge`.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from handlers.ask_approval import AskApprovalHandler
from tests.chat import APP, TEAM, settings_of_policy
from tests.chat_acts import Act
from tests.chat_judge import Flight, Judge, Rules
from tests.facts import an_observation, an_update, image
from tests.fakes import FixedClock
from tests.scene import ours
from watcher.chat.commands import Commands
from watcher.chat.deciding import ChatListener
from watcher.chat.places import Reading
from watcher.clients.slack import events
from watcher.clients.slack.receiver import Receiver
from watcher.core import preconditions
from watcher.core.preconditions import Scene
from watcher.core.timing import Freeze
from watcher.core.transition import IllegalTransition
from watcher.core.update import Update
from watcher.core.update_events import (
    Applied,
    Approved,
    AskApproval,
    BuildReady,
    Cleared,
    Expired,
    Superseded,
    UpdateEvent,
    UpdateState,
)
from watcher.directory import SettingsDirectory
from watcher.engine import audit_entry, step
from watcher.people import People
from watcher.ports import AuditEntry, Change, Conflict, Store, Stored
from watcher.rights import Rights
from watcher.telling.cards import Cards

S = UpdateState


class Watched:
    """A store as one flight sees it: every call has a moment before and after it."""

    def __init__(self, machine: "Machine", flight: Flight) -> None:
        self._machine, self._flight, self._inner = machine, flight, machine.store

    @property
    def outbox(self) -> Any:
        return self._inner.outbox

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._inner, name)

        async def call(*said: Any, **named: Any) -> Any:
            await self._machine.pause(self._flight)
            answer = await inner(*said, **named)
            await self._machine.pause(self._flight)
            return answer

        return call

    async def audit_only(self, entry: AuditEntry) -> None:
        await self._machine.pause(self._flight)
        await self._inner.audit_only(entry)
        self._machine.entries.append(entry)
        self._flight.entries.append(entry)
        await self._machine.pause(self._flight)

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        await self._machine.pause(self._flight)
        versions = await self._inner.commit(changes, audit)
        self._machine.committed(self._flight, changes, audit)
        await self._machine.pause(self._flight)
        return versions


class Machine(Judge):
    """Everybody, on one store."""

    def __init__(
        self,
        rules: Rules,
        store: Callable[[FixedClock], Store],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        clock = FixedClock()
        super().__init__(rules, clock, loop)
        self.store = store(clock)
        self.settings = settings_of_policy(rules.policy)

    # --- how things run -------------------------------------------------------------------------

    async def pause(self, flight: Flight) -> None:
        """A moment: others may go on now, or this one may die."""
        assert flight.turn is not None
        if flight.turn.done():  # it does two things at once, and the other one is there already
            return
        flight.gate = self.loop.create_future()
        flight.turn.set_result(None)
        await flight.gate

    def run(self, flights: Sequence[Flight], seed: int) -> None:
        """Let them go on in turn as the seed has it; 0: one after the other."""
        for flight in flights:
            self.begins(flight)
        self.loop.run_until_complete(self._in_turns(flights, random.Random(seed) if seed else None))
        for flight in flights:
            self.finished(flight)
        self.check()

    async def _in_turns(self, flights: Sequence[Flight], order: random.Random | None) -> None:
        while live := [flight for flight in flights if not flight.ended]:
            await self._go_on(order.choice(live) if order else live[0])

    async def _go_on(self, flight: Flight) -> None:
        """To its next moment, or its end."""
        if flight.task is not None and flight.moments == flight.dies_at:
            flight.died = flight.ended = True
            flight.task.cancel()
            await asyncio.wait([flight.task])
            return
        flight.moments += 1
        flight.turn = self.loop.create_future()
        if flight.task is None:
            flight.task = self.loop.create_task(self._fly(flight))
        elif flight.gate is not None:
            flight.gate.set_result(None)
        await flight.turn
        if flight.ended:
            await flight.task

    async def _fly(self, flight: Flight) -> None:
        assert flight.work is not None
        try:
            flight.reply = await flight.work
        finally:
            flight.ended = True
            if flight.turn is not None and not flight.turn.done():
                flight.turn.set_result(None)

    # --- who acts -------------------------------------------------------------------------------

    def delivery(self, act: Act, dies_at: int | None = None) -> Flight:
        """The act comes in at a replica of the service that was just started."""
        flight = Flight(f"{act.action} by {act.human}", act, dies_at=dies_at)
        store = cast(Store, Watched(self, flight))
        listener = self.listener(store)
        receiver = Receiver(
            api=cast(Any, None), listener=listener, store=store, team=TEAM, app_id=APP
        )
        ways: dict[str, tuple[Any, Any]] = {
            "form": (events.submitted, listener.submitted),
            "command": (events.command, listener.commanded),
        }
        read, decide = ways.get(act.way, (events.click, listener.clicked))
        flight.work = receiver.decided(act.body(), read, decide)
        return flight

    def listener(self, store: Store) -> ChatListener:
        """Fresh, as after a restart. Nothing of a planner is needed to decide."""
        directory = SettingsDirectory(settings=self.settings, store=store, clock=self.clock)
        people = People(store=store, clock=self.clock, directory=directory)
        rights = Rights(settings=self.settings, store=store, directory=directory, clock=self.clock)
        common: dict[str, Any] = {
            "people": people,
            "planner": None,
            "rights": rights,
            "cards": Cards(self.settings, store, self.clock),
            "reading": Reading(self.settings, store),
        }
        commands = Commands(store=store, clock=self.clock, surveyed=lambda: (), **common)
        return ChatListener(command=commands, **common)

    def engine(self, update_id: str, dies_at: int | None = None) -> Flight:
        flight = Flight("engine", dies_at=dies_at)
        flight.work = self._turn(cast(Store, Watched(self, flight)), update_id)
        return flight

    async def _turn(self, store: Store, update_id: str) -> None:
        """As the engine: read, do what the state asks for, step, save."""
        stored = await store.get(update_id)
        assert isinstance(stored.job, Update)
        event = await self._event(store, stored.job)
        if event is None:
            return
        try:
            after = step(stored.job, event, now=self.clock.now())
        except IllegalTransition:
            return
        await self._save(store, stored, after, event)

    async def _event(self, store: Store, update: Update) -> UpdateEvent | None:
        match update.state:
            case S.WAITING_FOR_BUILD:
                return BuildReady(image(f"of {update.id}"))
            case S.AWAITING_APPROVAL:
                handler = AskApprovalHandler(store, self.clock)
                found = await handler(update, AskApproval(update.binding), ours)
                return found if isinstance(found, Approved | Expired) else None
            case S.SCHEDULED:
                return await self._cleared(store, update)
            case S.APPLYING:
                return Applied()
        return None

    async def _cleared(self, store: Store, update: Update) -> UpdateEvent | None:
        """As `ClearHandler`, with a pool on which nothing else is in the way."""
        if update.expires_at is not None and self.clock.now() >= update.expires_at:
            return Expired()
        scene = Scene(
            update=update,
            seen=an_observation(observed_at=self.clock.now()),
            policy=self.configured,
            pull_problem=None,
            now=self.clock.now(),
            freezes=tuple(await store.freezes()),
        )
        if preconditions.unmet(scene):
            return None
        return Cleared(update.binding, update.target.base.digest, None)

    async def _save(self, store: Store, stored: Stored, after: Any, event: UpdateEvent) -> None:
        entry = audit_entry(after, event, by="relayer", now=self.clock.now())
        due = None if after.is_ended else 0.0
        change = Change(job=after, expected=stored.version, due_in_seconds=due)
        try:
            await store.commit([change], [entry])
        except Conflict:
            return

    async def _propose(self, store: Store) -> None:
        """As the planner: a new update, which ends the one that has not begun."""
        changes, entries, now = list[Change](), list[AuditEntry](), self.clock.now()
        fresh = an_update(
            id=f"u-{len(self.updates) + 1}",
            policy=self.configured,
            created_at=now,
            changed_at=now,
            authors=(f"person:{self.rules.not_alone}",) if self.rules.not_alone else (),
        )
        if self.updates:
            stored = await store.get(self.updates[-1])
            assert isinstance(stored.job, Update)
            if not stored.job.is_ended:
                event = Superseded(fresh.id)
                try:
                    after = step(stored.job, event, now=now)
                except IllegalTransition:
                    return  # it is on its way already
                changes.append(Change(job=after, expected=stored.version, due_in_seconds=None))
                entries.append(audit_entry(after, event, by="relayer", now=now))
        try:
            await store.commit([*changes, Change(job=fresh, expected=0)], entries)
        except Conflict:
            return

    def planner(self, dies_at: int | None = None) -> Flight:
        flight = Flight("planner", dies_at=dies_at)
        flight.work = self._propose(cast(Store, Watched(self, flight)))
        return flight

    def rewriter(self, update_id: str) -> Flight:
        """Something changes what an update is about, as a repair by hand might."""

        async def work(store: Store) -> None:
            stored = await store.get(update_id)
            assert isinstance(stored.job, Update)
            if stored.job.state in (S.AWAITING_APPROVAL, S.SCHEDULED):
                other = replace(stored.job, image=image(f"rewritten {stored.version}"))
                change = Change(job=other, expected=stored.version)
                try:
                    await store.commit([change], [])
                except Conflict:
                    return

        flight = Flight("rewriter")
        flight.work = work(cast(Store, Watched(self, flight)))
        return flight

    def ticking(self, by_seconds: float) -> Flight:
        flight = Flight("clock")

        async def work() -> None:
            await self.pause(flight)
            self.clock.advance(by_seconds)

        flight.work = work()
        return flight

    def freezer(self) -> Flight:
        """Freezes everything, or ends that."""

        async def work(store: Store) -> None:
            now = self.clock.now()
            what = "Unfrozen" if self.frozen else "Frozen"
            entry = AuditEntry(at=now, job="", event=what, by="cli:root", state="")
            self.entries.append(entry)
            if self.frozen:
                self.frozen = False  # from here on it may count as not frozen
                await store.unfreeze("", entry)
            else:
                freeze = Freeze(scope="", by="cli:root", because="", at=now, until=None)
                await store.freeze(freeze, entry)
                self.frozen = True

        flight = Flight("freezer")
        flight.work = work(cast(Store, Watched(self, flight)))
        return flight

    def configure(self, *, changed: bool) -> None:
        """Another policy, or the first one again; the store stays."""
        policy = self.rules.policy
        self.configured = replace(policy, soak_seconds=60) if changed else policy
        self.settings = settings_of_policy(self.configured)
