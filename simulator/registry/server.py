"""The simulated registry's HTTP side: the OCI distribution specification, v2.

Routes are one table, since repository names contain slashes. A fault is looked up first, so that
it can hide any behaviour; those about bodies are kept until a body is sent.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from simulator.registry.access import Access, Grant
from simulator.registry.faults import Fault, Seen, take
from simulator.registry.store import InDirectory, InMemory, Store, Wrong

_NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_DIGEST = r"(?P<digest>sha256:[0-9a-f]{64})"
_LARGEST_BODY = 4 * 1024**3


class SimulatedRegistry:
    """A registry on a free port of 127.0.0.1 while its context is open."""

    def __init__(
        self,
        access: Access | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        directory: Path | None = None,
        name: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """`name` is what it calls itself; port 0 takes a free one."""
        self.access = access or Access()
        self.store = Store(InDirectory(directory) if directory else InMemory())
        self.faults: list[Fault] = []
        self.requests: list[Seen] = []
        self.most_connections = 0
        """How many were open at once, used or not."""
        self.most_busy = {"read": 0, "write": 0}
        """How many requests were under way at once: GET and HEAD, and all others."""
        self._busy = {"read": 0, "write": 0}
        self._name = name
        self._tls = tls
        self._port = port
        self._closing = asyncio.Event()
        self._server = web.Server(self._counted, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=1.0)

    @property
    def host(self) -> str:
        """``host:port``, as a pullspec begins."""
        return f"{self._name}:{self._port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    def count(self, method: str, path: str) -> int:
        """How many requests came for a path (a regular expression for the whole)."""
        return sum(s.method == method and bool(re.fullmatch(path, s.path)) for s in self.requests)

    async def _counted(self, request: web.BaseRequest) -> web.StreamResponse:
        side = "read" if request.method in {"GET", "HEAD"} else "write"
        self._busy[side] += 1
        self.most_busy[side] = max(self.most_busy[side], self._busy[side])
        self.most_connections = max(self.most_connections, len(self._server.connections))
        try:
            return await self._handle(request)
        finally:
            self._busy[side] -= 1

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        query, headers = request.query_string, dict(request.headers)
        self.requests.append(Seen(request.method, request.path, query, headers))
        fault = take(self.faults, request.method, request.path)
        if fault and fault.kind in {"status", "redirect"}:
            status = 307 if fault.kind == "redirect" else fault.status
            return web.Response(status=status, headers=dict(fault.headers), body=fault.body)
        if fault and fault.kind == "hang":
            await self._closing.wait()
        try:
            return await self._routed(request, fault)
        except Wrong as wrong:
            return _error(wrong)

    async def _routed(self, request: web.BaseRequest, fault: Fault | None) -> web.StreamResponse:
        if request.path == "/token":
            return await self._token(request)
        for method, pattern, act in self._routes():
            if method == request.method and (match := re.fullmatch(pattern, request.path)):
                wanted = _wanted(request, match)
                if refusal := self._refusal(request, wanted):
                    return refusal
                answer = await act(self, request, match)
                return await _with_fault(request, answer, fault)
        raise Wrong(404, "UNSUPPORTED", "no such operation")

    def _refusal(
        self, request: web.BaseRequest, wanted: frozenset[Grant]
    ) -> web.StreamResponse | None:
        if self.access.allows(request.headers.get("Authorization"), wanted):
            return None
        answer = _error(Wrong(401, "UNAUTHORIZED", "authentication required"))
        answer.headers["WWW-Authenticate"] = self.access.challenge(self.url, wanted)
        return answer

    async def _token(self, request: web.BaseRequest) -> web.StreamResponse:
        answer: dict[str, object] = {"expires_in": self.access.token_seconds}
        if self.access.issued_at is not None:
            answer["issued_at"] = self.access.issued_at
        if request.method == "POST":
            form = dict(parse_qsl((await _body(request)).decode()))
            granted = self.access.issue_for(form)
            if granted is None:
                return _error(Wrong(401, "UNAUTHORIZED", "wrong identity token"))
            answer["access_token"], answer["refresh_token"] = granted
            return web.json_response(answer)
        header = request.headers.get("Authorization")
        token = self.access.issue(header, request.query.getall("scope", []))
        if token is None:
            return _error(Wrong(401, "UNAUTHORIZED", "wrong user or password"))
        return web.json_response({**answer, "token": token})

    async def _ping(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        return web.json_response({})

    async def _get_manifest(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        digest, media_type, data = self.store.manifest(match["name"], match["reference"])
        accepted = [
            part.partition(";")[0].strip()
            for value in request.headers.getall("Accept", [])
            for part in value.split(",")
        ]
        if accepted and not {media_type, "*/*"} & set(accepted):
            raise Wrong(404, "MANIFEST_UNKNOWN", f"a {media_type} is not accepted")
        headers = {"Docker-Content-Digest": digest, "Content-Type": media_type}
        return web.Response(body=data, headers=headers)

    async def _put_manifest(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        media_type = request.headers.get("Content-Type", "")
        data = await _body(request)
        name = match["name"]
        digest = self.store.add_manifest(name, match["reference"], media_type, data)
        place = f"/v2/{name}/manifests/{digest}"
        return _answer(201, {"Location": place, "Docker-Content-Digest": digest})

    async def _delete_manifest(
        self, request: web.BaseRequest, match: re.Match[str]
    ) -> web.Response:
        self.store.delete_manifest(match["name"], match["reference"])
        return _answer(202, {})

    async def _get_blob(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        data = self.store.blob(match["name"], match["digest"])
        headers = {
            "Docker-Content-Digest": match["digest"],
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if asked is None:
            return web.Response(body=data, headers=headers)
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first > last:
            raise Wrong(416, "RANGE_INVALID", "no such range")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return web.Response(status=206, body=data[first : last + 1], headers=headers)

    async def _delete_blob(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        self.store.blob(match["name"], match["digest"])
        self.store.repo(match["name"]).blobs.discard(match["digest"])
        return _answer(202, {})

    async def _begin(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        name, query = match["name"], request.query
        if self.store.mount(name, query.get("mount", ""), query.get("from", "")):
            return _stored(name, query["mount"])
        if "digest" in query:
            self.store.add_blob(name, query["digest"], await _body(request))
            return _stored(name, query["digest"])
        return _going_on(name, self.store.begin(name), 0)

    async def _append(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        name, upload = match["name"], match["upload"]
        held = self.store.upload(name, upload)
        asked = re.fullmatch(r"(\d+)-(\d+)", request.headers.get("Content-Range", ""))
        if asked and int(asked[1]) != len(held):
            raise Wrong(416, "BLOB_UPLOAD_INVALID", f"the upload goes on at {len(held)}")
        held += await _body(request)
        return _going_on(name, upload, len(held))

    async def _progress(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        name, upload = match["name"], match["upload"]
        return _going_on(name, upload, len(self.store.upload(name, upload)), status=204)

    async def _finish(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        name, upload, digest = match["name"], match["upload"], request.query.get("digest", "")
        data = bytes(self.store.upload(name, upload)) + await _body(request)
        del self.store.uploads[upload]
        self.store.add_blob(name, digest, data)
        return _stored(name, digest)

    async def _abandon(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        self.store.upload(match["name"], match["upload"])
        del self.store.uploads[match["upload"]]
        return _answer(204, {})

    async def _tags(self, request: web.BaseRequest, match: re.Match[str]) -> web.Response:
        name, query = match["name"], request.query
        if name not in self.store.repositories:
            raise Wrong(404, "NAME_UNKNOWN", "repository name not known to registry")
        tags = sorted(t for t in self.store.repo(name).tags if t > query.get("last", ""))
        shown = tags[: int(query["n"])] if "n" in query else tags
        answer = web.json_response({"name": name, "tags": shown})
        if shown and len(shown) < len(tags):
            more = f"/v2/{name}/tags/list?n={query['n']}&last={shown[-1]}"
            answer.headers["Link"] = f'<{more}>; rel="next"'
        return answer

    @classmethod
    def _routes(cls) -> list[tuple[str, str, "_Act"]]:
        manifest = rf"/v2/{_NAME}/manifests/(?P<reference>[^/]+)"
        blob, begin = rf"/v2/{_NAME}/blobs/{_DIGEST}", rf"/v2/{_NAME}/blobs/uploads/"
        upload = begin + r"(?P<upload>[0-9a-f-]{36})"
        return [
            ("GET", "/v2/", cls._ping),
            ("GET", manifest, cls._get_manifest),
            ("HEAD", manifest, cls._get_manifest),
            ("PUT", manifest, cls._put_manifest),
            ("DELETE", manifest, cls._delete_manifest),
            ("GET", blob, cls._get_blob),
            ("HEAD", blob, cls._get_blob),
            ("DELETE", blob, cls._delete_blob),
            ("POST", begin, cls._begin),
            ("PATCH", upload, cls._append),
            ("GET", upload, cls._progress),
            ("PUT", upload, cls._finish),
            ("DELETE", upload, cls._abandon),
            ("GET", rf"/v2/{_NAME}/tags/list", cls._tags),
        ]


_Act = Callable[[SimulatedRegistry, web.BaseRequest, re.Match[str]], Awaitable[web.Response]]


def _wanted(request: web.BaseRequest, match: re.Match[str]) -> frozenset[Grant]:
    """What one must be allowed to do for a request."""
    name = match.groupdict().get("name")
    if name is None:
        return frozenset()
    wanted = {(name, "pull")}
    if request.method not in {"GET", "HEAD"}:
        wanted.add((name, "push"))
    if "from" in request.query:
        wanted.add((request.query["from"], "pull"))
    return frozenset(wanted)


async def _body(request: web.BaseRequest) -> bytes:
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > _LARGEST_BODY:
            raise Wrong(413, "SIZE_INVALID", "too large")
    return bytes(data)


def _answer(status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, headers=headers)


def _stored(name: str, digest: str) -> web.Response:
    place = f"/v2/{name}/blobs/{digest}"
    return _answer(201, {"Location": place, "Docker-Content-Digest": digest})


def _going_on(name: str, upload: str, length: int, *, status: int = 202) -> web.Response:
    place = f"/v2/{name}/blobs/uploads/{upload}"
    done = f"0-{max(length - 1, 0)}"
    return _answer(status, {"Location": place, "Range": done, "Docker-Upload-UUID": upload})


def _error(wrong: Wrong) -> web.Response:
    said = {"errors": [{"code": wrong.code, "message": wrong.message, "detail": None}]}
    return web.json_response(said, status=wrong.status)


async def _with_fault(
    request: web.BaseRequest, answer: web.Response, fault: Fault | None
) -> web.StreamResponse:
    """The answer, its body damaged as ordered."""
    if fault is None or not isinstance(answer.body, bytes):
        return answer
    body = answer.body
    if fault.kind == "corrupt":
        at = min(fault.after, len(body) - 1)
        answer.body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
        return answer
    stream = web.StreamResponse(status=answer.status, headers=answer.headers)
    stream.content_length = len(body)
    await stream.prepare(request)
    if fault.kind == "cut":
        await stream.write(body[: fault.after])
        if request.transport:
            request.transport.close()
        return stream
    for at in range(0, len(body), 1024):
        await asyncio.sleep(fault.pause_seconds)
        await stream.write(body[at : at + 1024])
    await stream.write_eof()
    return stream
