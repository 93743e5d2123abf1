"""The real time: the one edge that reads the clock."""

from datetime import UTC, datetime


class SystemClock:
    """`ports.Clock` of this machine, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - see above
