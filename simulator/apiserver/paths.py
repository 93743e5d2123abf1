"""Reading request paths and queries of the Kubernetes API."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from simulator.apiserver import status
from simulator.apiserver.kinds import Kind, Kinds
from simulator.apiserver.store import Key

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: all objects of a kind, or one, or its status."""

    kind: Kind
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)

    def verb(self, method: str, *, watch: bool) -> str:
        """The word that authorisation knows for it."""
        if method in ("GET", "HEAD"):
            return "get" if self.name else "watch" if watch else "list"
        if method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return _VERBS.get(method, method.lower())


def parse(path: str, kinds: Kinds) -> Target | None:
    """The target of ``/api/v1/…`` or ``/apis/<group>/<version>/…``; None if nothing is there."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] != "status":
        namespace, rest = rest[1], rest[2:]
    kind = kinds.find(group, version, rest[0])
    if kind is None or len(rest) > 3 or (bool(namespace) and not kind.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and not (subresource == "status" and kind.has_status):
        return None
    if name and kind.namespaced and not namespace:
        return None
    return Target(kind, namespace, name, subresource)


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name) in ("1", "true")


def number(query: Mapping[str, str], name: str) -> int:
    """A query number, 0 if absent or empty; raise ApiError 400."""
    text = query.get(name) or "0"
    if not text.isdecimal() or len(text) > 18:
        raise status.bad_request(f"{name}: Invalid value: {text[:80]!r}")
    return int(text)


def continue_token(revision: int, start: int) -> str:
    """Opaque to the client, as the real one."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_continue(token: str) -> tuple[int, int]:
    """Revision and start; raise ApiError 400."""
    try:
        fields = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(fields["rv"]), int(fields["start"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise status.bad_request("continue key is not valid") from error
