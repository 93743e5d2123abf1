"""Whatever happens to findings, silences and sight: what always holds of notices."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alerting import DAY, HOUR, ONE, UPGRADING, Days, a_finding, a_silence, a_surveyed
from tests.facts import T0, an_update, seconds
from watcher.core import notices
from watcher.core.alerts import WAITS, Rule
from watcher.core.facts import ClusterName
from watcher.core.lag import Lag
from watcher.core.letters import Severity
from watcher.core.notices import Concern, Memory, Standing
from watcher.core.silences import in_force
from watcher.core.state import Finding, Flag, Raised, State
from watcher.core.update_events import UpdateState
from watcher.settings_alerts import AlertEscalation
from watcher.telling.fleet import kept_row

PLACES = ("prod/a", "prod/b", "test/a")
PAGER, BOSS = "webhook:pager", "slack:C-boss"
STEPS = (AlertEscalation(after_seconds=2 * HOUR, to=(BOSS,), severities=("warning", "critical")),)


def by_severity(place: str, severity: Severity) -> Sequence[str]:
    """Production to two places, and what is critical to a pager too."""
    found = [ONE] if place.startswith("prod") else ["slack:C2"]
    return (*found, PAGER) if severity is Severity.CRITICAL else found


@dataclass(frozen=True)
class Pool:
    lag: int = 0
    degraded: bool = False
    rolling: bool = False

    def finding(self, place: str) -> Finding:
        flags = (Raised(flag=Flag.DEGRADED, said="node a: x"),) if self.degraded else ()
        state = State.BEHIND if self.lag else State.CURRENT
        return a_finding(place, *flags, state=state, lag=Lag(releases=self.lag))


@dataclass(frozen=True)
class Step:
    after: int
    pools: tuple[Pool, ...]
    blind: frozenset[str] = frozenset()
    upgrading: bool = False
    silenced: tuple[tuple[str, str, int], ...] = ()
    """Scope, rule, and for how long: put into force now."""


some_pools = st.builds(
    Pool,
    lag=st.sampled_from([0, 0, 1, 9]),
    degraded=st.booleans(),
    rolling=st.sampled_from([False, False, False, True]),
)
some_steps = st.lists(
    st.builds(
        Step,
        after=st.sampled_from([30, 240, 900, HOUR, 3 * HOUR, DAY]),
        pools=st.tuples(*[some_pools for _ in PLACES]),
        blind=st.frozensets(st.sampled_from(["prod", "test"]), max_size=1),
        upgrading=st.sampled_from([False, False, True]),
        silenced=st.lists(
            st.tuples(
                st.sampled_from(["", "prod", "prod/a"]),
                st.sampled_from(["", "lag", "degraded"]),
                st.sampled_from([600, HOUR, DAY]),
            ),
            max_size=1,
        ).map(tuple),
    ),
    min_size=1,
    max_size=25,
)
CALM = Step(after=DAY, pools=tuple(Pool() for _ in PLACES))


@dataclass
class World:
    days: Days = field(default_factory=lambda: Days(to=by_severity, escalations=STEPS))
    seen: dict[str, datetime] = field(default_factory=lambda: {"prod": T0, "test": T0})
    """When each cluster was last seen."""
    found: dict[str, Any] = field(default_factory=dict)

    def go(self, step: Step) -> "World":
        days, now = self.days, self.days.now + seconds(step.after)
        for scope, rule, lasts in step.silenced:
            until = now + seconds(lasts)
            days.silences.append(a_silence(scope, rule, id=f"s-{until}", at=now, until=until))
        active = {}
        for cluster in ("prod", "test"):
            mine = [(p, one) for p, one in zip(PLACES, step.pools, strict=True) if cluster in p]
            if cluster not in step.blind or cluster not in self.found:
                stage = {"stage": UPGRADING} if step.upgrading else {}
                findings = [pool.finding(place) for place, pool in mine]
                self.found[cluster] = a_surveyed(*findings, cluster=ClusterName(cluster), **stage)
                self.seen[cluster] = now
            for place, pool in mine:
                if pool.rolling:
                    active[place] = an_update(state=UpdateState.ROLLING_OUT)
        days.blind = {"prod", "test"}
        surveyed = [replace(self.found[c], observed_at=self.seen[c]) for c in ("prod", "test")]
        days.see(*surveyed, after=step.after, active=active)
        return self

    @property
    def dark(self) -> set[str]:
        return set(self.days.terms.unseen)


def saved(memory: Memory) -> Memory:
    """As it comes back from the store, with what is as by default left out."""

    def again(row: Concern | Standing) -> Any:
        return msgspec.convert(msgspec.json.decode(msgspec.json.encode(kept_row(row))), type(row))

    return Memory(
        concerns=tuple(map(again, memory.concerns)), notices=tuple(map(again, memory.notices))
    )


def run(steps: list[Step]) -> list[tuple[Step, World, Memory]]:
    """Each step with the world and what was remembered after it."""
    world, found = World(), []
    for step in steps:
        world.go(step)
        found.append((step, world, world.days.memory))
    return found


@settings(max_examples=60)
@given(some_steps)
def test_each_cause_has_at_most_one_open_notice_at_a_place(steps: list[Step]) -> None:
    for _, _, memory in run(steps):
        stand = [(one.to, one.cause) for one in memory.notices if one.over_at is None]
        assert len(stand) == len(set(stand))
        keys = [letter.key for letter in notices.letters(memory)]
        assert len(keys) == len(set(keys))


@settings(max_examples=60)
@given(some_steps)
def test_every_notice_that_was_told_is_over_once(steps: list[Step]) -> None:
    """What comes back soon is open again; at the end each has ended once more than that."""
    opened, closed = Counter[str](), Counter[str]()
    before: dict[str, Standing] = {}
    for _, _, memory in run([*steps, CALM, replace(CALM, after=60)]):
        now = {one.key: one for one in memory.notices}
        for key in before.keys() - now.keys():
            assert before[key].over_at is not None, "forgotten before it was over"
        for key, one in now.items():
            was = before.get(key)
            if one.over_at is None and (was is None or was.over_at is not None):
                opened[key] += 1
            if one.over_at is not None and (was is not None and was.over_at is None):
                closed[key] += 1
        before = now
    assert opened == closed
    assert all(one.over_at is not None for one in before.values())


@settings(max_examples=60)
@given(some_steps)
def test_a_process_that_starts_anew_says_the_same(steps: list[Step]) -> None:
    one, other = World(), World()
    for step in steps:
        one.go(step)
        other.days.memory = saved(other.days.memory)
        other.go(step)
        assert notices.letters(one.days.memory) == notices.letters(other.days.memory)
        assert one.days.again == other.days.again


@settings(max_examples=60)
@given(some_steps, st.integers(0, 24))
def test_a_process_that_dies_between_its_two_writes_names_notices_as_before(
    steps: list[Step], place: int
) -> None:
    one, other = World(), World()
    for number, step in enumerate(steps):
        one.go(step)
        before = other.days.memory
        other.go(step)
        if number == place:  # what concerns is saved first
            other.days.memory = replace(before, concerns=other.days.memory.concerns)
            other.go(replace(step, after=0, silenced=()))
        assert {n.key for n in one.days.stand} == {n.key for n in other.days.stand}


@settings(max_examples=60)
@given(some_steps)
def test_a_repeat_changes_nothing(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        before = world.go(step).days.memory
        assert world.go(replace(step, after=0, silenced=())).days.memory == before


@settings(max_examples=80)
@given(some_steps)
def test_no_silence_and_no_darkness_loses_an_alert(steps: list[Step]) -> None:
    """What has held for the time of its rule, as far as it was seen, and is neither silenced nor
    held back now, is told where it shall be."""
    since: dict[tuple[str, Rule], datetime] = {}
    for step, world, _ in run_one_by_one(steps):
        days = world.days
        for place, pool in zip(PLACES, step.pools, strict=True):
            cluster, _, name = place.partition("/")
            if cluster in world.dark:
                continue
            if world.seen[cluster] < days.now:  # what is known is what was seen before
                if pool.rolling:  # but for what we do ourselves
                    since.pop((place, Rule.LAG), None)
                    since.pop((place, Rule.DEGRADED), None)
                continue
            quiet_lag = step.upgrading or pool.rolling
            for rule, holds in (
                (Rule.LAG, pool.lag > 0 and not quiet_lag),
                (Rule.DEGRADED, pool.degraded and not pool.rolling),
            ):
                if not holds:
                    since.pop((place, rule), None)
                    continue
                began = since.setdefault((place, rule), days.now)
                silenced = in_force(
                    days.silences, rule=rule, cluster=cluster, pool=name, now=days.now
                )
                if silenced or days.now - began < WAITS[rule]:
                    continue
                to = ONE if cluster == "prod" else "slack:C2"
                stand = [n for n in days.stand if n.to == to and n.cause.startswith(f"{rule}:")]
                assert any(place in n.places for n in stand), (place, rule)


def run_one_by_one(steps: list[Step]) -> Any:
    world = World()
    for step in steps:
        world.go(step)
        yield step, world, world.days.memory


@settings(max_examples=60)
@given(some_steps)
def test_what_is_silenced_for_ever_is_never_told_and_calls_nobody(steps: list[Step]) -> None:
    world = World()
    world.days.silences = [a_silence(until=T0 + seconds(1000 * DAY))]
    for step in steps:
        world.go(step)
        assert {one.cause.partition(":")[0] for one in world.days.memory.notices} == set()


@settings(max_examples=60)
@given(some_steps)
def test_nobody_is_called_for_what_is_not_worse_than_before(steps: list[Step]) -> None:
    """Each call is of a notice that stands, loud, and comes with a rise or the end of a silence."""
    before: dict[str, Standing] = {}
    for _, world, memory in run_one_by_one(steps):
        now = {one.key: one for one in memory.notices}
        for key, one in now.items():
            was = before.get(key)
            if one.called_at != world.days.now or (was and was.called_at == one.called_at):
                continue
            assert was is not None
            rises = list(Severity).index(one.severity) > list(Severity).index(was.peak)
            assert rises or (was.silenced and one.loud_since != was.loud_since)
        calls = [letter for letter in notices.letters(memory) if letter.once]
        for call in calls:
            head = now[call.thread_of]
            assert head.over_at is None
            assert head.loud_since is not None
        before = now
