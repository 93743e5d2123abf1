"""Which user name and password belong to which repository: containers-auth.json(5).

The same form is a pull secret's ``.dockerconfigjson``, so one reader serves both.
Passwords never show: not in `repr`, not in an error.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from watcher.clients.registry.errors import BadContent, clean
from watcher.core.facts import Repository

_MOST_BYTES = 1024 * 1024
"""A pull secret is limited to 1 MiB by the API server."""
_DOCKER_HUB = "docker.io"


class _Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None


class _File(msgspec.Struct):
    auths: dict[str, _Entry] = {}


@dataclass(frozen=True, slots=True)
class Login:
    """A user of one registry."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Logins by ``host[:port][/path]``; the longest match counts."""

    logins: Mapping[str, Login] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, raw: bytes | str, *, what: str = "the registry credentials") -> Self:
        """Read the JSON of an auth file or of ``.dockerconfigjson``; raise BadContent."""
        if len(raw) > _MOST_BYTES:
            raise BadContent(f"{what}: larger than {_MOST_BYTES} bytes")
        try:
            entries = msgspec.json.decode(raw, type=_File).auths
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            # The parser's own message may quote what it read, which is secret.
            raise BadContent(f'{what}: not JSON of the form {{"auths": {{…}}}}') from None
        found = ((_key(name), _login(name, entry, what=what)) for name, entry in entries.items())
        return cls({key: login for key, login in found if login})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an auth file; raise BadContent, also when the file cannot be read."""
        try:
            return cls.parse(path.read_bytes(), what=f"auth file {path}")
        except OSError as error:
            raise BadContent(f"auth file {path}: {error.strerror}") from error

    def find(self, repository: Repository) -> Login | None:
        """The login for this repository; None to go without."""
        key = _key(str(repository))
        while key:
            if login := self.logins.get(key):
                return login
            key = key.rpartition("/")[0]
        return None


def _key(name: str) -> str:
    """One spelling for each name. Old docker files write ``https://host/v1/``."""
    scheme, divider, rest = name.partition("://")
    key = rest.partition("/")[0] if divider and scheme in {"http", "https"} else name.rstrip("/")
    host, slash, path = key.partition("/")
    if host in {"index.docker.io", "registry-1.docker.io"}:
        host = _DOCKER_HUB
    return f"{host.lower()}{slash}{path}"


def _login(name: str, entry: _Entry, *, what: str) -> Login | None:
    """The login of one entry; None for an empty one, which podman writes after a logout."""
    if entry.auth:
        try:
            pair = base64.b64decode(entry.auth, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise BadContent(
                f"{what}: auth of {clean(name)} is not base64 of user:password"
            ) from None
        username, colon, password = pair.rstrip("\0").partition(":")
        if not colon:
            raise BadContent(f"{what}: auth of {clean(name)} is not base64 of user:password")
        return Login(username, password)
    if entry.username is not None:
        return Login(entry.username, entry.password or "")
    if entry.identitytoken:
        raise BadContent(
            f"{what}: {clean(name)} has an identity token; put a user and password there instead"
        )
    return None
