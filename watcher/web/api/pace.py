"""How often one caller may ask for what costs: a look at a cluster and its registries, a build."""

import math
from collections import OrderedDict
from dataclasses import dataclass, field

from watcher.ports import Clock
from watcher.web.problems import Problem

MOST_CALLERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`burst` at once, then one every `seconds`. Each replica counts for itself."""

    clock: Clock
    seconds: float
    burst: int
    _free_at: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Caller → when a whole burst is free again."""

    def check(self, caller: str) -> None:
        """Count one; raise Problem 429 with the time after which one more is free."""
        now = self.clock.now().timestamp()
        free_at = max(now, self._free_at.get(caller, now)) + self.seconds
        wait = free_at - now - self.seconds * self.burst
        if wait > 0:
            seconds = math.ceil(wait)
            said = f"this costs, so it may be asked {self.burst} times at once and then every"
            raise Problem(
                429,
                f"{said} {self.seconds:g} s; ask again in {seconds} s",
                {"Retry-After": str(seconds)},
            )
        self._free_at[caller] = free_at
        self._free_at.move_to_end(caller)
        while len(self._free_at) > MOST_CALLERS:
            self._free_at.popitem(last=False)
