"""Silences: a person's order not to be told of some alerts for a while. Pure.

A silence holds back what is told, never what is done, and always ends by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LONGEST = timedelta(days=30)
"""What shall be quiet for longer is a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    id: str
    """`s-…`, for lifting it."""
    scope: str
    """Where: "" everywhere, `prod` in one cluster, `prod/infra` in one pool; as of a freeze."""
    rule: str
    """The alert's rule; "" for all of them."""
    by: str
    because: str
    at: datetime
    until: datetime
    """The first moment after it."""


def sentence(silence: Silence) -> str:
    """Return what is silenced, by whom, until when, and why."""
    what = f"alert {silence.rule}" if silence.rule else "every alert"
    until = f"{silence.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{what} is silenced by {silence.by} until {until}: {silence.because}"


def in_force(
    silences: Iterable[Silence], *, rule: str, cluster: str, pool: str, now: datetime
) -> tuple[Silence, ...]:
    """Return the silences that hold back an alert of one pool; `pool` is empty for a cluster's."""
    scopes = {"", cluster, f"{cluster}/{pool}" if pool else cluster}
    return tuple(
        one
        for one in silences
        if one.scope in scopes
        and one.rule in ("", rule)
        and now.astimezone(UTC) < one.until.astimezone(UTC)
    )
