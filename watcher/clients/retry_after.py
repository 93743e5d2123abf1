"""How long an HTTP answer asks us to wait."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that Retry-After names; None where it names none that can be read.

    A date counts from the answer's own Date, not our clock; where it has none, from `now` if given.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    until, since = _date(text), _date(headers.get("date", "")) or now
    return max((until - since).total_seconds(), 0.0) if until and since else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else None
