"""What can be chosen about the builders, with every default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

_CLOSED_DIRECTORIES = MappingProxyType(
    {
        "etc/audit": 0o750,
        "etc/audit/rules.d": 0o750,
        "etc/sudoers.d": 0o750,
        "etc/credstore": 0o700,
        "etc/credstore.encrypted": 0o700,
        "etc/firewalld": 0o750,
        "etc/nftables": 0o700,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendSettings:
    """See `docs/decisions/0002-builders.md` for why directories need settings."""

    directory_modes: Mapping[str, int] = field(default_factory=lambda: _CLOSED_DIRECTORIES)
    """Modes of the base's directories that are not 0755, as RHEL's packages set them."""
    memory_bytes: int = 8 * 1024 * 1024
    """A layer larger than this is kept in a file while it is made and sent."""
    scratch: Path | None = None
    """Where that file is; None for the system's temporary directory."""
    parallel_blobs: int = 4
    """Blobs of the base carried over at the same time. The client opens at most 8 connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildahSettings:
    work: Path
    """Ours alone: storage, temporary files, and what is left after a crash. Bases stay in it."""
    program: str = "buildah"
    isolation: str = "chroot"
    """`chroot` needs no new namespaces, so it also works in a pod; also `oci`, `rootless`."""
    storage_driver: str = "overlay"
    """`vfs` where overlay cannot be mounted (a pod without privileges); slower, needs more disk."""
    kept_bases: int = 2
    """Bases kept for the next build. Two: the one in use and the one before it."""
    build_seconds: float = 3600.0
    """All of one build command. A recipe with `dnf install` takes minutes."""
    push_seconds: float = 1800.0
    small_seconds: float = 120.0
    """Commands that only touch our own storage."""
    grace_seconds: float = 5.0
    """From SIGTERM to SIGKILL; below the service's own 20 s for stopping."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the program's environment, which is empty otherwise: HTTPS_PROXY and the like."""
