"""A blob's bytes counted and hashed on their way, whoever reads or sends them."""

from collections.abc import AsyncIterator
from hashlib import sha256

import httpx

from watcher.clients.registry.errors import Tampered
from watcher.clients.registry.transport import check
from watcher.core.facts import Digest


class Checked:
    """What was seen of a blob so far, against what its digest and size promise."""

    def __init__(self, what: str, digest: Digest, size: int | None) -> None:
        self.what = what
        self.size = size
        self.digest = digest
        self.restart()

    def restart(self) -> None:
        """Forget what was seen: it comes again from the first byte."""
        self.length = 0
        self._hash = sha256()
        self._skip = 0

    async def continued(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        """The body of an answer that begins where we stopped, or (200) again at the first byte."""
        allowed = {200, 206} if self.length else {200}
        await check(answer, allowed=frozenset(allowed))
        self._skip = self.length if answer.status_code == 200 else 0
        return answer.aiter_raw()

    def take(self, chunk: bytes) -> bytes:
        """Count a chunk; return its part not seen before. Raise Tampered beyond the size."""
        fresh = chunk[self._skip :] if self._skip else chunk
        self._skip = max(self._skip - len(chunk), 0)
        self._hash.update(fresh)
        self.length += len(fresh)
        if self.size is not None and self.length > self.size:
            raise Tampered(f"{self.what}: longer than the {self.size} bytes promised")
        return fresh

    def finish(self) -> None:
        """Raise Tampered unless the whole is what was promised."""
        actual = f"sha256:{self._hash.hexdigest()}"
        if actual != self.digest or self.size not in (None, self.length):
            raise Tampered(
                f"{self.what} failed verification and may have been tampered with: "
                f"{self.length} bytes with {actual} were given"
            )
