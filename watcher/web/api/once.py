"""Idempotency keys: who is not sure whether a request arrived sends it again, and it counts once.

A key is pinned in the store before anything is done, so that either replica knows, and its answer
beside it afterwards. If the process dies in between, the pin runs out and the same request is
carried out anew. That is safe because each act can be repeated: a vote counts once, a rebuild finds
the update that is there, a freeze takes the place of itself, what ended already is declined.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from starlette.responses import Response

from watcher.ports import OutsideError, Store
from watcher.web import problems
from watcher.web.problems import Problem

log = structlog.get_logger()

KEY = "idempotency-key"
KEPT_SECONDS = 24 * 3600.0
DOING_SECONDS = 120.0
"""Longer than any act may take (`operation.ACT_SECONDS`), so that no two are under way."""
LEAST, MOST = 16, 128
"""Characters of a key: shorter ones meet by chance."""
_KEY = re.compile(rf"[\x21-\x7e]{{{LEAST},{MOST}}}")
_PASSING = frozenset({401, 403, 408, 421, 429})
"""What is not about the request itself may be another at the next try."""
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Once:
    store: Store

    async def answer(
        self, key: str, by: str, said: Any, act: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the answer of the first such request; raise Problem 409 and 422.

        `said`: all that makes a request what it is. Raise what `act` raises where that is no
        answer for good.
        """
        if not _KEY.fullmatch(key):
            raise Problem(
                422, f"Idempotency-Key: {LEAST} to {MOST} printable ASCII characters, no spaces"
            )
        name, same = f"once:{_digest((by, key))}", _digest(said)
        there = await self.store.pin(name, {"said": same}, DOING_SECONDS)
        if there is not None:
            return _again(there, same)
        try:
            response = await act()
        except Exception as error:
            problem = problems.of(error)
            if problem.status >= 500 or problem.status in _PASSING:
                await self._forget(name)
                raise
            response = problems.answer(problem)
        await self._keep(name, {"said": same, **_kept(response)})
        return response

    async def _forget(self, name: str) -> None:
        try:
            await self.store.unpin(name)
        except OutsideError as error:  # it runs out by itself
            log.warning("idempotency_key_stays", cause=str(error))

    async def _keep(self, name: str, answer: Mapping[str, object]) -> None:
        try:
            await self.store.repin(name, answer, KEPT_SECONDS)
        except OutsideError as error:  # it is done: that is what the caller wants to know
            log.warning("answer_not_remembered", cause=str(error))


def _again(there: Mapping[str, object], same: str) -> Response:
    if there.get("said") != same:
        raise Problem(
            422, "this Idempotency-Key was used for another request; take a new key for each"
        )
    if "status" not in there:
        raise Problem(
            409,
            "a request with this Idempotency-Key is still in progress; ask again in a moment",
            {"Retry-After": "2"},
        )
    return Response(
        str(there["body"]),
        status_code=int(str(there["status"])),
        headers={"Idempotency-Replayed": "true"},
        media_type=str(there["kind"]),
    )


def _kept(response: Response) -> Mapping[str, object]:
    return {
        "status": response.status_code,
        "kind": response.media_type or "application/json",
        "body": bytes(response.body).decode(),
    }


def _digest(said: Any) -> str:
    return hashlib.sha256(_encode(said)).hexdigest()
