"""Settings about registries and releases; see `watcher.settings`.

Apart from the others, so that a command that only asks a registry need not load them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    auth_file: Path | None = None
    """containers-auth.json(5), for reading releases and bases and for pushing results."""
    ca_files: Mapping[str, Path] = field(default_factory=dict)
    """host[:port] → CA bundle, beside the system's own."""
    plain_http: tuple[str, ...] = ()
    """Hosts spoken to without TLS. For tests and the demo."""
    certs_dirs: tuple[Path, ...] = (
        Path("/etc/containers/certs.d"),
        Path("/etc/docker/certs.d"),
    )
    """containers-certs.d(5): a directory for each host[:port]; the first that has it counts."""
    mirror_files: tuple[Path, ...] = ()
    """Mirror sets as YAML, for every cluster; those of each cluster are read from it."""
    requests_per_second: float = 50.0
    """To one host, in all. quay.io answers 429 to much more than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """What makes a release genuine, and what comes after it."""

    verify: str = "require"
    """require: nothing is applied of a release without good signatures; a CI build or nightly that
    the cluster took unverified is only warned of. warn: only told. off: not looked at."""
    keys: tuple[Path, ...] = ()
    """OpenPGP public keys that must have signed, where no cluster says so (`relayer image-for`)."""
    signature_stores: tuple[str, ...] = ()
    """Asked beside those of the cluster."""
    graph_url: str = ""
    """The update service; empty: the cluster's spec.upstream, else the public one."""
