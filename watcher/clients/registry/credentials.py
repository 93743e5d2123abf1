"""Which login belongs to which repository: containers-auth.json(5).

The same form is a pull secret's ``.dockerconfigjson``, so one reader serves both.
Passwords never show: not in `repr`, not in an error. Programs that hold logins (``credHelpers``,
``credsStore``) are not run.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from watcher.clients.registry.errors import BadContent, clean
from watcher.core.facts import Repository

_MOST_BYTES = 1024 * 1024
"""A pull secret is limited to 1 MiB by the API server."""
_DOCKER_HUB = "docker.io"

T = TypeVar("T")


class _Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None


class _File(msgspec.Struct):
    auths: dict[str, _Entry] | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """A user of one registry, by password or by an identity token."""

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token: it is shown to the token server only, instead of the password."""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return f"Basic {self._pair}"

    @property
    def entry(self) -> dict[str, str]:
        """What an auth file holds for it: ``auth`` always, as others read no entry without."""
        token = {"identitytoken": self.identity_token} if self.identity_token else {}
        return {"auth": self._pair, **token}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must not appear in a log."""
        texts = (self.password, self.identity_token, self._pair if self.password else "")
        return tuple(filter(None, texts))

    @property
    def _pair(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Credentials:
    """Logins by ``host[:port][/path]``; the longest match counts."""

    logins: Mapping[str, Login] = field(default_factory=dict, repr=False)
    broken: Mapping[str, str] = field(default_factory=dict)
    """Name → what is wrong with its entry, told when that entry would be used."""

    @classmethod
    def parse(
        cls, raw: bytes | str, *, what: str = "the registry credentials", strict: bool = True
    ) -> Self:
        """Read the JSON of an auth file or of ``.dockerconfigjson``; raise BadContent.

        Not `strict`: an entry that cannot be read stands in the way of its own names only.
        """
        return cls._made(_decoded(raw, _File, what).auths or {}, what=what, strict=strict)

    @classmethod
    def parse_legacy(
        cls, raw: bytes | str, *, what: str = "the registry credentials", strict: bool = True
    ) -> Self:
        """As `parse`, of a ``.dockercfg``: the entries without ``auths`` around them."""
        return cls._made(_decoded(raw, dict[str, _Entry], what), what=what, strict=strict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an auth file; raise BadContent, also when the file cannot be read."""
        try:
            return cls.parse(read_file(path), what=f"auth file {path}")
        except OSError as error:
            raise BadContent(f"auth file {path}: {error.strerror}") from error

    @classmethod
    def joined(cls, *sources: "Credentials") -> Self:
        """One for several, asked in turn: the first with a match for a repository counts.

        So a shorter match of an earlier source beats a longer one of a later source.
        """
        logins: dict[str, Login] = {}
        broken: dict[str, str] = {}
        for name in {name for source in sources for name in (*source.logins, *source.broken)}:
            # Every source's longest match for a repository is also its match for the longest of
            # all names that fit it: so the name's own answer is the repository's.
            matches = (source._match(name) for source in sources)
            match next((match for match in matches if match), None):
                case Login() as login:
                    logins[name] = login
                case str(wrong):
                    broken[name] = wrong
        return cls(logins, broken)

    def find(self, repository: Repository) -> Login | None:
        """The login for this repository; None to go without.

        Raise BadContent where its entry cannot be read.
        """
        match = self._match(_key(str(repository)))
        if isinstance(match, str):
            raise BadContent(match)
        return match

    def _match(self, name: str) -> Login | str | None:
        while name:
            if found := self.logins.get(name) or self.broken.get(name):
                return found
            name = name.rpartition("/")[0]
        return None

    @classmethod
    def _made(cls, entries: Mapping[str, _Entry], *, what: str, strict: bool) -> Self:
        logins: dict[str, Login] = {}
        broken: dict[str, str] = {}
        # Addresses come first, so that the plain name of the same host counts instead.
        for name in sorted(entries, key=lambda name: "://" not in name):
            key = _key(name)
            try:
                login = _login(name, entries[name], what=what)
            except BadContent as error:
                if strict:
                    raise
                logins.pop(key, None)
                broken[key] = str(error)
            else:
                if login:
                    broken.pop(key, None)
                    logins[key] = login
        return cls(logins, broken)


def read_file(path: Path) -> bytes:
    """The file, or a little more than the limit of it; raise OSError."""
    with path.open("rb") as file:
        return file.read(_MOST_BYTES + 1)


def _decoded(raw: bytes | str, form: type[T], what: str) -> T:
    if len(raw) > _MOST_BYTES:
        raise BadContent(f"{what}: larger than {_MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(raw, type=form)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        # The parser's own message may quote what it read, which is secret.
        shape = '{"auths": {…}}' if form is _File else "{host: {…}}"
        raise BadContent(f"{what}: not JSON of the form {shape}") from None


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
    token = entry.identitytoken or ""
    if entry.auth:
        try:
            pair = base64.b64decode(entry.auth, validate=True).decode()
        except (binascii.Error, ValueError):
            raise BadContent(
                f"{what}: auth of {clean(name)} is not base64 of user:password"
            ) from None
        username, colon, password = pair.rstrip("\0").partition(":")
        if not colon:
            raise BadContent(f"{what}: auth of {clean(name)} is not base64 of user:password")
        return Login(username, password, token)
    if entry.username is not None:
        return Login(entry.username, entry.password or "", token)
    return Login("", "", token) if token else None
