"""How registries are reached, and how much is read from them.

Every limit has a default that real images stay far below; each is named in the error it causes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is read of one thing, in bytes unless said otherwise."""

    manifest: int = 4 * MIB
    """The limit that registries themselves keep for a pushed manifest."""
    token: int = 64 * 1024
    config: int = 8 * MIB
    """A config lists one history entry a layer; a large real one has about 50 KiB."""
    payload_layer: int = 256 * MIB
    """Compressed. A real payload's last layer has about 13 MB."""
    payload_inflated: int = 1024 * MIB
    payload_file: int = 16 * MIB
    """image-references of 4.12 has about 130 KiB."""
    payload_entries: int = 50_000
    """Entries of the layer's archive; a real one has under two thousand."""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Trust, times and limits. Hosts are named as in a pullspec: ``host`` or ``host:port``."""

    ca_files: Mapping[str, Path] = field(default_factory=dict)
    """More certificate authorities (PEM) for one host, beside those of the system."""
    ca_file: Path | None = None
    """The same for every host: what ``--certificate-authority`` of a command names."""
    certs_dirs: tuple[Path, ...] = ()
    """containers-certs.d(5): the first that has a directory ``host[:port]`` counts for a host."""
    insecure_hosts: frozenset[str] = frozenset()
    """Hosts spoken to over plain HTTP. Nothing else is, unless `insecure`."""
    insecure: bool = False
    """``--insecure`` of a command, never a setting: no certificate is checked, and a host that
    does not speak TLS is spoken to over plain HTTP. Logins still go to their own hosts only."""
    use_proxy_environment: bool = True
    """Whether HTTPS_PROXY, HTTP_PROXY and NO_PROXY count."""
    connections: int = 4
    """To one host for reading, and as many for writing: a copy holds one of each."""
    requests_per_second: float = 50.0
    """To one host, in all; evenly, with a burst of 0.4 s worth."""
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    """The longest silence within an answer, and within a request's body."""
    call_seconds: float = 120.0
    """One small call at one place with all its retries: manifest, config, token, HEAD."""
    blob_seconds: float = 3600.0
    """One blob at one place with all its retries: a base of 1.5 GB at 4 Mbit/s takes 50 minutes.
    Also the longest that any request waits for a free connection and its answer's beginning."""
    attempts: int = 5
    """How often one request is sent in all, when the answer is 429, 502, 503, 504 or none."""
    backoff_seconds: float = 0.5
    """The first pause between attempts; doubles each time, plus or minus half by chance."""
    backoff_budget_seconds: float = 45.0
    """All pauses of one call together; a longer Retry-After is handed to the caller instead."""
    limits: Limits = field(default_factory=Limits)
