"""What an API server's refusal, or its absence, means here: said once, with the next step.

A message names the cluster, the request in RBAC's words (verb and resource) and the server's own
reason, cut short and free of control characters: it goes into logs, chat and pages.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass

import msgspec

from watcher.clients.kube import http1, wire
from watcher.ports import Conflict, FieldConflict, OutsideError, Refused, Transient

_STATUS = msgspec.json.Decoder(wire.Status)

_MAX_TEXT = 300
_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})


class Gone(Transient):
    """410: the resource version or the page asked for is too old; list again."""


class NotFound(Refused):
    """404: no such object, or no such kind."""


class Forbidden(Refused):
    """403: a rule of RBAC is missing."""


class Unauthorized(Refused):
    """401: the server does not know our credentials (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked, in RBAC's words."""

    cluster: str
    verb: str
    """get, list, watch, create, patch or delete."""
    group: str
    resource: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        thing = f"{kind}/{self.name}" if self.name else kind
        inside = f" in namespace {self.namespace}" if self.namespace else ""
        return f"cluster {self.cluster}: {self.verb} {thing}{inside}"

    @property
    def rule(self) -> str:
        """The rule that would allow it, as one writes it into a ClusterRole."""
        group = f'"{self.group}"'
        return f"apiGroups: [{group}], resources: [{self.resource}], verbs: [{self.verb}]"


def clean(text: str, *, limit: int = _MAX_TEXT) -> str:
    """Text from outside, on one line, printable and bounded."""
    line = "".join(c if c.isprintable() else " " for c in text[: limit * 2])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def from_answer(
    request: Request, *, status: int, body: bytes, retry_after: str = ""
) -> OutsideError:
    """The error for an answer that is not 2xx."""
    said = _status(body)
    reason = clean(said.message or said.reason or f"HTTP {status}")
    what = f"{request}: {status} {reason}"
    causes = (said.details.causes if said.details else None) or []
    wait = _seconds(retry_after)
    if wait is None and said.details and said.details.retry_after_seconds > 0:
        wait = float(said.details.retry_after_seconds)
    match status:
        case 401:
            return Unauthorized(
                f"{request}: the API server does not accept our credentials (401); they are"
                " expired or revoked: renew the token or kubeconfig"
            )
        case 403:
            return Forbidden(
                f"{request} is forbidden: {reason}; add to our ClusterRole the rule"
                f" {{{request.rule}}}"
            )
        case 404:
            return NotFound(what)
        case 409 if owners := [c for c in causes if c.reason == "FieldManagerConflict"]:
            return FieldConflict(f"{request}: {_owners(owners)}")
        case 409 | 412:
            return Conflict(f"{what}; it was changed meanwhile, read it again")
        case 410:
            return Gone(what, retry_after_seconds=wait)
        case _ if any(c.reason == "ResourceVersionTooLarge" for c in causes):
            # Only a list helps: etcd was restored from a backup, its versions began anew.
            return Gone(what, retry_after_seconds=wait)
        case _ if status in _RETRYABLE or status > 504:
            return Transient(what, retry_after_seconds=wait)
        case _:
            return Refused(what)


def from_status(request: Request, body: bytes) -> OutsideError:
    """The error for an ERROR event inside a watch."""
    said = _status(body)
    return from_answer(request, status=said.code or 500, body=body)


def unreachable(request: Request, error: Exception, *, url: str) -> OutsideError:
    """The error for a call that got no answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(
            f"{request}: the certificate of {url} is not accepted"
            f" ({clean(getattr(error, 'verify_message', '') or str(error))}); give the cluster's CA"
            " (certificate-authority) or the right server name"
        )
    if isinstance(error, socket.gaierror):
        why = f"the name of {url} does not resolve; check the URL and the DNS"
    elif isinstance(error, TimeoutError | asyncio.TimeoutError):
        why = f"no answer from {url} in time; check the network, the proxy and the server's load"
    elif isinstance(error, ConnectionRefusedError):
        why = f"{url} refuses connections; the API server may be restarting, or the port is wrong"
    elif isinstance(error, ssl.SSLError):
        why = f"TLS with {url} failed ({clean(str(error))}); check the client certificate"
    elif isinstance(error, http1.BrokenAnswer):
        why = f"{url}: {clean(str(error))}"
    else:
        why = f"the connection to {url} failed ({clean(str(error) or type(error).__name__)})"
    return Transient(f"{request}: {why}")


def _status(body: bytes) -> wire.Status:
    try:
        return wire.decoded(_STATUS, body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # A proxy's HTML page, or nothing: who knows what it holds, so it is not shown.
        return wire.Status()


def _seconds(text: str) -> float | None:
    """Retry-After as a number. The date form is not used by API servers."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _owners(causes: list[wire.Cause]) -> str:
    """`managedFields` conflicts read: conflict with "manager" using API: .spec.field"""
    shown = "; ".join(
        f"{clean(c.field, limit=80)} ({clean(c.message, limit=120)})" for c in causes[:5]
    )
    more = f" and {len(causes) - 5} more" if len(causes) > 5 else ""
    return (
        f"another field manager owns what we would set: {shown}{more}; not forced, let its"
        " owner give the field up or set it there"
    )
