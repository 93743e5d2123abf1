"""The keys that sign logins: in the store, so that every replica knows them; a new one each day.

Without the store nobody's login can be told from a forged one: then the answer is 503.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from watcher.ports import Clock, OutsideError, Store
from watcher.web.problems import Problem

log = structlog.get_logger()

KEPT = "web:session-keys"
KEY_BYTES = 32
KEY_SECONDS = 86400.0
"""A newer one signs after this; older ones are known until the longest login with them ended."""
FRESH_SECONDS = 30.0
"""What was read is believed for this long; an unknown key is looked for at once."""
AGAIN_SECONDS = 2.0
"""But not more often than this, whatever cookies are sent."""
MOST_KEYS = 16


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    secret: bytes
    at: float
    """When it was made, seconds since 1970."""

    def __repr__(self) -> str:
        return f"Key({self.id!r})"

    def sign(self, purpose: str, *parts: bytes) -> bytes:
        """HMAC-SHA256 over purpose and parts, none of which can run into the next."""
        made = hmac.new(self.secret, purpose.encode(), hashlib.sha256)
        for part in parts:
            made.update(len(part).to_bytes(4, "big") + part)
        return made.digest()


class Keys:
    def __init__(self, store: Callable[[], Store], clock: Clock, *, keep_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._known: tuple[Key, ...] = ()
        self._read_at = float("-inf")
        self._renewing = asyncio.Lock()

    async def newest(self) -> Key:
        """Return the key that signs now, made if it is time for one. Raise Problem 503."""
        async with self._renewing:  # two first ones at once: the second would undo the first
            now = self._now()
            if not self._known or not 0 <= now - self._read_at < FRESH_SECONDS:
                await self._read()
            if not self._known or now - self._known[0].at >= KEY_SECONDS:
                await self._make(now)
            return self._known[0]

    async def named(self, key_id: str) -> Key | None:
        """Return a key that still counts; None if there is none. Raise Problem 503."""
        found = self._find(key_id)
        is_old = not 0 <= self._now() - self._read_at < FRESH_SECONDS
        if is_old or (found is None and self._now() - self._read_at >= AGAIN_SECONDS):
            await self._read()
            found = self._find(key_id)
        return found

    async def csrf(self, bound: str) -> str:
        """Return what a page must send with each change, for what it was let in by."""
        return (await self.newest()).sign("csrf", bound.encode()).hex()

    async def is_csrf(self, given: str, bound: str) -> bool:
        """Whether it is that value, under a newer or an older key. Raise Problem 503."""
        await self.newest()
        said = given.encode("utf-8", "surrogatepass")
        fits = [
            hmac.compare_digest(said, key.sign("csrf", bound.encode()).hex().encode())
            for key in self._known
        ]
        return any(fits)

    def _find(self, key_id: str) -> Key | None:
        return next((key for key in self._known if key.id == key_id), None)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _read(self) -> None:
        try:
            kept = await self._store().kept(KEPT)
        except OutsideError as error:
            raise _away(error) from error
        self._known, self._read_at = self._decoded(kept.get("keys")), self._now()

    async def _make(self, now: float) -> None:
        """Two replicas at once: the last one's key stays. Who logged in by the other's within the
        moments until that one reads again logs in once more."""
        made = Key(secrets.token_hex(6), secrets.token_bytes(KEY_BYTES), now)
        rows = [
            {"id": key.id, "key": base64.b64encode(key.secret).decode(), "at": key.at}
            for key in (made, *self._known)[:MOST_KEYS]
        ]
        try:
            await self._store().keep(KEPT, {"keys": rows})
        except OutsideError as error:
            raise _away(error) from error
        await self._read()
        if not self._known:
            raise _away(OutsideError("the store forgot the key at once"))

    def _decoded(self, rows: object) -> tuple[Key, ...]:
        found = [key for row in rows if (key := _key(row))] if isinstance(rows, list) else []
        oldest = self._now() - KEY_SECONDS - self._keep_seconds
        counted = [key for key in found if key.at > oldest]
        return tuple(sorted(counted, key=lambda key: key.at, reverse=True))


def _key(row: object) -> Key | None:
    try:
        assert isinstance(row, dict)
        secret = base64.b64decode(row["key"], validate=True)
        key_id, at = str(row["id"]), float(row["at"])
    except (AssertionError, KeyError, TypeError, ValueError, binascii.Error):
        return None
    return Key(key_id, secret, at) if len(secret) == KEY_BYTES else None


def _away(error: OutsideError) -> Problem:
    log.warning("session_keys_unreachable", cause=str(error))
    return Problem(503, "the store does not answer, so nobody can be known", {"Retry-After": "5"})
