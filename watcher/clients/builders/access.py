"""Login and trust of one build, as files that containers/image reads.

Everything is for one host each: a private CA vouches for its own registry only, and plain HTTP is
spoken only where it was allowed.
"""

import json
import shutil
from pathlib import Path

from watcher.clients.registry import Credentials, RegistrySettings

AUTH = "auth.json"
REGISTRIES = "registries.conf"
_CERTIFICATES = ".config/containers/certs.d"
"""Where a host's CA is looked for below HOME: containers-certs.d(5)."""


def write_access(home: Path, registry: RegistrySettings, credentials: Credentials) -> list[str]:
    """Write the files below `home`; return the texts that must not appear in a log."""
    logins = credentials.logins
    auths = {name: {"auth": login.basic.removeprefix("Basic ")} for name, login in logins.items()}
    _private(home / AUTH, json.dumps({"auths": auths}))
    _private(home / REGISTRIES, _registries(registry))
    for host, ca_file in registry.ca_files.items():
        trusted = home / _CERTIFICATES / host
        trusted.mkdir(parents=True)
        shutil.copyfile(ca_file, trusted / "ca.crt")
    hidden = [
        text
        for login in logins.values()
        for text in (login.password, login.basic.removeprefix("Basic "))
    ]
    # Longest first: one may be a part of another. An empty one would match everywhere.
    return sorted(filter(None, hidden), key=len, reverse=True)


def _registries(registry: RegistrySettings) -> str:
    """containers-registries.conf(5): no short names, and plain HTTP only where it is allowed."""
    insecure = "".join(
        f"\n[[registry]]\nlocation = {json.dumps(host)}\ninsecure = true\n"
        for host in sorted(registry.insecure_hosts)
    )
    return f'unqualified-search-registries = []\nshort-name-mode = "enforcing"\n{insecure}'


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)
