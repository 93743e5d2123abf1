"""Whether what was seen of a cluster is of now: the one rule for whoever relies upon it. Pure."""

from datetime import datetime, timedelta

SKEW = timedelta(seconds=60)
"""Views a little ahead are of replicas, whose clocks differ; what is further ahead was seen before
the clock was put back, and nobody knows when."""


def is_ahead(observed_at: datetime, *, now: datetime) -> bool:
    """Return whether it was seen at a moment that is still to come."""
    return observed_at - now > SKEW


def is_old(observed_at: datetime, *, now: datetime, most: timedelta) -> bool:
    """Return whether it was seen longer ago than `most`, or nobody knows how long ago."""
    return now - observed_at > most or is_ahead(observed_at, now=now)
