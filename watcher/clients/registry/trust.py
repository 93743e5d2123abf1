"""What a host's certificate is checked against, and the certificate shown to it.

Beside the system's authorities a host has those named for it: in the configuration, in
containers-certs.d(5), in a cluster's additionalTrustedCA. One host's authority vouches for no
other, and one cluster's for no other cluster: what is trusted is part of a connection's key.
"""

import re
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from watcher.clients.registry.errors import clean
from watcher.clients.registry.settings import RegistrySettings
from watcher.errors import Refused

_MOST_BYTES = 4 * 1024 * 1024
"""Of one CA file; the bundle of all public authorities has 0.3 MB."""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----")
NEXT_STEP = (
    "name its CA in registry.ca_files, as certs.d/{host}/ca.crt, in the cluster's "
    "additionalTrustedCA, or with --certificate-authority"
)


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that counts for one host, read from its files."""

    authorities: tuple[str, ...] = ()
    """PEM, beside the system's own."""
    pair: tuple[Path, Path] | None = None
    """Certificate and key shown to the host."""
    is_checked: bool = True
    pair_digest: str = ""
    """Of the pair's bytes: a renewed certificate is another trust."""

    def context(self) -> ssl.SSLContext:
        """Raise Refused for certificates that cannot be used."""
        context = ssl.create_default_context()
        if self.authorities:
            try:
                context.load_verify_locations(cadata="\n".join(self.authorities))
            except (ssl.SSLError, ValueError) as error:
                raise Refused(f"a trusted CA cannot be used: {clean(error)}") from error
        if self.pair:
            certificate, key = self.pair
            try:
                # A password would be asked for on the terminal.
                context.load_cert_chain(certificate, key, password="")
            except (OSError, ValueError) as error:
                raise Refused(
                    f"client certificate {certificate} with {key}: {clean(error)}"
                ) from error
        if not self.is_checked:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def trust_of(host: str, settings: RegistrySettings, trusted: Mapping[str, str]) -> Trust:
    """The trust of ``host[:port]``; raise Refused naming a file that cannot be used.

    `trusted` is what a cluster adds: host → PEM. Blocking: it reads small files.
    """
    if settings.insecure:
        return Trust(is_checked=False)
    names = [host] if re.search(r":\d+$", host) else [host, f"{host}:443"]
    authorities: list[str] = []
    for path in filter(None, (settings.ca_file, *map(settings.ca_files.get, names))):
        authorities += _certificates(_read(path), what=f"CA file {path} of {clean(host)}")
    for pem in filter(None, map(trusted.get, names)):
        authorities += _certificates(pem, what=f"the cluster's trusted CA of {clean(host)}")
    directory = _directory(settings.certs_dirs, names)
    found, pair = _certs_d(directory, host) if directory else ([], None)
    digest = sha256(b"\0".join(_bytes(path) for path in pair)).hexdigest() if pair else ""
    return Trust(tuple(dict.fromkeys(authorities + found)), pair, pair_digest=digest)


def _directory(certs_dirs: Iterable[Path], names: list[str]) -> Path | None:
    """The first that is there and open to us counts, as in containers/image."""
    if any(name.partition(":")[0].strip(".") == "" for name in names):
        return None  # ".." of a redirect is no host's directory
    for directory in (base / name for base in certs_dirs for name in names):
        with suppress(PermissionError):
            if directory.is_dir():
                return directory
    return None


def _certs_d(directory: Path, host: str) -> tuple[list[str], tuple[Path, Path] | None]:
    """``*.crt`` are authorities; ``*.cert`` and the ``*.key`` beside it are shown to the host."""
    try:
        files = sorted(directory.iterdir())
    except OSError as error:
        raise Refused(f"{directory}: {error.strerror}") from error
    authorities: list[str] = []
    for path in (path for path in files if path.suffix == ".crt"):
        authorities += _certificates(_read(path), what=f"CA file {path} of {clean(host)}")
    by_suffix = {s: [p for p in files if p.suffix == s] for s in (".cert", ".key")}
    for one, other in ((".cert", ".key"), (".key", ".cert")):
        for path in by_suffix[one]:
            if path.with_suffix(other) not in by_suffix[other]:
                raise Refused(f"{path}: {path.with_suffix(other).name} is missing beside it")
    first = next(iter(by_suffix[".cert"]), None)
    return authorities, (first, first.with_suffix(".key")) if first else None


def _certificates(pem: str, *, what: str) -> list[str]:
    """The certificates alone: bundles hold comments in any language, which OpenSSL rejects."""
    if not (found := _CERTIFICATE.findall(pem)):
        raise Refused(f"{what}: holds no certificate in PEM form")
    return found


def _read(path: Path) -> str:
    return _bytes(path).decode("utf-8", errors="replace")


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Refused(f"CA file {path}: {error.strerror}") from error
    if len(raw) > _MOST_BYTES:
        raise Refused(f"CA file {path}: larger than {_MOST_BYTES} bytes")
    return raw
