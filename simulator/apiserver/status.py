"""The error bodies of the API server: ``kind: Status`` with reason, code, message and details.

The wording follows what kube-apiserver says, because people and programs read it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.apiserver.kinds import Kind


class ApiError(Exception):
    """A request was answered with an error. Carries the Status object to send."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self._details = dict(details or {})

    def body(self) -> dict[str, Any]:
        """The Status object."""
        details = self._details
        if self.retry_after_seconds is not None:
            details = {**details, "retryAfterSeconds": self.retry_after_seconds}
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
        }
        if details:
            status["details"] = details
        return {**status, "code": self.code}


def _about(kind: Kind, name: str) -> dict[str, Any]:
    group = {"group": kind.group} if kind.group else {}
    return {"name": name, **group, "kind": kind.plural}


def not_found(kind: Kind, name: str) -> ApiError:
    message = f'{kind.resource} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_about(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    message = f'{kind.resource} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_about(kind, name))


def conflict(kind: Kind, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_about(kind, name))


def modified_meanwhile(kind: Kind, name: str) -> ApiError:
    return conflict(
        kind,
        name,
        "the object has been modified; please apply your changes to the latest version"
        " and try again",
    )


def apply_conflict(owners: Sequence[tuple[str, str]]) -> ApiError:
    """Server-side apply met fields of others: pairs of (manager as printed, path)."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, path in owners
    ]
    if len(owners) == 1:
        message = f"Apply failed with 1 conflict: conflict with {owners[0][0]}: {owners[0][1]}"
    else:
        lines: list[str] = []
        for who in sorted({who for who, _ in owners}):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path}" for owner, path in owners if owner == who]
        message = f"Apply failed with {len(owners)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, details={"causes": causes})


def invalid(kind: Kind, name: str, field: str, why: str) -> ApiError:
    causes = [{"reason": "FieldValueInvalid", "message": why, "field": field}]
    details = {**_about(kind, name), "kind": kind.kind, "causes": causes}
    about = f"{kind.kind}.{kind.group}".rstrip(".")
    message = f'{about} "{name}" is invalid: {field}: {why}'
    return ApiError(422, "Invalid", message, details=details)


def bad_request(why: str) -> ApiError:
    return ApiError(400, "BadRequest", why)


def forbidden(kind: Kind, verb: str, name: str, namespace: str, user: str) -> ApiError:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    about = f'{kind.resource} "{name}"' if name else kind.resource
    message = (
        f'{about} is forbidden: User "{user}" cannot {verb} resource "{kind.plural}"'
        f' in API group "{kind.group}" {where}'
    )
    return ApiError(403, "Forbidden", message, details=_about(kind, name))


def expired(message: str) -> ApiError:
    """410: the asked-for revision is compacted away."""
    return ApiError(410, "Expired", message)


def too_old(asked: int, oldest: int) -> ApiError:
    return expired(f"too old resource version: {asked} ({oldest})")


def too_new(asked: int, current: int) -> ApiError:
    """504: this server has not seen that revision yet."""
    message = f"Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", message, details={"causes": causes}, retry_after_seconds=1)


def unsupported_media(got: str, wanted: Sequence[str]) -> ApiError:
    message = (
        f"the body of the request was in an unknown format ({got[:80]})"
        f" - accepted media types include: {', '.join(wanted)}"
    )
    return ApiError(415, "UnsupportedMediaType", message)


UNAUTHORIZED = ApiError(401, "Unauthorized", "Unauthorized")
