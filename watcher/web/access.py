"""Who is asking: bearer tokens from files and environment, compared in constant time.

Reads are open on loopback only. Writes always need a token; its name is the identity that the
audit trail and the approval rules know as `token:<name>`.
"""

import hashlib
import hmac
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from starlette.requests import Request

from watcher import secrets
from watcher.ports import Refused
from watcher.settings import TokenSettings, WebSettings
from watcher.web.problems import Problem

log = structlog.get_logger()

LEAST_LENGTH = 16
"""Shorter ones can be guessed: 16 random characters are beyond trying over a network."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="relayer"'}


def is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class _Source:
    """One configured token: the digest of what it is now, b"" while it cannot be read."""

    said: TokenSettings
    digest: bytes = b""
    stamp: tuple[int, ...] = ()

    @property
    def identity(self) -> str:
        return f"token:{self.said.name}"


@dataclass(slots=True)
class Access:
    """Made at start, when every token must be readable; files are read again when they change."""

    web: WebSettings
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    _sources: list[_Source] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raise Refused for a token that is missing, too short or the same as another."""
        for said in self.web.tokens:
            source = _Source(said)
            self._read(source)
            twin = next((s for s in self._sources if s.digest == source.digest), None)
            if twin:
                raise Refused(f"{twin.identity} and {source.identity} are the same token")
            self._sources.append(source)

    @property
    def reads_are_open(self) -> bool:
        return is_loopback(self.web.host)

    def reader(self, request: Request) -> str:
        """Return who reads, "" on loopback without a token; raise Problem 401."""
        if self.reads_are_open and "authorization" not in request.headers:
            return ""
        return self.writer(request)

    def writer(self, request: Request) -> str:
        """Return the identity behind the request's token; raise Problem 401."""
        if not self._sources:
            raise Problem(401, "no tokens are configured: set web.tokens", CHALLENGE)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Problem(401, "send a token: Authorization: Bearer …", CHALLENGE)
        identity = self._identity(given.strip())
        if identity is None:
            raise Problem(401, "this token is not known", CHALLENGE)
        return identity

    def _identity(self, given: str) -> str | None:
        digest = hashlib.sha256(given.encode()).digest()
        found = None
        for source in self._sources:  # all of them, whichever matches: time tells nothing
            self._refresh(source)
            if hmac.compare_digest(digest, source.digest or b"\0" * 32):
                found = source.identity
        return found

    def _refresh(self, source: _Source) -> None:
        """Read a changed file again; one that cannot be read lets nobody in."""
        path = source.said.token_file
        if path is None or _stamp(path) == source.stamp:
            return
        try:
            self._read(source)
        except Refused as error:
            source.digest, source.stamp = b"", _stamp(path)
            log.warning("identity_unusable", identity=source.identity, cause=str(error))

    def _read(self, source: _Source) -> None:
        said = source.said
        if said.token_file is not None:
            source.stamp = _stamp(said.token_file)
            text, where = secrets.text_of(said.token_file), str(said.token_file)
        else:
            text, where = self.environment.get(said.token_env, ""), f"${said.token_env}"
        text = text.strip()
        if len(text) < LEAST_LENGTH or not text.isascii() or not text.isprintable():
            raise Refused(
                f"{source.identity}: {where} must hold at least {LEAST_LENGTH} printable characters"
            )
        source.digest = hashlib.sha256(text.encode()).digest()


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        return ()
    return (seen.st_mtime_ns, seen.st_ino, seen.st_size)
