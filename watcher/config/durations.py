"""Durations as people write them: `90s`, `10m`, `24h`, `7d`, `1h30m`.

One spelling rule for the whole file: a setting `lease_seconds` of the code is `lease:` here, and
its unit stands beside its number. A bare number counts as seconds.
"""

import re

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
LONGEST_SECONDS = 366 * 86400
_ONE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_ALL = re.compile(rf"(?:{_ONE.pattern})+")


def seconds(value: object) -> float:
    """Return the seconds that `value` means; raise ValueError naming the spelling."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a duration is written like 90s, 10m, 24h or 7d")
    if isinstance(value, str):
        if not _ALL.fullmatch(value):
            raise ValueError(f"{value[:40]!r} is no duration; write it like 90s, 10m, 24h or 7d")
        total = sum(float(amount) * UNITS[unit] for amount, unit in _ONE.findall(value))
    else:
        total = float(value)
    if not 0 <= total <= LONGEST_SECONDS:
        raise ValueError("a duration is between 0 and 366 days")
    return round(total, 3)


def whole_seconds(value: object) -> int:
    """As `seconds`, for settings that count whole ones."""
    found = seconds(value)
    if found != int(found):
        raise ValueError("only whole seconds make sense here")
    return int(found)


def text(amount: float) -> str:
    """Return the shortest spelling with one unit: 86400 → `24h`, 604800 → `7d`, 90 → `90s`."""
    for unit in ("d", "h", "m"):
        size = UNITS[unit]
        least = 2 if unit == "d" else 1  # 24h reads better than 1d, and 25h has no days
        if amount >= least * size and amount % size == 0:
            return f"{int(amount // size)}{unit}"
    return f"{int(amount) if amount == int(amount) else amount}s"
