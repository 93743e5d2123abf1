"""Whatever is done in whatever order, Redis and memory give the same answers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.contract.stores import (
    START,
    AnyStore,
    ManualClock,
    a_build,
    an_update,
    entry,
    redis_store,
)
from watcher.clients.store.embedded import Server
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.build import Build, BuildState
from watcher.core.jobs import Job, JobKind
from watcher.core.letters import Delivered, Mark
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.core.update_events import UpdateState
from watcher.ports import Change, Conflict, Leased

UPDATE_STATES = (
    UpdateState.WAITING_FOR_BUILD,
    UpdateState.AWAITING_APPROVAL,
    UpdateState.REJECTED,
    UpdateState.DONE,
)
BUILD_STATES = (BuildState.QUEUED, BuildState.BUILDING, BuildState.READY, BuildState.FAILED)
SUBJECTS = st.sampled_from(["u0", "u1", "fleet"])
DELAYS = st.sampled_from([None, 0.0, 0.5, 3.0, 30.0])

a_job = st.one_of(
    st.builds(
        lambda n, key, state: a_build(f"b{n}", key=key, state=state),
        st.integers(0, 2),
        st.sampled_from(["k1", "k2"]),
        st.sampled_from(BUILD_STATES),
    ),
    st.builds(
        lambda n, state, build: an_update(f"u{n}", pool=f"p{n % 2}", state=state, build=build),
        st.integers(0, 3),
        st.sampled_from(UPDATE_STATES),
        st.sampled_from(["", "b0", "b1"]),
    ),
)


class Comparing(RuleBasedStateMachine):
    """Does everything twice."""

    server: ClassVar[Server]

    @initialize()
    def start(self) -> None:
        self.clock = ManualClock()
        self.leases: list[Leased] = []
        self.marks: list[Mark] = []
        self.letters = [Delivered(key="card"), Delivered(key="thread")]
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.memory = MemoryStore(self.clock)
        opening = self.opened.enter_async_context(redis_store(self.server, self.clock))
        self.redis = self.runner.run(opening)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.opened.aclose())
            self.runner.close()

    def same(self, ask: Callable[[AnyStore], Awaitable[Any]]) -> Any:
        async def answer(store: AnyStore) -> Any:
            try:
                return await ask(store)
            except (Conflict, KeyError) as error:
                return type(error), str(error)

        expected = self.runner.run(answer(self.memory))
        assert self.runner.run(answer(self.redis)) == expected
        return expected

    def change(self, job: Job, *, stale: bool, **more: Any) -> Change:
        async def version() -> int:
            try:
                return (await self.memory.get(job.id)).version
            except KeyError:
                return 0

        expected = self.runner.run(version())
        return Change(job=job, expected=max(0, expected - stale), **more)

    def settled(self, job: Job) -> Job:
        """The key of a build never changes, so neither does it here."""
        return replace(job, key=f"k{int(job.id[1]) % 2}") if isinstance(job, Build) else job

    @rule(jobs=st.lists(a_job, min_size=1, max_size=3, unique_by=lambda j: j.id), due=DELAYS)
    def decide(self, jobs: list[Job], due: float | None) -> None:
        changes = [self.change(self.settled(job), stale=False, due_in_seconds=due) for job in jobs]
        self.same(lambda s: s.commit(changes, [entry(job) for job in jobs]))

    @rule(job=a_job)
    def decide_late(self, job: Job) -> None:
        change = self.change(self.settled(job), stale=True)
        self.same(lambda s: s.commit([change], [entry(job)]))

    @rule(kinds=st.permutations(list(JobKind)), lease=st.sampled_from([2.0, 10.0]))
    def claim(self, kinds: list[JobKind], lease: float) -> None:
        if leased := self.same(lambda s: s.claim("w", lease, kinds)):
            self.leases.append(leased)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), keep=st.booleans(), due=DELAYS, state=st.integers(0, 3))
    def save(self, data: st.DataObject, keep: bool, due: float | None, state: int) -> None:
        leased = data.draw(st.sampled_from(self.leases))
        states: Any = BUILD_STATES if leased.job.id[0] == "b" else UPDATE_STATES
        job = replace(leased.job, state=states[state])
        change = self.change(
            job, stale=False, fence=leased.fence, keep_lease=keep, due_in_seconds=due
        )
        self.same(lambda s: s.commit([change], [entry(job)]))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), seconds=st.sampled_from([1.0, 10.0]), failed=st.booleans())
    def give_back_or_renew(self, data: st.DataObject, seconds: float, failed: bool) -> None:
        leased = data.draw(st.sampled_from(self.leases))
        if data.draw(st.booleans()):
            self.same(lambda s: s.renew(leased, seconds))
        else:
            self.same(lambda s: s.release(leased, due_in_seconds=seconds, failed=failed))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        leased = data.draw(st.sampled_from(self.leases))
        self.same(lambda s: s.bury(leased, "why", entry(leased.job)))

    @rule(job=a_job)
    def revive(self, job: Job) -> None:
        self.same(lambda s: s.revive(job.id, entry(job)))

    @rule(job=a_job)
    def wake(self, job: Job) -> None:
        self.same(lambda s: s.wake(job.id))

    @rule(replica=st.sampled_from("ab"), seconds=st.sampled_from([0, 1, 5]))
    def lead(self, replica: str, seconds: int) -> None:
        if seconds:
            self.same(lambda s: s.lead(replica, seconds))
        else:
            self.same(lambda s: s.resign(replica))

    @rule(subject=SUBJECTS)
    def mark(self, subject: str) -> None:
        self.same(lambda s: s.outbox.mark(subject))

    @rule(limit=st.integers(0, 3))
    def read_marks(self, limit: int) -> None:
        self.marks += self.same(lambda s: s.outbox.marked(limit))

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        mark = data.draw(st.sampled_from(self.marks))
        self.same(lambda s: s.outbox.clear(mark))

    @rule(data=st.data(), subject=SUBJECTS, ref=st.sampled_from(["", "171.5"]))
    def save_letter(self, data: st.DataObject, subject: str, ref: str) -> None:
        letter = replace(data.draw(st.sampled_from(self.letters)), ref=ref)
        saved = self.same(lambda s: s.outbox.save(subject, letter))
        if isinstance(saved, Delivered):
            self.letters.append(saved)

    @rule(scope=st.sampled_from(["", "east"]), lift=st.booleans())
    def freeze_or_lift(self, scope: str, lift: bool) -> None:
        freeze = Freeze(scope=scope, by="ann", because="", at=START, until=None)
        if lift:
            self.same(lambda s: s.unfreeze(scope, entry("")))
        else:
            self.same(lambda s: s.freeze(freeze, entry("")))

    @rule(
        name=st.sampled_from(["s-1", "s-2"]),
        hours=st.sampled_from([-30, -24, 0, 1]),
        lift=st.booleans(),
    )
    def silence_or_lift(self, name: str, hours: int, lift: bool) -> None:
        until = START + timedelta(hours=hours)
        silence = Silence(id=name, scope="", rule="", by="ann", because="", at=START, until=until)
        if lift:
            self.same(lambda s: s.unsilence(name, entry("")))
        else:
            self.same(lambda s: s.silence(silence, entry("")))

    @rule(
        key=st.sampled_from(["pool:east/p0", "leader"]),
        view=st.dictionaries(
            st.sampled_from(["at", "decision", "paused"]), st.sampled_from(["", "x", False, None])
        ),
    )
    def put_view(self, key: str, view: dict[str, object]) -> None:
        self.same(lambda s: s.put_view(key, view))

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @invariant()
    def they_look_alike(self) -> None:
        if not hasattr(self, "runner"):
            return

        async def seen(store: AnyStore) -> Any:
            lists = [await store.jobs(kind, ended=e) for kind in JobKind for e in (True, False)]
            keys = ("build:k0", "build:k1", "update:east/p0", "update:east/p1")
            return (
                lists,
                [await store.owner(key) for key in keys],
                await store.dead(),
                await store.backlog(self.clock.now()),
                await store.history("east", "p0", 10),
                len(await store.audit()),
                await store.outbox.marked(100),
                [await store.outbox.delivered(subject) for subject in ("u0", "fleet")],
                await store.freezes(),
                await store.silences(),
                await store.views(),
            )

        self.same(seen)


def test_redis_and_memory_give_the_same_answers(running: Server) -> None:
    machine = type("Machine", (Comparing,), {"server": running})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=20, stateful_step_count=30, deadline=None)
    )
