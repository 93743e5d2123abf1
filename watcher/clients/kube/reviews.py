"""Asking one API server about people: TokenReview and SubjectAccessReview.

A token goes into one request body and nowhere else: not into an error, a log line or a cache.
Our own account needs `create` on both, as the ClusterRole system:auth-delegator has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from watcher.clients.kube import errors, wire
from watcher.clients.kube.errors import Request
from watcher.clients.kube.session import Session
from watcher.ports import Refused
from watcher.ports_reviews import Reviewed

GROUP, RESOURCE = "relayer.io", "pools"
"""What is asked about. No such kind is installed: a rule of RBAC can name what nobody serves."""
MOST_GROUPS = 200
MOST_EXTRA = 20
LONGEST = 300
"""Names, groups and extras beyond these are no person's: such a token is refused, never cut."""
_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"

W = TypeVar("W")


class User(wire.Wire, frozen=True):
    username: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class TokenStatus(wire.Wire, frozen=True):
    authenticated: bool = False
    user: User | None = None
    audiences: list[str] | None = None


class TokenReview(wire.Wire, frozen=True):
    status: TokenStatus | None = None


class AccessStatus(wire.Wire, frozen=True):
    allowed: bool = False
    denied: bool = False


class AccessReview(wire.Wire, frozen=True):
    status: AccessStatus | None = None


class KubeReviews:
    """`ports_reviews.Reviews` over one cluster's session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def whose(self, token: str, *, audiences: Sequence[str]) -> Reviewed | None:
        """See `ports_reviews.Reviews`."""
        spec: dict[str, Any] = {"token": token}
        if audiences:
            spec["audiences"] = list(audiences)
        made = await self._create(_AUTHENTICATION, "TokenReview", spec, TokenReview)
        said = made.status or TokenStatus()
        if not said.authenticated or said.user is None or not said.user.username:
            return None
        # A server that knows nothing of audiences names none: then the token is not proven ours.
        if audiences and not set(audiences) & set(said.audiences or ()):
            return None
        return _person(said.user)

    async def allows(self, who: Reviewed, *, verb: str, namespace: str) -> bool:
        """See `ports_reviews.Reviews`."""
        about = {"group": GROUP, "resource": RESOURCE, "verb": verb}
        spec: dict[str, Any] = {
            "resourceAttributes": {**about, **({"namespace": namespace} if namespace else {})},
            "user": who.name,
            "uid": who.uid,
            "groups": list(who.groups),
            "extra": {key: list(values) for key, values in who.extra.items()},
        }
        made = await self._create(_AUTHORIZATION, "SubjectAccessReview", spec, AccessReview)
        said = made.status or AccessStatus()
        return said.allowed and not said.denied

    async def _create(self, group: str, kind: str, spec: Mapping[str, Any], wanted: type[W]) -> W:
        resource = f"{kind.lower()}s"
        request = Request(
            cluster=self._session.cluster, verb="create", group=group, resource=resource
        )
        answer = await self._session.change(
            request,
            method="POST",
            path=f"/apis/{group}/v1/{resource}",
            body={"apiVersion": f"{group}/v1", "kind": kind, "spec": dict(spec)},
        )
        try:
            return msgspec.json.decode(answer, type=wanted)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            said = errors.clean(str(error))
            raise Refused(f"{request}: the answer cannot be read ({said})") from error


def _person(user: User) -> Reviewed | None:
    groups, extra = user.groups or [], user.extra or {}
    values = [value for listed in extra.values() for value in listed]
    texts = [user.username, user.uid, *groups, *extra, *values]
    many = len(groups) > MOST_GROUPS or len(extra) + len(values) > MOST_EXTRA
    if many or any(len(text) > LONGEST or not text.isprintable() for text in texts):
        return None
    return Reviewed(
        name=user.username,
        uid=user.uid,
        groups=tuple(groups),
        extra={key: tuple(values) for key, values in extra.items()},
    )
