"""The OpenAPI 3.1 document, made from the same operations that answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

import msgspec

from watcher.web.api.once import LEAST, MOST
from watcher.web.api.operation import EVENTS, JSON, Operation
from watcher.web.api.rows import ProblemRow
from watcher.web.callers import Role

Row = dict[str, Any]
PREFIX = "/api/v1"
PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{name}"
_PROBLEM = ProblemRow.__name__
ALWAYS = (400, 401, 403, 421, 422, 431, 500, 502, 503)
"""What every operation may answer."""
WITH_BODY = (408, 413, 415)
WHY: Mapping[int, str] = {
    400: "It is not clear which host is asked.",
    401: "No token, or one that is not known.",
    403: "The caller's role does not cover it.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "The decision does not count, or the same request is still in progress.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "Another host name than that of this service.",
    422: "Parameters, body or key are not as expected.",
    431: "The headers are too large.",
    429: "Asked too often; `Retry-After` says when again.",
    500: "A fault of Relayer's.",
    502: "Store, cluster or registry refused.",
    503: "Something does not answer, or is used up; `Retry-After` says when again.",
}
PATH_PARTS: Mapping[str, Row] = {
    "id": {"type": "string", "pattern": "^[a-z]-[0-9a-zA-Z-]{1,64}$"},
    "cluster": {"type": "string", "pattern": "^[0-9a-zA-Z][0-9a-zA-Z._-]{0,252}$"},
    "pool": {"type": "string", "pattern": "^[0-9a-zA-Z][0-9a-zA-Z._-]{0,252}$"},
}
KEY_PARAMETER: Row = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request within 24 h gives the same answer, and"
    " nothing is done twice.",
    "schema": {"type": "string", "pattern": f"^[!-~]{{{LEAST},{MOST}}}$"},
}
LAST_ID: Row = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "`id` of the last event that was received.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,40}$"},
}


def document(operations: Sequence[Operation], *, reads_are_open: bool) -> Row:
    """Return the document. `reads_are_open`: a viewer may come without a token."""
    answers = [one.answer for one in operations if not isinstance(one.answer, str)]
    bodies = [one.body for one in operations if one.body is not None]
    queries = [one.query for one in operations]
    wanted = list(dict.fromkeys([ProblemRow, *answers, *bodies, *queries]))
    made, components = msgspec.json.schema_components(wanted, ref_template=_REF)
    schemas: dict[Any, Row] = dict(zip(wanted, made, strict=True))
    paths: dict[str, Row] = {}
    for one in operations:
        there = paths.setdefault(PREFIX + one.path, {})
        there[one.method.lower()] = _operation(one, schemas, components, reads_are_open)
    named = set(re.findall(r"#/components/schemas/(\w+)", str([paths, components])))
    components = {name: there for name, there in components.items() if name in named | {_PROBLEM}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Relayer",
            "version": metadata.version("relayer"),
            "description": "Keeps layered RHCOS pools on the release of their cluster. Below"
            f" {PREFIX} fields are added and never renamed; ignore those you do not know.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {str(status): _problem(why, status) for status, why in WHY.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    one: Operation, schemas: Mapping[Any, Row], components: Mapping[str, Row], open_reads: bool
) -> Row:
    security: list[Row] = [{"token": []}]
    if open_reads and one.role is Role.VIEWER:
        security.append({})
    statuses = {*ALWAYS, *one.refusals, *(WITH_BODY if one.body else ())}
    if one.changes:
        statuses.add(409)
    said: Row = {
        "operationId": one.name,
        "summary": one.says,
        "description": f"Needs the role `{one.role}`.",
        "parameters": [*_parameters(one, components)],
        "security": security,
        "responses": {
            str(one.status): _answer(one, schemas),
            **{str(s): {"$ref": f"#/components/responses/{s}"} for s in sorted(statuses)},
        },
    }
    if one.body is not None:
        needed = components[one.body.__name__].get("required") or []
        said["requestBody"] = {
            "required": bool(needed),
            "content": {JSON: {"schema": schemas[one.body]}},
        }
    return said


def _parameters(one: Operation, components: Mapping[str, Row]) -> Iterable[Row]:
    for name in re.findall(r"{(\w+)}", one.path):
        yield {"name": name, "in": "path", "required": True, "schema": PATH_PARTS[name]}
    query = components[one.query.__name__]
    for name, schema in query["properties"].items():
        resolved = _inlined(schema, components)
        said = resolved.pop("description", "")
        yield {
            "name": name,
            "in": "query",
            "required": name in query["required"],
            **({"description": said} if said else {}),
            "schema": resolved,
        }
    if one.changes:
        yield KEY_PARAMETER
    if one.kinds == (EVENTS,):
        yield LAST_ID


def _inlined(schema: Row, components: Mapping[str, Row]) -> Row:
    """A parameter says what it is; a reference among parameters is one hop too many for readers."""
    ref = schema.get("$ref")
    if ref is None:
        return dict(schema)
    return {k: v for k, v in components[ref.rpartition("/")[2]].items() if k != "title"}


def _answer(one: Operation, schemas: Mapping[Any, Row]) -> Row:
    text = {"schema": {"type": "string"}}
    first, *others = one.kinds
    content = {first: {"schema": schemas[one.answer]}, **dict.fromkeys(others, text)}
    headers: Row = {}
    if one.changes:
        headers["Idempotency-Replayed"] = {
            "description": "`true`: this is the answer of the first such request.",
            "schema": {"type": "string"},
        }
    made: Row = {"description": one.says, "content": content}
    return {**made, "headers": headers} if headers else made


def _problem(why: str, status: int) -> Row:
    made: Row = {
        "description": why,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemRow"}}},
    }
    if status == 429:
        made["headers"] = {"Retry-After": {"required": True, "schema": {"type": "string"}}}
    return made
