"""Tokens of `web.tokens`, from files and environment: compared by digest, in constant time."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from watcher import secrets
from watcher.ports import Refused
from watcher.settings_web import TokenSettings
from watcher.web.callers import Role
from watcher.web.doors.entry import Entry

log = structlog.get_logger()

LEAST_LENGTH = 16
"""Shorter ones can be guessed: 16 random characters are beyond trying over a network."""


@dataclass(slots=True)
class _Source:
    """One configured token: the digest of what it is now, b"" while it cannot be read."""

    said: TokenSettings
    digest: bytes = b""
    stamp: tuple[int, ...] = ()

    @property
    def entry(self) -> Entry:
        return Entry(identity=f"token:{self.said.name}", role=Role(self.said.role))


class Tokens:
    """Every token must be readable at the start; files are read again when they change."""

    def __init__(self, said: tuple[TokenSettings, ...], environment: Mapping[str, str]) -> None:
        """Raise Refused for a token that is missing, too short or the same as another."""
        self._environment = environment
        self._sources: list[_Source] = []
        for one in said:
            source = _Source(one)
            self._read(source)
            twin = next((s for s in self._sources if s.digest == source.digest), None)
            if twin:
                raise Refused(
                    f"{twin.entry.identity} and {source.entry.identity} are the same token"
                )
            self._sources.append(source)

    def __bool__(self) -> bool:
        return bool(self._sources)

    def entry(self, given: str) -> tuple[str, Entry] | None:
        """Return the name of the token and who came with it; None if it is none of ours."""
        digest = digest_of(given)
        found = None
        for source in self._sources:  # all of them, whichever matches: time tells nothing
            self._refresh(source)
            if hmac.compare_digest(digest, source.digest or b"\0" * 32):
                found = source
        return (found.said.name, found.entry) if found else None

    def named(self, name: str) -> tuple[bytes, Entry] | None:
        """Return what the token of this name is now; None if there is none (any more)."""
        for source in self._sources:
            if source.said.name == name:
                self._refresh(source)
                return (source.digest, source.entry) if source.digest else None
        return None

    def _refresh(self, source: _Source) -> None:
        """Read a changed file again; one that cannot be read lets nobody in."""
        path = source.said.token_file
        if path is None or _stamp(path) == source.stamp:
            return
        try:
            self._read(source)
        except Refused as error:
            source.digest, source.stamp = b"", _stamp(path)
            log.warning("identity_unusable", identity=source.entry.identity, cause=str(error))

    def _read(self, source: _Source) -> None:
        said = source.said
        if said.token_file is not None:
            source.stamp = _stamp(said.token_file)
            text, where = secrets.text_of(said.token_file), str(said.token_file)
        else:
            text, where = self._environment.get(said.token_env, ""), f"${said.token_env}"
        text = text.strip()
        if len(text) < LEAST_LENGTH or not text.isascii() or not text.isprintable():
            raise Refused(
                f"{source.entry.identity}: {where} must hold at least {LEAST_LENGTH} printable"
                " characters"
            )
        source.digest = digest_of(text)


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        return ()
    return (seen.st_mtime_ns, seen.st_ino, seen.st_size)
