"""Requests to registries: trust, redirects, retries, pace and deadlines.

Nothing here knows what a manifest is or how one logs in. Redirects are followed by hand, since two
promises hang on them: an Authorization header goes to no other host than the one it was made for,
and nothing goes from https down to http.
"""

import asyncio
import copy
import json
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from types import TracebackType
from typing import Self

import httpx

from watcher.clients.counting import Counted, Outcome, outcome_of_status, uncounted
from watcher.clients.registry.answers import broken, busy, check, read_all, read_rest
from watcher.clients.registry.calls import Body, Call, Stream, authority, redirected
from watcher.clients.registry.pace import Lane, Slot
from watcher.clients.registry.pools import Pools
from watcher.clients.registry.settings import RegistrySettings
from watcher.clients.registry.trust import Trust, trust_of
from watcher.errors import Refused, Transient

__all__ = ["Body", "Call", "Patience", "Stream", "Transport", "authority", "check", "read_all"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_AGAIN = frozenset({429, 502, 503, 504})
"""Answers that ask for a repetition by themselves."""
_SLOT = "relayer.slot"
_MOST_VIEWS = 64
_HUB = {"docker.io": "registry-1.docker.io"}
"""Docker Hub's API is not where its names say."""


@dataclass(slots=True)
class Patience:
    """What is left of one call's attempts and pauses."""

    attempts: int
    pause: float
    budget: float

    def next_pause(self, asked: float | None) -> float | None:
        """Seconds to wait before the next attempt; None when none is left."""
        self.attempts -= 1
        spread = self.pause * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing
        wait = max(spread, asked or 0.0)
        self.pause *= 2
        return wait if self.attempts > 0 and self.spend(wait) else None

    def spend(self, wait: float) -> bool:
        """Whether there is time for a pause; then it is counted."""
        self.budget -= wait
        return self.budget >= 0


class Transport:
    """Sends calls. Use it as a context manager: it owns the connections."""

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] | None = None,
        counted: Counted = uncounted,
    ) -> None:
        """`environ` names the proxies; None is that of the process. `counted` is told of each
        request, by its host: also of repetitions, and of hosts that were redirected to."""
        self.settings = settings
        self._counted = counted
        self._sleep = sleep
        self._pools = Pools(
            settings, monotonic=monotonic, environ=os.environ if environ is None else environ
        )
        self._trusted: Mapping[str, str] = {}
        self._trusts: dict[str, Trust] = {}
        self._views: dict[str, Transport] = {_fingerprint({}): self}
        # Only with `insecure`: hosts found to speak no TLS, and those that do and never fall back.
        self._plain: set[str] = set()
        self._with_tls: set[str] = set()

    async def __aenter__(self) -> Self:
        # httpx logs each address at INFO, httpcore each header at DEBUG: redirects hold signatures.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pools.aclose()

    def trusting(self, trusted: Mapping[str, str]) -> "Transport":
        """The same transport where these authorities count too: ``host[:port]`` → PEM.

        The same authorities give the same object, as long as it is not long unused.
        """
        key = _fingerprint(trusted)
        if key not in self._views:
            view = copy.copy(self)
            view._trusted, view._trusts = dict(trusted), {}
            if len(self._views) >= _MOST_VIEWS:
                del self._views[next(key for key in self._views if key != _fingerprint({}))]
            self._views[key] = view
        return self._views[key]

    def base(self, host: str) -> httpx.URL:
        """Where the API of a registry named in a pullspec begins."""
        is_plain = host in self.settings.insecure_hosts or host in self._plain
        return httpx.URL(f"{'http' if is_plain else 'https'}://{_HUB.get(host, host)}/v2/")

    def patience(self, *, attempts: int | None = None) -> Patience:
        """The attempts and pauses of one call; fewer `attempts` where there is another place."""
        asked = self.settings
        return Patience(
            attempts or asked.attempts, asked.backoff_seconds, asked.backoff_budget_seconds
        )

    @asynccontextmanager
    async def send(
        self, call: Call, *, patience: Patience | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The answer with its body unread, after redirects and retries; any status below 500.

        Raise Transient when the attempts or the pauses are used up, Refused for a bad redirect and
        Untrusted for a bad certificate.
        """
        seconds = self.settings.blob_seconds
        try:
            async with asyncio.timeout(seconds):
                answer = await self._answered(call, patience or self.patience())
        except TimeoutError as error:
            raise Transient(f"{call}: no answer began within {seconds:g} s") from error
        try:
            yield answer
            await read_rest(answer)
        finally:
            await _closed(answer)

    async def finish(self, answer: httpx.Response) -> None:
        """Give back the connection of an answer before its context ends; harmless twice."""
        try:
            await read_rest(answer)
        finally:
            await _closed(answer)

    async def wait(self, problem: Transient, patience: Patience, *, repeat: bool = True) -> None:
        """Pause before a repetition, or raise `problem` when there shall be none."""
        pause = patience.next_pause(problem.retry_after_seconds) if repeat else None
        if pause is None:
            raise problem
        await self._sleep(pause)

    async def _answered(self, call: Call, patience: Patience) -> httpx.Response:
        while True:
            try:
                answer = await self._follow(call, patience)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                problem = broken(call, error)
                if isinstance(problem, Refused):
                    raise problem from error
            else:
                if answer.status_code not in _AGAIN and answer.status_code < 500:
                    return answer
                problem = await self._busy(call, answer)
                if answer.status_code not in _AGAIN:
                    raise problem
            await self.wait(problem, patience, repeat=call.repeat)

    async def _busy(self, call: Call, answer: httpx.Response) -> Transient:
        try:
            problem = await busy(call, answer)
        finally:
            await _closed(answer)
        if problem.retry_after_seconds:
            # It is meant for the address, not for one call: the others wait too.
            lane = self._pools.lane(authority(answer.request.url))
            lane.pace.hold(problem.retry_after_seconds)
        return problem

    async def _follow(self, call: Call, patience: Patience) -> httpx.Response:
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._once(call, patience)
            target = answer.headers.get("location")
            if answer.status_code not in _REDIRECTS or not target:
                return answer
            await self.finish(answer)
            call = redirected(replace(call, url=answer.request.url), target)
        raise Refused(f"{call}: more than {_MOST_REDIRECTS} redirects")

    async def _once(self, call: Call, patience: Patience) -> httpx.Response:
        """The answer of one host, over plain HTTP where that is allowed and nothing else works."""
        host = authority(call.url)
        try:
            answer = await self._opened(call, patience)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if not self.settings.insecure or call.url.scheme == "http" or host in self._with_tls:
                raise
            found = await self._in_plain(call, patience)
            if found is None:
                raise
            answer = found
            self._plain.add(host)
        if self.settings.insecure and answer.request.url.scheme == "https":
            self._with_tls.add(host)
        return answer

    async def _in_plain(self, call: Call, patience: Patience) -> httpx.Response | None:
        try:
            return await self._opened(
                replace(call, url=call.url.copy_with(scheme="http")), patience
            )
        except httpx.TransportError:
            return None  # why TLS failed is the better thing to tell

    async def _opened(self, call: Call, patience: Patience) -> httpx.Response:
        if isinstance(call.body, bytes):
            return await self._exchange(call, patience, call.body, {})
        length = {} if call.size is None else {"Content-Length": str(call.size)}
        async with aclosing(call.body()) as content:
            return await self._exchange(call, patience, content, length)

    async def _exchange(
        self,
        call: Call,
        patience: Patience,
        content: bytes | AsyncIterator[bytes],
        more: Mapping[str, str],
    ) -> httpx.Response:
        trust = self._trust(call.url)
        slot = await self._admitted(call, patience)
        try:
            pool = await self._pools.client(call.url, trust, slot)
            headers = {**call.headers, **more}
            request = pool.build_request(call.method, call.url, headers=headers, content=content)
            answer = await pool.send(request, stream=True)
        except BaseException as error:
            slot.release()
            if isinstance(error, httpx.TransportError):
                self._counted(authority(call.url), Outcome.FAILED)
            if isinstance(error, httpx.ConnectError):
                # The files may have been renewed since: they are read again the next time.
                self._trusts.pop(authority(call.url), None)
            raise
        self._counted(authority(call.url), outcome_of_status(answer.status_code))
        answer.extensions[_SLOT] = slot
        return answer

    async def _admitted(self, call: Call, patience: Patience) -> Slot:
        """Wait for a pause the host asked for, a free connection and the host's pace, in turn."""
        lane = self._pools.lane(authority(call.url))
        while True:
            await self._held(lane, call, patience)
            slot = await lane.enter(call.side, is_long=call.is_long)
            if not lane.pace.held():
                break
            slot.release()
        try:
            if pause := lane.pace.take():
                await self._sleep(pause)
        except BaseException:
            slot.release()
            raise
        return slot

    async def _held(self, lane: Lane, call: Call, patience: Patience) -> None:
        """Wait as the host asked another call to; raise Transient if that is longer than we may."""
        while left := lane.pace.held():
            if not patience.spend(left):
                raise Transient(
                    f"{call}: {authority(call.url)} asked for a pause of {left:.0f} s more",
                    retry_after_seconds=left,
                )
            await self._sleep(left)

    def _trust(self, url: httpx.URL) -> Trust | None:
        if url.scheme != "https":
            return None
        host = authority(url)
        if host not in self._trusts:
            if len(self._trusts) >= _MOST_VIEWS:
                self._trusts.clear()
            self._trusts[host] = trust_of(host, self.settings, self._trusted)
        return self._trusts[host]


def _fingerprint(trusted: Mapping[str, str]) -> str:
    return sha256(json.dumps(sorted(trusted.items())).encode()).hexdigest()


async def _closed(answer: httpx.Response) -> None:
    try:
        await answer.aclose()
    finally:
        slot = answer.extensions.get(_SLOT)
        if isinstance(slot, Slot):
            slot.release()
