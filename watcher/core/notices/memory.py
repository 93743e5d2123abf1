"""What is remembered of notices from one computation to the next."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from watcher.core.letters import Severity
from watcher.core.silences import Silence

if TYPE_CHECKING:
    from watcher.settings_alerts import AlertEscalation

AGAIN = timedelta(minutes=30)
"""What comes back within this is the same notice: a flapping cause only edits it. 30 min: six
looks, so that a cause which is there at every other look never gets a second message. What is as
bad again within this was told, too."""
KEPT = timedelta(days=1)
"""How long one that is over is still wanted: longer than chat is ever down."""
RENEWED = timedelta(minutes=30)
"""How often a sentence follows its changing numbers; each time is an edit in chat."""
MOST = 200
PLACES = 20
"""Pools that a notice names; how many more there are stands behind them."""
SENTENCE = 400
"""Most characters of a sentence."""

To = Callable[[str, Severity], Iterable[str]]
"""The places that news about a pool (cluster/pool; empty: about none) of a severity go to."""
WORSE, UNSILENCED = "worse", "unsilenced"
"""Why somebody is called anew about a notice that stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """A pool that something has to last for before it is told."""

    place: str
    """cluster/pool."""
    cause: str
    since: datetime
    """Since when it is concerned by this cause."""
    begun: datetime
    """Since when it waits to be told: a pool held for one thing after another is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A notice at one place, from when it is first told until a day after it is over."""

    to: str
    """`slack:C…` or `webhook:<name>`: each place is told of its own pools, and of their end."""
    cause: str
    title: str
    sentence: str
    places: tuple[str, ...]
    severity: Severity
    since: datetime
    """Names it together with `to` and `cause`, so it never changes."""
    said_at: datetime
    """When its sentence was taken."""
    over_at: datetime | None = None
    silenced: str = ""
    """By whom and until when, of all or some of it; empty: it is not."""
    escalated: bool = False
    """It is told here because it had lasted elsewhere."""
    loud_since: datetime | None = None
    """Since when it is as bad as this or worse, and nobody silenced it or is at it."""
    peak: Severity = Severity.INFO
    """The severity that somebody was last called for."""
    low_since: datetime | None = None
    """Since when it is not as bad as that."""
    called_at: datetime | None = None
    """When somebody was called anew, because an edit wakes nobody."""
    called: str = ""
    """`worse` or `unsilenced`."""

    @property
    def name(self) -> str:
        return f"{self.cause}:{self.since.astimezone(UTC):%Y%m%dT%H%M%S}"

    @property
    def key(self) -> str:
        """Its name within the subject `fleet`."""
        return f"notice:{self.name}@{self.to}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All that is remembered from one computation to the next; what may be lost first is last."""

    concerns: tuple[Concern, ...] = ()
    notices: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How cases are told."""

    to: To
    silences: Sequence[Silence] = ()
    escalations: "Sequence[AlertEscalation]" = ()
    unseen: Mapping[str, datetime] = field(default_factory=dict)
    """Clusters that are not seen, with when they were last: what is derived from them stays."""
    unsurveyed: frozenset[str] = frozenset()
    """Clusters of which nothing was found yet since this replica started."""
    unreadable: frozenset[str] = frozenset()
    """Places of pools whose object cannot be read: what was found of them stays."""
