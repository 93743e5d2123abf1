"""Answers held to the API's own document, in every test that asks a site."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from watcher.web.api import Api, openapi
from watcher.web.api.openapi import PREFIX, PROBLEM

Row = dict[str, Any]
_documents: dict[int, Row] = {}


def document(api: Api) -> Row:
    """The document, where reads need a token."""
    made: Row = json.loads(json.dumps(openapi.document(api.operations, reads_are_open=False)))
    return made


class Held:
    """Checks answers. A field that the document does not know is an error of the document."""

    def __init__(self, api: Api) -> None:
        self.document = _documents.setdefault(0, document(api))

    async def check(self, response: httpx.Response) -> None:
        """A hook of httpx: raise AssertionError for an answer that is not as the document says."""
        request = response.request
        if not request.url.path.startswith(f"{PREFIX}/"):
            return
        kind = response.headers.get("content-type", "").partition(";")[0]
        if response.status_code >= 400:
            assert kind == PROBLEM, f"{response.status_code} with {kind}"
        said = self._operation(request.method, request.url.raw_path.decode().partition("?")[0])
        if said is None or response.status_code in (307, 405):
            return
        answers = said["responses"]
        assert str(response.status_code) in answers, f"undocumented: {response.status_code}"
        content = self._resolved(answers[str(response.status_code)])["content"]
        assert kind in content, f"undocumented: {kind}"
        if request.method != "HEAD" and kind in ("application/json", PROBLEM):
            await response.aread()
            _validator(json.dumps(content[kind]["schema"])).validate(response.json())

    def _operation(self, method: str, path: str) -> Row | None:
        for template, there in self.document["paths"].items():
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
                found: Row | None = there.get(method.lower().replace("head", "get"))
                return found
        return None

    def _resolved(self, answer: Row) -> Row:
        ref = answer.get("$ref", "")
        found: Row = (
            self.document["components"]["responses"][ref.rpartition("/")[2]] if ref else answer
        )
        return found


@cache
def _validator(schema: str) -> jsonschema_rs.Validator:
    components = _tight(_documents[0]["components"]["schemas"])
    whole = {**json.loads(schema), "components": {"schemas": components}}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def _tight(schema: Any) -> Any:
    """The same, with no fields beside those that are named."""
    if isinstance(schema, list):
        return [_tight(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {name: _tight(one) for name, one in schema.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made
