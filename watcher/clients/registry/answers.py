"""What an answer, or none, means: bodies read within limits, statuses and failures in words."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress

import httpx

from watcher.clients.registry.calls import Call, authority
from watcher.clients.registry.errors import (
    NotFound,
    TooLarge,
    Unauthorised,
    Untrusted,
    clean,
    stated,
)
from watcher.clients.registry.trust import NEXT_STEP
from watcher.clients.retry_after import retry_after
from watcher.errors import Refused, Transient

_ERROR_BYTES = 16 * 1024
_NO_NAME = "the name, or that of the proxy to it, does not resolve; check it and the DNS servers"
_OTHER_NAME = {62, 64}
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_DATES = {9, 10}
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_REFUSED_BY_THEM = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")
"""Ends of the alerts with which a server refuses a client."""
_TOLD: Mapping[type[Exception], str] = {
    httpx.ConnectTimeout: "no connection in time; check the network and the proxy",
    httpx.TimeoutException: "no answer in time; check the network and the registry's load",
    httpx.ProxyError: "the proxy made no connection; check HTTPS_PROXY and NO_PROXY",
    httpx.ConnectError: "no connection; check the name, the port and the network",
    httpx.RemoteProtocolError: "the answer broke off",
}
"""The first that fits counts."""


def broken(call: Call, error: Exception) -> Transient | Refused:
    """What a failure of the connection means; Refused is what no repetition helps."""
    causes = list(_causes(error))
    is_first = isinstance(error, httpx.ConnectError)
    for cause in causes:
        if refusal := _refusal(call, cause, is_first=is_first):
            return refusal
    told = next((said for kind, said in _TOLD.items() if isinstance(error, kind)), "it failed")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        told = _NO_NAME
    detail = ": ".join(filter(None, (type(error).__name__, clean(error))))
    return Transient(f"{call}: {told} ({detail})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        # httpcore cuts the one and leaves the other.
        seen = seen.__cause__ or seen.__context__


def _refusal(call: Call, cause: BaseException, *, is_first: bool) -> Refused | None:
    host = clean(authority(call.url))
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = clean(cause.verify_message or cause.reason)
        step = NEXT_STEP.format(host=host)
        if cause.verify_code in _OTHER_NAME:
            step = "it is made out to another name: check the host in the pullspec"
        if cause.verify_code in _DATES:
            step = "check its dates and the clock of this machine"
        return Untrusted(f"{call}: the certificate of {host} is not trusted ({why}); {step}")
    if isinstance(cause, ssl.SSLError):
        reason = cause.reason or ""
        # Later than the first words the same is a broken connection.
        if is_first and reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
            return Untrusted(
                f"{call}: {host} does not speak TLS; if it must be, name it in registry.plain_http"
            )
        if reason.endswith(_REFUSED_BY_THEM):
            return Untrusted(
                f"{call}: {host} refuses our side of TLS ({clean(reason)}); if it wants a client "
                f"certificate, put the pair into certs.d/{host}/ as *.cert and *.key"
            )
    if isinstance(cause, httpx.ProxyError) and str(cause).startswith(("403", "407")):
        return Refused(
            f"{call}: the proxy refuses it ({clean(cause)}); check the login in HTTPS_PROXY "
            "and what the proxy allows, or name the host in NO_PROXY"
        )
    return None


async def busy(call: Call, answer: httpx.Response) -> Transient:
    """The error of a status that asks for a repetition; the answer is read, not closed."""
    wait = retry_after(answer.headers)
    said = stated(await _some(answer))
    detail = f" ({said})" if said else ""
    return Transient(f"{call}: answered {answer.status_code}{detail}", retry_after_seconds=wait)


async def _some(answer: httpx.Response) -> bytes:
    """The beginning of an error's body; what cannot be read is left out, the status is enough."""
    body = b""
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > _ERROR_BYTES:
                return b""
    except (httpx.TransportError, httpx.StreamError):
        return b""
    return body


async def read_rest(answer: httpx.Response) -> None:
    """Read a short answer to its end: a connection closed before that cannot be used again."""
    length = answer.headers.get("content-length", "")
    is_short = answer.request.method == "HEAD" or (length.isdigit() and int(length) <= _ERROR_BYTES)
    if is_short and not answer.is_stream_consumed and not answer.is_closed:
        with suppress(httpx.TransportError):
            await answer.aread()


async def read_all(call: Call, answer: httpx.Response, *, limit: int, name: str) -> bytes:
    """The whole body; raise TooLarge beyond `limit` bytes, Transient if it breaks off."""
    body = bytearray()
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"{call}: larger than the {name} limit of {limit} bytes")
    except httpx.TransportError as error:
        raise broken(call, error) from error
    return bytes(body)


async def check(answer: httpx.Response, *, allowed: frozenset[int]) -> None:
    """Raise what a status other than the `allowed` ones means."""
    status = answer.status_code
    if status in allowed:
        return
    call = Call(answer.request.method, answer.request.url)
    said = stated(await _some(answer))
    text = f"{call}: answered {status}" + (f" ({said})" if said else "")
    if status in {401, 403}:
        raise Unauthorised(f"{text}: check the credentials for {clean(authority(call.url))}")
    if status == 404:
        raise NotFound(text)
    if status == 408:
        raise Transient(text)
    raise Refused(text)
