"""What a simulated cluster is made of: releases, pools, and how long things take."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release payload, as far as nodes and operators notice it."""

    version: str
    image: str
    """Pullspec of the payload by digest."""
    os_image: str
    """``rhel-coreos``: the base that pools get."""
    os_extensions: str = ""
    streams: Mapping[str, str] = field(default_factory=dict)
    """Stream name → OS image. Not empty: the cluster serves an OSImageStream."""
    default_stream: str = "rhel-9"
    signed: bool = True
    """False: nobody signed it, and an administrator forces the upgrade."""

    @property
    def minor(self) -> tuple[int, int]:
        found = re.match(r"(\d+)\.(\d+)\.", self.version)
        if not found:
            raise ValueError(f"not an OpenShift version: {self.version!r}")
        return int(found[1]), int(found[2])

    @property
    def kubernetes(self) -> str:
        """4.y runs Kubernetes 1.(y+13); 5.y continues after 4.22 (its twin is 4.23)."""
        major, minor = self.minor
        return f"1.{minor + 13 + (23 if major == 5 else 0)}.0"

    @property
    def controller_version(self) -> str:
        """A stand-in for the commit of the machine-config-operator: one for each release."""
        return self.version.encode().hex().ljust(40, "0")[:40]

    def base(self, stream: str = "") -> str:
        """The OS image of a stream, or of the release if it has no streams."""
        return self.streams[stream or self.default_stream] if self.streams else self.os_image


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """A pool to create, with its nodes."""

    name: str
    nodes: int = 3
    max_unavailable: int | str | None = None
    paused: bool = False
    os_image_stream: str = ""

    @property
    def custom(self) -> bool:
        return self.name not in ("master", "worker")

    @property
    def roles(self) -> list[str]:
        """Roles of MachineConfigs that the pool selects: a custom pool inherits the worker's."""
        return ["worker", self.name] if self.custom else [self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long things take, in simulated seconds. The two delays are the MCO's own."""

    render_delay: float = 5
    update_delay: float = 5
    accept: float = 10
    """From a requested upgrade to ``status.desired``."""
    until_machine_config: float = 60
    """Until the operator reaches run level 0000_80, where the OS image changes."""
    poll: float = 10
    """How often the version operator looks whether it can go on."""
    drain: float = 20
    rebase: float = 40
    retry: float = 60
    """A degraded node tries again after this."""
    reboot: float = 90


DEFAULT_TIMINGS = Timings()
