"""One request in, one answer out: the REST verbs on the store, without any HTTP library.

The answer is either a whole body or a watch to stream; how it travels is the server's part.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from simulator.apiserver import patches, paths, selectors, status, watches
from simulator.apiserver.paths import Target, flag, number
from simulator.apiserver.store import Page, Store
from simulator.apiserver.watches import WatchRequest
from simulator.apiserver.writes import By, Writer

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Call:
    """An authorised request, as far as it matters here."""

    method: str
    target: Target
    query: Mapping[str, str]
    content_type: str
    user_agent: str
    body: bytes

    @property
    def by(self) -> By:
        manager = self.query.get("fieldManager") or self.user_agent.partition("/")[0] or "unknown"
        return By(
            manager=manager[:128],
            subresource=self.target.subresource,
            force=flag(self.query, "force"),
            dry_run=self.query.get("dryRun") == "All",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    body: bytes


class Rest:
    """Serves calls from a store."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    def serve(self, call: Call) -> Answer | WatchRequest:
        """Raise ApiError for everything that is answered with a Status."""
        match call.method:
            case "GET" | "HEAD" if call.target.name and not flag(call.query, "watch"):
                version = self._store.get(call.target.kind, call.target.name, call.target.namespace)
                return Answer(200, version.body)
            case "GET" | "HEAD":
                return self._watch(call) if flag(call.query, "watch") else self._list(call)
            case "POST" if not call.target.name:
                return self._create(call)
            case "PUT" if call.target.name:
                return self._update(call)
            case "PATCH" if call.target.name:
                return self._patch(call)
            case "DELETE" if call.target.name:
                return self._delete(call)
            case _:
                message = "the server does not allow this method on the requested resource"
                raise status.ApiError(405, "MethodNotAllowed", message)

    def _list(self, call: Call) -> Answer:
        query, target = call.query, call.target
        token = query.get("continue")
        asked = number(query, "resourceVersion")
        if not token:
            self._check_revision(target, asked, query.get("resourceVersionMatch", ""))
        page = self._store.page(
            target.kind,
            namespace=target.namespace,
            label_test=selectors.labels(query.get("labelSelector", "")),
            field_test=selectors.fields(query.get("fieldSelector", "")),
            limit=number(query, "limit"),
            at=paths.read_continue(token) if token else None,
        )
        return Answer(200, watches.encode_list(target.kind, page.items, _metadata(page, query)))

    def _check_revision(self, target: Target, asked: int, match: str) -> None:
        if asked > self._store.revision:
            raise status.too_new(asked, self._store.revision)
        if match == "Exact":
            log = self._store.table(target.kind).log
            compacted = self._store.table(target.kind).compacted
            if asked < compacted or any(change.revision > asked for change in log):
                raise status.expired(f"The provided resource version is too old: {asked}")

    def _watch(self, call: Call) -> WatchRequest:
        query, target = call.query, call.target
        field = query.get("fieldSelector", "")
        if target.name:
            field = f"metadata.name={target.name}"
        return WatchRequest(
            kind=target.kind,
            namespace=target.namespace,
            label_test=selectors.labels(query.get("labelSelector", "")),
            field_test=selectors.fields(field),
            revision=number(query, "resourceVersion"),
            bookmarks=flag(query, "allowWatchBookmarks"),
            initial_events=flag(query, "sendInitialEvents"),
            timeout_seconds=float(number(query, "timeoutSeconds") or 3600),
        )

    def _create(self, call: Call) -> Answer:
        target, document = call.target, _document(call)
        metadata = document.setdefault("metadata", {})
        if target.kind.has_status and target.kind.custom:
            document.pop("status", None)
        if isinstance(metadata, dict) and target.namespace:
            metadata.setdefault("namespace", target.namespace)
        return Answer(201, _encoded(self._writer.create(target.kind, document, call.by)))

    def _update(self, call: Call) -> Answer:
        target = call.target
        version = self._writer.update(target.kind, target.key, _document(call), call.by)
        return Answer(200, _encoded(version))

    def _patch(self, call: Call) -> Answer:
        target, kind = call.target, call.target.kind
        accepted = [JSON_PATCH, MERGE, APPLY] + ([] if kind.custom else [STRATEGIC])
        if call.content_type not in accepted:
            raise status.unsupported_media(call.content_type, accepted)
        if call.content_type == APPLY:
            return self._apply(call)
        change = _decoded(call.body)
        apply: Callable[[Any, Any], Any] = (
            patches.json_patch if call.content_type == JSON_PATCH else patches.merge
        )
        version = self._writer.patch(
            kind, target.key, lambda document: _object(apply(document, change)), call.by
        )
        return Answer(200, _encoded(version))

    def _apply(self, call: Call) -> Answer:
        if not call.query.get("fieldManager"):
            message = (
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value:'
                " is required for apply patch"
            )
            raise status.ApiError(422, "Invalid", message)
        target, wanted = call.target, _document(call)
        version, created = self._writer.apply(target.kind, target.key, wanted, call.by)
        return Answer(201 if created else 200, _encoded(version))

    def _delete(self, call: Call) -> Answer:
        options = _object(_decoded(call.body)) if call.body else {}
        target, by = call.target, call.by
        if options.get("dryRun") == ["All"]:
            by = By(manager=by.manager, dry_run=True)
        conditions = _object(options.get("preconditions") or {})
        version = self._writer.delete(target.kind, target.key, conditions, by)
        details = {
            "name": target.name,
            "group": target.kind.group,
            "kind": target.kind.plural,
            "uid": version.object["metadata"]["uid"],
        }
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return Answer(200, msgspec.json.encode({**done, "details": details}))


def _metadata(page: Page, query: Mapping[str, str]) -> dict[str, object]:
    metadata: dict[str, object] = {"resourceVersion": str(page.revision)}
    if page.next_start is not None:
        metadata["continue"] = paths.continue_token(page.revision, page.next_start)
        if not query.get("labelSelector") and not query.get("fieldSelector"):
            metadata["remainingItemCount"] = page.remaining
    return metadata


def _encoded(version: Any) -> bytes:
    encoded: bytes = version.body or msgspec.json.encode(version.object)
    return encoded


def _document(call: Call) -> dict[str, Any]:
    """The object in the body; raise ApiError 400, 415."""
    if call.content_type in ("application/yaml", APPLY):
        try:
            return _object(yaml.safe_load(call.body))
        except yaml.YAMLError as error:
            raise status.bad_request("error decoding YAML") from error
    if call.content_type not in ("application/json", ""):
        raise status.unsupported_media(call.content_type, ["application/json", "application/yaml"])
    return _object(_decoded(call.body))


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise status.bad_request(f"error decoding: {error}") from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise status.bad_request("the body must be an object")
    return value
