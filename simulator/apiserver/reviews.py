"""TokenReview and SubjectAccessReview: what a cluster says of people, as it was told to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from simulator.apiserver import status
from simulator.apiserver.kinds import ACCESS_REVIEWS, TOKEN_REVIEWS, Kind
from simulator.apiserver.rest import Answer, Call

API = "https://kubernetes.default.svc"
"""The audience of a token that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a token."""

    name: str
    groups: Sequence[str] = ("system:authenticated",)
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)
    audiences: Sequence[str] = (API,)


class Reviews:
    """People with their tokens, and who may what. Nothing is kept of what is asked."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        """By token."""
        self.grants: set[tuple[str, str, str]] = set()
        """User or group, verb, namespace ("" is everywhere), on `pools.relayer.io`."""
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        """Kind and spec of every review, the token left out."""

    def grant(self, who: str, *verbs: str, namespace: str = "") -> None:
        """Let a user or a group do so to pools.relayer.io."""
        self.grants |= {(who, verb, namespace) for verb in verbs}

    def answers(self, kind: Kind) -> bool:
        return kind in (TOKEN_REVIEWS, ACCESS_REVIEWS)

    def serve(self, call: Call) -> Answer:
        """Answer a POST; raise ApiError for anything else."""
        if call.method != "POST" or call.target.name:
            message = "the server does not allow this method on the requested resource"
            raise status.ApiError(405, "MethodNotAllowed", message)
        try:
            spec = msgspec.json.decode(call.body)["spec"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise status.bad_request("the body is no review") from error
        kind = call.target.kind
        self.asked.append((kind.kind, {k: v for k, v in spec.items() if k != "token"}))
        said = self._token(spec) if kind == TOKEN_REVIEWS else self._access(spec)
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "spec": spec, "status": said}
        return Answer(201, msgspec.json.encode(body))

    def _token(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        person = self.people.get(spec.get("token", ""))
        wanted = spec.get("audiences") or [API]
        meant = [one for one in wanted if person and one in person.audiences]
        if person is None or not meant:
            return {"authenticated": False, "error": "[invalid bearer token, Token has expired.]"}
        user: dict[str, Any] = {"username": person.name, "groups": list(person.groups)}
        if person.uid:
            user["uid"] = person.uid
        if person.extra:
            user["extra"] = {key: list(values) for key, values in person.extra.items()}
        return {"authenticated": True, "user": user, "audiences": meant}

    def _access(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        about = spec.get("resourceAttributes") or {}
        if (about.get("group"), about.get("resource")) != ("relayer.io", "pools"):
            return {"allowed": False}
        places = {"", about.get("namespace", "")}
        names = {spec.get("user", ""), *(spec.get("groups") or ())}
        scopes = (spec.get("extra") or {}).get("scopes.authorization.openshift.io")
        narrow = scopes is not None and "user:full" not in scopes
        allowed = not narrow and any(
            (name, about.get("verb"), place) in self.grants for name in names for place in places
        )
        reason = "scopes of the token prevent this action" if narrow else ""
        return {"allowed": allowed, "reason": reason}
