"""How settings are spelt in the file: as in the code, without the unit of a duration.

What reads better to people than to Python is listed here, once for reading and for printing.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from watcher.core.order import After
from watcher.core.windows import Blackout
from watcher.settings_alerts import AlertSettings

SUFFIX = "_seconds"
"""A setting `lease_seconds` of the code is `lease` in the file: its unit stands there."""
OTHERWISE: Mapping[type, Mapping[str, str]] = {
    Blackout: {"first": "from", "last": "to"},
    After: {"place": "pool"},
    # As a key, `off` is `false` to everything that reads YAML 1.1, Helm among it.
    AlertSettings: {"off": "disabled"},
}


def spelt(dataclass: type[Any]) -> dict[str, str]:
    """Return the file's key of each field of a dataclass."""
    other = OTHERWISE.get(dataclass, {})
    names = (field.name for field in dataclasses.fields(dataclass))
    return {name: other.get(name, name.removesuffix(SUFFIX)) for name in names}


def inwards(dataclass: type[Any]) -> dict[str, str]:
    """Return the field of a dataclass that each key of the file means."""
    return {key: name for name, key in spelt(dataclass).items()}
