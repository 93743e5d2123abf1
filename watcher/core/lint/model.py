"""What lint says, what it may be told of a pool, and the severities."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from watcher.core.cluster import MachineConfig
from watcher.core.mco import minor_of


class Severity(StrEnum):
    ERROR = "error"
    """Nodes or the build will suffer from it, or a secret is out."""
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that is wrong with a recipe, at one line."""

    code: str
    """``RL001`` …, of `rules.RULES`; a code keeps its meaning for ever."""
    severity: Severity
    file: str
    """The Containerfile, as the caller named it."""
    line: int
    """Counted from 1."""
    sentence: str
    """For people, one line. Never holds the content of a file or the value of a variable."""
    start: int
    """The line on which the instruction begins: what is ignored there is ignored in all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a rule has found, before it is a complaint."""

    line: int
    sentence: str
    start: int
    severity: Severity | None = None
    """None: that of the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolContext:
    """What is known of the pool that the image is for. All of it may be unknown."""

    release: str = ""
    """Version of the cluster's release, as ``4.18.9``; ``4.18`` is enough."""
    base_labels: Mapping[str, str] = field(default_factory=dict)
    """Of the base that the image will stand on; empty: not known."""
    kernel_type: str = ""
    """``realtime``, ``64k-pages``; empty for the default kernel."""
    kernel_type_by: str = ""
    """Name of the MachineConfig that says so."""
    extensions: Mapping[str, str] = field(default_factory=dict)
    """Extension → name of the MachineConfig that sets it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path of a file → name of the MachineConfig that writes it."""

    @property
    def minor(self) -> tuple[int, int] | None:
        """Of the release; None where it is not known."""
        for text in (self.release, f"{self.release}.0"):
            try:
                return minor_of(text)
            except ValueError:
                continue
        return None

    @classmethod
    def of(
        cls,
        configs: Iterable[MachineConfig],
        *,
        release: str = "",
        base_labels: Mapping[str, str] | None = None,
    ) -> "PoolContext":
        """What the MachineConfigs of a pool say, given in the order in which they are merged."""
        kernel_type, kernel_type_by, extensions = "", "", dict[str, str]()
        files: dict[str, str] = {}
        for config in configs:
            if config.kernel_type and config.kernel_type != "default":
                kernel_type, kernel_type_by = config.kernel_type, config.meta.name
            for extension in config.extensions:
                extensions.setdefault(extension, config.meta.name)
            files.update(dict.fromkeys(config.files, config.meta.name))
        return cls(
            release=release,
            base_labels=base_labels or {},
            kernel_type=kernel_type,
            kernel_type_by=kernel_type_by,
            extensions=extensions,
            files=files,
        )


def shown(text: str, *, limit: int = 100) -> str:
    """Text of a recipe made fit for a sentence: printable, one line, short."""
    line = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"
