"""gpgv and signature stores, played: what the logic above them needs, in virtual time."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime

from simulator.signing import statement
from tests.facts import release_image
from watcher.clients.signatures.gpgv import Signed
from watcher.clients.signatures.stores import Found
from watcher.core.facts import Digest, Malformed

RELEASE = release_image("4.16.3")
STORE, OTHER = "https://a.example.com/signatures", "https://b.example.com/signatures"
KEY, KEY2 = b"\x99 one", b"\x99 two"
"""Look like keys; the played gpgv compares them only."""
BY_KEY, BY_KEY2, BY_STRANGER = b"\xa3 one", b"\xa3 two", b"\xa3 three"


@dataclass
class PlayedGpgv:
    """A signature is good for the keyring that ends as it does."""

    texts: dict[bytes, bytes] = field(default_factory=dict)
    """Signature → what it signs; else the statement for RELEASE."""
    expires: dict[bytes, datetime] = field(default_factory=dict)
    fails: dict[bytes, Exception] = field(default_factory=dict)
    hangs: set[bytes] = field(default_factory=set)
    checks: int = 0

    async def check(self, signature: bytes, keyring: bytes, now: datetime) -> Signed:
        self.checks += 1
        await asyncio.sleep(0)
        if signature in self.hangs:
            await asyncio.sleep(1e6)
        if signature in self.fails:
            raise self.fails[signature]
        if signature[1:] != keyring[1:]:
            raise Malformed("it is signed by another key")
        text = self.texts.get(signature, signed_text(RELEASE.digest))
        fingerprint = signature[1:].hex().upper().rjust(40, "0")
        return Signed(text=text, fingerprint=fingerprint, expires=self.expires.get(signature))


@dataclass
class PlayedStores:
    have: dict[str, Found] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def fetch(self, store: str, release: Digest) -> Found:
        self.asked.append(store)
        await asyncio.sleep(1e6 if store in self.hang else 0)
        return self.have.get(store, Found())


def signed_text(of: Digest) -> bytes:
    return json.dumps(statement(of)).encode()
