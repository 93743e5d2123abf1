"""Login, trust and mirrors of one build, as files that containers/image reads.

Everything is for one host each: a private CA vouches for its own registry only, and plain HTTP is
spoken only where it was allowed.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watcher.clients.access import Ways
from watcher.clients.registry import RegistrySettings
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.ports import Refused

AUTH = "auth.json"
REGISTRIES = "registries.conf"
"""For pulling: with mirrors."""
TARGETS = "targets.conf"
"""For pushing: no mirror counts, and a source that is blocked may be where we push to."""
_CERTIFICATES = ".config/containers/certs.d"
"""Where a host's CA is looked for below HOME: containers-certs.d(5)."""
_HOST = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]*")
_OF_CERTS_D = (".crt", ".cert", ".key")


def write_access(home: Path, registry: RegistrySettings, ways: Ways) -> list[str]:
    """Write the files below `home`; return the texts that must not appear in a log.

    Raise Refused for a certificate file that cannot be read. Blocking.
    """
    logins = ways.credentials.logins
    auths = {name: login.entry for name, login in logins.items()}
    _private(home / AUTH, json.dumps({"auths": auths}))
    _private(home / REGISTRIES, _registries(registry, ways.mirrors))
    _private(home / TARGETS, _registries(registry, Mirrors()))
    _write_certificates(home / _CERTIFICATES, registry, ways)
    hidden = {text for login in logins.values() for text in login.secrets}
    # Longest first: one may be a part of another. An empty one would match everywhere.
    return sorted(filter(None, hidden), key=len, reverse=True)


def _write_certificates(place: Path, registry: RegistrySettings, ways: Ways) -> None:
    """One directory for a host, with all that counts for it: buildah looks into no other then."""
    found = {host: path for base in reversed(registry.certs_dirs) for host, path in _hosts(base)}
    for host in sorted({*found, *registry.ca_files, *ways.trusted}):
        if not _HOST.fullmatch(host):
            continue  # no name of a host, so nobody is asked by it
        target = place / host
        target.mkdir(mode=0o700, parents=True)
        if host in found:
            _copy_directory(found[host], target)
        if path := registry.ca_files.get(host):
            try:
                shutil.copyfile(path, target / "relayer-configured.crt")
            except OSError as error:
                raise Refused(f"CA file {path} of {host}: {error.strerror}") from error
        if pem := ways.trusted.get(host):
            (target / "relayer-cluster.crt").write_text(pem)


def _hosts(base: Path) -> Iterator[tuple[str, Path]]:
    with suppress(OSError):
        yield from ((path.name, path) for path in base.iterdir() if path.is_dir())


def _copy_directory(source: Path, target: Path) -> None:
    """What may not be read is left out: buildah then says what it misses."""
    with suppress(OSError):
        for path in source.iterdir():
            if path.suffix in _OF_CERTS_D:
                shutil.copyfile(path, target / path.name)


def _registries(registry: RegistrySettings, mirrors: Mirrors) -> str:
    """containers-registries.conf(5): no short names, plain HTTP only where it is allowed, and one
    entry for each source of mirrors, as the MCO writes them for nodes."""
    entries: dict[str, list[MirrorRule]] = {host: [] for host in sorted(registry.insecure_hosts)}
    for rule in mirrors.rules:
        entries.setdefault(rule.source, []).append(rule)
    head = 'unqualified-search-registries = []\nshort-name-mode = "enforcing"\n'
    return head + "".join(
        "\n".join(_entry(source, rules, registry.insecure_hosts))
        for source, rules in entries.items()
    )


def _entry(source: str, rules: Sequence[MirrorRule], insecure: Collection[str]) -> Iterator[str]:
    yield "\n[[registry]]"
    yield f"{'prefix' if source.startswith('*.') else 'location'} = {json.dumps(source)}"
    if _host(source) in insecure:
        yield "insecure = true"
    if any(rule.never_contact_source for rule in rules):
        yield "blocked = true"
    named = [(mirror, rule.by_digest) for rule in rules for mirror in rule.mirrors]
    for mirror, by_digest in dict.fromkeys(named):
        yield "[[registry.mirror]]"
        yield f"location = {json.dumps(mirror)}"
        yield f'pull-from-mirror = "{"digest" if by_digest else "tag"}-only"'
        if _host(mirror) in insecure:
            yield "insecure = true"
    yield ""


def _host(name: str) -> str:
    return name.partition("/")[0]


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)
