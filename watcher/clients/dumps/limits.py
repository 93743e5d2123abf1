"""How much of a dump is read. A real one is far below every limit; a hostile one ends at one.

What is beyond a limit is told in a sentence that names it, and the rest of the dump goes on.
"""

from dataclasses import dataclass

from watcher.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, after decompression."""

    total_bytes: int = 12 * 1024**3
    """Read in all: 5,000 MachineConfigs of 1.5 MiB are 7.5 GiB. Archives are read as a whole."""
    file_bytes: int = 8 * 1024**3
    """Of one file; only a list of all MachineConfigs is large."""
    object_bytes: int = 4 * 1024**2
    """Of one object, without its Ignition body where it is YAML. The API server takes 1.5 MiB;
    every line of it is indented in a dump."""
    entries: int = 1_000_000
    """Files and directories looked at. A must-gather of a large cluster has 100,000."""
    objects: int = 200_000
    """Objects of the kinds we read."""
    lines: int = 3_000_000
    """Of one YAML file, outside of what is deeper than an object's first line: some ten for each
    object. Each is looked at by itself, so that a few bytes of comments, packed, last for hours."""
    values: int = 50_000
    """Of one YAML object, keys counted too. A node with all its labels has 500."""
    depth: int = 50
    problems: int = 100
    """Sentences kept of one cluster, and of one file; the others are counted."""


class Spent(Refused):
    """A limit of the whole reading is reached: nothing more is read. The message names it."""


class Budget:
    """What is left of the limits of one reading."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._bytes = limits.total_bytes
        self._entries = limits.entries
        self._objects = limits.objects

    def spend_bytes(self, amount: int) -> None:
        self._bytes -= amount
        if self._bytes < 0:
            raise Spent(f"the dumps are larger than the limit of {self.limits.total_bytes} bytes")

    def spend_entry(self) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise Spent(f"the dumps have more than the limit of {self.limits.entries} files")

    def spend_object(self) -> None:
        self._objects -= 1
        if self._objects < 0:
            raise Spent(f"the dumps have more than the limit of {self.limits.objects} objects")
