"""Workers, in virtual time: claim, act, step, save; and everything that may come in between."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.facts import T0, a_build, a_policy, a_vote, an_update, image
from tests.fake_store import FakeStore
from tests.virtual_time import LoopClock, virtually
from watcher.core.build import BuildStarted, BuildState, Built, RunBuild, StartBuild, VerifyImage
from watcher.core.jobs import Job, JobKind
from watcher.core.update import Update
from watcher.core.update_events import (
    Applied,
    Apply,
    Approved,
    AskApproval,
    AwaitBuild,
    BuildReady,
    Failed,
    FollowRollout,
    RolledOut,
    Soak,
    Superseded,
    UpdateState,
)
from watcher.engine import (
    BACKOFF_LONGEST_SECONDS,
    CRASHES_ALLOWED,
    Superfluous,
    Worker,
    backoff_seconds,
    on_refusal,
    step,
)
from watcher.people import People
from watcher.ports import Change, Later, LeaseLost, Refused, StillOurs, Transient

pytestmark = pytest.mark.usefixtures("quiet")
S = UpdateState
Act = Callable[[Any, Any, StillOurs], Awaitable[Any]]
ROLLING = an_update(state=S.ROLLING_OUT)
ASKED = an_update(state=S.AWAITING_APPROVAL)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Rendering a traceback for people takes longer than all these tests."""
    with capture_logs():
        yield


@dataclass
class Bench:
    """A store with one job in it, and a worker whose handlers a test writes down."""

    store: FakeStore = field(default_factory=lambda: FakeStore(LoopClock()))
    handlers: dict[type, Act] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    async def put(self, *jobs: Job) -> None:
        await self.store.commit([Change(job=job, expected=0) for job in jobs], [])

    def on(self, action: type, *answers: Any) -> None:
        """Handle an action with these answers, one a call; the last one for ever after."""
        left = list(answers)

        async def handle(job: Job, action: Any, still_ours: StillOurs) -> Any:
            self.seen.append(f"{type(action).__name__} while {job.state}")
            answer = left.pop(0) if len(left) > 1 else left[0]
            if callable(answer):
                answer = await answer(job, still_ours)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.handlers[action] = handle

    @property
    def worker(self) -> Worker:
        return Worker(
            name="w",
            kinds=(JobKind.UPDATE, JobKind.BUILD),
            store=self.store,
            handlers=self.handlers,
            clock=self.store.clock,
        )

    async def job(self, job_id: str = "u-1") -> Any:
        return (await self.store.get(job_id)).job


