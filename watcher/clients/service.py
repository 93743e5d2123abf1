"""A running service's API, for commands that ask it from elsewhere.

One host: nothing is followed to another, so the token goes nowhere else. Proxies of the environment
are not used. What a person may read in an answer is bounded; times are in seconds.
"""

import asyncio
import contextlib
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from watcher.errors import OutsideError, Refused, Transient

SECONDS = 40.0
"""The service itself waits at most 30 s for a cluster."""
MOST_BYTES = 32 << 20
MOST_TOKEN_BYTES = 16 << 10
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class BadUrl(OutsideError):
    """The URL names no service."""


class Answered(OutsideError):
    """The service said no; `status` is that of HTTP, the text its own sentence.

    `again_seconds`: after which it may be asked again; None where it does not say.
    """

    def __init__(self, status: int, detail: str, *, again_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.again_seconds = again_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceClient:
    """One request at a time is one connection; the service is near, and asked seldom."""

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    """None: plain HTTP."""
    token: str = field(repr=False)

    @classmethod
    def of(cls, url: str, *, token_file: Path | None, ca_file: Path | None) -> "ServiceClient":
        """Raise BadUrl, or Refused for a file that cannot be read or used."""
        parts, port = _parts(url)
        token = _token(token_file) if token_file else ""
        if parts.scheme == "http" and token and parts.hostname not in LOOPBACK:
            raise BadUrl(f"{url}: a token is not sent without TLS; use https://")
        return cls(
            host=parts.hostname or "",
            port=port,
            prefix=parts.path.rstrip("/"),
            tls=_tls(ca_file) if parts.scheme == "https" else None,
            token=token,
        )

    @property
    def url(self) -> str:
        """What it is called in errors."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.prefix}"

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON below /api/v1. Raise Answered, Transient or Refused."""
        return await self.send("GET", path, query=query)

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """The same with another method and a JSON body."""
        whole = f"{self.prefix}/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        return await asyncio.to_thread(self._sent, method, whole, body)

    def _sent(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:
        headers = {"Accept": "application/json", "User-Agent": "relayer"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            with contextlib.closing(self._connection()) as connection:
                connection.request(method, path, body=data, headers=headers)
                answer = connection.getresponse()
                again = answer.getheader("Retry-After", "")
                return self._read(answer.status, answer.read(MOST_BYTES + 1), again)
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message or "its certificate is not trusted"
            raise Refused(f"{self.url}: {why}; name its authority with --ca-file") from error
        except (OSError, http.client.HTTPException) as error:
            why = str(getattr(error, "strerror", "") or error) or type(error).__name__
            raise Transient(f"{self.url} does not answer: {why}") from error

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        return http.client.HTTPSConnection(self.host, self.port, timeout=SECONDS, context=self.tls)

    def _read(self, status: int, data: bytes, again: str) -> Any:
        if len(data) > MOST_BYTES:
            raise Refused(f"{self.url} sent more than {MOST_BYTES >> 20} MiB")
        if 300 <= status < 400:
            raise Refused(f"{self.url} sends elsewhere ({status}), which is not followed")
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if status >= 400:
            said = found.get("detail") if isinstance(found, dict) else None
            text = str(said or f"the answer is {status}")[:1000]
            after = float(again) if again.isascii() and again.isdecimal() else None
            raise Answered(status, text, again_seconds=after)
        if not isinstance(found, dict):
            raise Refused(f"{self.url} is no service of Relayer's: its answer is no JSON object")
        return found


def _parts(url: str) -> tuple[Any, int]:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise BadUrl(f"--server {url}: {error}") from error
    if parts.username or parts.password:
        # Not repeated: it may be a secret.
        raise BadUrl("--server: no user and password in the URL; use --token-file")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise BadUrl(f"--server {url}: write it as https://relayer.example.com")
    return parts, port


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(MOST_TOKEN_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Refused(f"the token file {path} cannot be used: {why}") from error
    if not token or not token.isprintable() or " " in token:
        raise Refused(f"the token file {path} has no token in it: one line of text is expected")
    return token


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or "no certificates are in it"
        raise Refused(f"--ca-file {ca_file} cannot be used: {why}") from error
