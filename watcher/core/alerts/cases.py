"""All cases that hold now, of all rules; a cause that two rules would tell is told by one."""

from collections.abc import Iterator

from watcher.core.alerts import looks, pools, work
from watcher.core.alerts.model import RANKS, Case, Facts, Limits, Rule
from watcher.core.letters import Severity

_TELL_OF_LAG = frozenset({Rule.AVAILABLE, Rule.HELD, Rule.UPDATE_STUCK, Rule.BUILD_FAILING})
"""What says already that a pool does not get its release, and why."""


def cases(facts: Facts, limits: Limits) -> list[Case]:
    """Return what holds, without rules that are off. Who is silent about what is decided later."""
    found = [case for case in _all(facts, limits) if limits.is_on(case.rule)]
    explained = {case.place for case in found if case.rule in _TELL_OF_LAG}
    for case in found:
        # A lag that only warns is what comes of it; a critical one is trouble of its own.
        if case.rule is Rule.LAG and case.place in explained:
            case.is_quiet |= RANKS[case.severity] < RANKS[Severity.CRITICAL]
    return found


def _all(facts: Facts, limits: Limits) -> Iterator[Case]:
    yield from pools.cases(facts, limits)
    yield from looks.cases(facts, limits)
    yield from work.cases(facts, limits)