def at_bench(test: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        await test(Bench())

    virtually(run())


def test_nothing_due_means_nothing_done() -> None:
    async def run(bench: Bench) -> None:
        assert await bench.worker.once() is False

    at_bench(run)


def test_a_step_is_saved_before_the_next_action_runs() -> None:
    """After a crash the saved state says what was being tried, so that it is tried again."""

    async def run(bench: Bench) -> None:
        async def check(job: Job, still_ours: StillOurs) -> Any:
            saved = await bench.store.get(job.id)
            assert saved.job == job
            assert bench.store.entries[-1].event == "BuildStarted"
            return Built(image("new"))

        await bench.put(a_build())
        bench.on(StartBuild, BuildStarted())
        bench.on(RunBuild, check)
        bench.on(VerifyImage, Later(30))
        await bench.worker.once()
        assert (await bench.job("b-1")).state is BuildState.VERIFYING
        assert [e.state for e in bench.store.entries] == ["building", "verifying"]

    at_bench(run)


def test_a_job_that_ended_leaves_the_queue() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(an_update())
        bench.on(AwaitBuild, Failed("no"))
        await bench.worker.once()
        assert bench.store.due_in("u-1") is None
        assert bench.store.entries[-1].detail == "no"
        assert await bench.worker.once() is False

    at_bench(run)


def test_later_parks_the_job_and_forgets_its_failures() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.on(FollowRollout, Transient("x"), Later(5))
        await bench.worker.once()
        await asyncio.sleep(2)
        await bench.worker.once()
        assert bench.store.due_in("u-1") == 5
        assert bench.store.rows["u-1"].attempts == 0
        assert await bench.worker.once() is False

    at_bench(run)


def test_what_may_pass_is_tried_again_with_a_growing_pause() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.on(FollowRollout, Transient("the API server is away"))
        for attempt in range(1, 8):
            assert await bench.worker.once()
            pause = bench.store.due_in("u-1")
            assert pause is not None
            assert 2.0**attempt / 2 <= pause <= 2.0**attempt
            await asyncio.sleep(pause + 0.001)
        assert bench.store.rows["u-1"].attempts == 7, "attempts are kept"
        assert await bench.store.progress("u-1") == {"waiting": "the API server is away"}
        assert await bench.store.dead() == [], "what may pass never buries a job"

    at_bench(run)


def test_a_pause_that_the_other_side_named_is_kept() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.on(FollowRollout, Transient("429", retry_after_seconds=77))
        await bench.worker.once()
        assert bench.store.due_in("u-1") == 77

    at_bench(run)


def test_a_pause_that_is_named_too_long_leaves_no_rollout_unwatched() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.on(FollowRollout, Transient("429", retry_after_seconds=86400))
        await bench.worker.once()
        assert bench.store.due_in("u-1") == BACKOFF_LONGEST_SECONDS

    at_bench(run)


@pytest.mark.parametrize(
    ("attempt", "spread", "pause"),
    [(1, 0.0, 2.0), (2, 0.0, 4.0), (1, 1.0, 1.0), (9, 0.0, 300.0), (10**6, 0.0, 300.0)],
)
def test_the_backoff(attempt: int, spread: float, pause: float) -> None:
    assert backoff_seconds(attempt, spread=spread) == pause


def test_a_refusal_ends_an_update_that_touched_nothing() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(an_update())
        bench.on(AwaitBuild, Refused("401"))
        await bench.worker.once()
        job = await bench.job()
        assert (job.state, job.ended_because) == (S.FAILED, "401")

    at_bench(run)


@pytest.mark.parametrize("state", [S.APPLYING, S.ROLLING_OUT, S.SOAKING])
def test_a_refusal_never_ends_an_update_that_may_have_touched_its_cluster(
    state: UpdateState,
) -> None:
    async def run(bench: Bench) -> None:
        await bench.put(an_update(state=state))
        for action in (Apply, FollowRollout, Soak):
            bench.on(action, Refused("403"))
        await bench.worker.once()
        assert (await bench.job()).state is state
        assert (bench.store.due_in("u-1") or 0) > 0
        assert await bench.store.progress("u-1") == {"waiting": "403"}

    at_bench(run)


def test_a_refusal_ends_a_build() -> None:
    assert type(on_refusal(a_build(), Refused("no base"))).__name__ == "BuildFailed"


def test_five_crashes_set_a_job_aside_for_a_person_and_do_not_lose_it() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.on(FollowRollout, ZeroDivisionError("a bug"))
        for crash in range(1, CRASHES_ALLOWED + 1):
            assert await bench.worker.once(), crash
            await asyncio.sleep(backoff_seconds(crash, spread=0.0) + 0.001)
        assert await bench.worker.once() is False
        ((stored, because),) = await bench.store.dead()
        assert (stored.job, because) == (ROLLING, "ZeroDivisionError: a bug")
        assert bench.store.entries[-1].event == "Buried"
        await bench.store.revive("u-1", bench.store.entries[-1])
        bench.on(FollowRollout, RolledOut())
        bench.on(Soak, Later(9))
        assert await bench.worker.once()
        assert (await bench.job()).state is S.SOAKING

    at_bench(run)


def test_an_event_that_cannot_be_is_a_bug_not_a_step() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.on(FollowRollout, BuildReady(image("x")))
        await bench.worker.once()
        assert await bench.job() == ROLLING
        assert bench.store.due_in("u-1") == 2.0

    at_bench(run)


def test_a_lease_is_renewed_while_a_long_action_runs() -> None:
    async def run(bench: Bench) -> None:
        async def long(job: Job, still_ours: StillOurs) -> Any:
            await asyncio.sleep(3600)
            return RolledOut()

        await bench.put(ROLLING)
        bench.on(FollowRollout, long)
        bench.on(Soak, Later(9))
        await bench.worker.once()
        assert (await bench.job()).state is S.SOAKING
        assert bench.store.renewals >= 3600 / 10 - 1

    at_bench(run)


def test_a_short_absence_of_the_store_does_not_stop_an_action() -> None:
    async def run(bench: Bench) -> None:
        async def long(job: Job, still_ours: StillOurs) -> Any:
            await asyncio.sleep(25)
            return RolledOut()

        await bench.put(ROLLING)
        bench.store.fails["renew"] = [Transient("away")]
        bench.on(FollowRollout, long)
        bench.on(Soak, Later(9))
        await bench.worker.once()
        assert (await bench.job()).state is S.SOAKING

    at_bench(run)


def test_a_lease_that_cannot_be_renewed_in_time_stops_the_action() -> None:
    async def run(bench: Bench) -> None:
        ended: list[float] = []

        async def long(job: Job, still_ours: StillOurs) -> Any:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(asyncio.get_running_loop().time())

        await bench.put(ROLLING)
        bench.store.fails["renew"] = [Transient("away")] * 99
        bench.on(FollowRollout, long)
        assert await bench.worker.once()
        assert ended == [30.0], "before another worker can have the job, or as it can"
        assert await bench.job() == ROLLING

    at_bench(run)


def test_who_has_lost_the_lease_commits_nothing() -> None:
    """A process that was frozen beyond its lease: somebody else has the job now."""

    async def run(bench: Bench) -> None:
        async def frozen(job: Job, still_ours: StillOurs) -> Any:
            row = bench.store.rows[job.id]
            row.lease_ends = row.due = 0
            assert await bench.store.claim("other", 30, [JobKind.UPDATE])
            with pytest.raises(LeaseLost):
                await still_ours()
            return RolledOut()

        await bench.put(ROLLING)
        bench.on(FollowRollout, frozen)
        assert await bench.worker.once()
        assert await bench.job() == ROLLING
        assert bench.store.entries == []
        assert bench.store.rows["u-1"].fence == 2

    at_bench(run)


async def superseded(bench: Bench, job: Job) -> None:
    """Somebody else ends the job while a worker has it."""
    stored = await bench.store.get(job.id)
    ended = step(stored.job, Superseded("u-2"), now=T0)
    change = Change(job=ended, expected=stored.version, due_in_seconds=None)
    await bench.store.commit([change], [])


def test_a_decision_made_meanwhile_stops_the_action_and_stays() -> None:
    async def run(bench: Bench) -> None:
        async def long(job: Job, still_ours: StillOurs) -> Any:
            await superseded(bench, job)
            await asyncio.sleep(3600)
            raise AssertionError("it should have been stopped")

        await bench.put(an_update())
        bench.on(AwaitBuild, long)
        assert await bench.worker.once()
        assert (await bench.job()).state is S.SUPERSEDED
        assert asyncio.get_running_loop().time() <= 10, "noticed with the next renewal"
        assert await bench.worker.once() is False

    at_bench(run)


def test_before_anything_outside_is_changed_a_decision_made_meanwhile_is_seen() -> None:
    async def run(bench: Bench) -> None:
        async def act(job: Job, still_ours: StillOurs) -> Any:
            await superseded(bench, job)
            with pytest.raises(Superfluous):
                await still_ours()
            await still_ours()

        await bench.put(an_update())
        bench.on(AwaitBuild, act)
        assert await bench.worker.once()
        assert (await bench.job()).state is S.SUPERSEDED

    at_bench(run)


def test_a_vote_during_a_running_action_is_not_lost_and_acted_upon_at_once() -> None:
    async def run(bench: Bench) -> None:
        async def asking(job: Update, still_ours: StillOurs) -> Any:
            people = People(store=bench.store, clock=bench.store.clock)
            await people.approve(job.id, by="ann")
            return Later(24 * 3600)

        await bench.put(ASKED)
        bench.on(AskApproval, asking)
        await bench.worker.once()
        job = await bench.job()
        assert (job.state, [vote.by for vote in job.votes]) == (S.SCHEDULED, ["ann"])
        assert bench.store.due_in("u-1") == 0, "not after a day, nor after the lease"

    at_bench(run)


def test_a_vote_that_comes_before_our_own_step_wins_and_costs_no_backoff() -> None:
    async def run(bench: Bench) -> None:
        async def asking(job: Update, still_ours: StillOurs) -> Any:
            voted = replace(job, votes=(a_vote(job, "ann"),))
            await bench.store.commit([Change(job=voted, expected=1)], [])
            return Approved(job.binding)

        await bench.put(replace(ASKED, policy=a_policy(auto=True)))
        bench.on(AskApproval, asking)
        await bench.worker.once()
        job = await bench.job()
        assert (job.state, len(job.votes)) == (S.AWAITING_APPROVAL, 1)
        assert await bench.store.progress("u-1") == {}, "nothing failed, so nothing is told"
        assert bench.store.due_in("u-1") == 0
        assert bench.store.rows["u-1"].attempts == 0

    at_bench(run)


def test_a_worker_that_is_told_to_stop_hands_its_job_back_at_once() -> None:
    async def run(bench: Bench) -> None:
        async def long(job: Job, still_ours: StillOurs) -> Any:
            await asyncio.sleep(3600)

        await bench.put(ROLLING)
        bench.on(FollowRollout, long)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(12):
                await bench.worker.run()
        assert asyncio.get_running_loop().time() == 12
        assert bench.store.due_in("u-1") == 0
        assert bench.store.rows["u-1"].lease_ends == 0
        assert bench.store.rows["u-1"].attempts == 0
        assert await bench.job() == ROLLING

    at_bench(run)


def test_a_worker_waits_while_the_store_is_away() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.store.fails["claim"] = [Transient("away")] * 3
        bench.on(FollowRollout, RolledOut())
        bench.on(Soak, Later(10**6))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await bench.worker.run()
        assert (await bench.job()).state is S.SOAKING

    at_bench(run)


def test_a_save_that_fails_is_not_taken_for_done() -> None:
    async def run(bench: Bench) -> None:
        await bench.put(ROLLING)
        bench.store.fails["commit"] = [Transient("disk full")]
        bench.on(FollowRollout, RolledOut())
        await bench.worker.once()
        assert await bench.job() == ROLLING
        assert (bench.store.due_in("u-1") or 0) > 0

    at_bench(run)


def test_a_crash_anywhere_runs_the_same_action_again() -> None:
    """`kill -9` leaves the lease to run out; whoever claims the job then does what it waits for."""

    async def run(bench: Bench) -> None:
        await bench.put(an_update(state=S.APPLYING))
        assert await bench.store.claim("killed", 30, [JobKind.UPDATE])
        bench.on(Apply, Applied())
        bench.on(FollowRollout, Later(5))
        assert await bench.worker.once() is False
        await asyncio.sleep(30.001)
        assert await bench.worker.once()
        assert bench.seen == ["Apply while applying", "FollowRollout while rolling-out"]

    at_bench(run)
