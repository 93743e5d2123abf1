"""What the API server does to an object on its way into the store.

Names are checked, metadata is filled in, the generation counts changes of intent, the status is
kept apart, owners of fields are recorded, and a write that changes nothing writes nothing.
Controllers of the simulated cluster and HTTP requests come in by the same door.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.apiserver import ownership, patches, status
from simulator.apiserver.kinds import Kind
from simulator.apiserver.store import Key, Store, Version

Now = Callable[[], datetime]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_SERVER_SET = ("uid", "creationTimestamp", "generation", "managedFields")


@dataclass(frozen=True, slots=True)
class By:
    """Who writes and how."""

    manager: str = ""
    """Empty: nobody is recorded, which is quickest."""
    subresource: str = ""
    force: bool = False
    dry_run: bool = False


NOBODY = By()


class Writer:
    """Creates, updates, patches and deletes by the rules of the API."""

    def __init__(self, store: Store, now: Now) -> None:
        self.store = store
        self._now = now

    def create(
        self,
        kind: Kind,
        document: dict[str, Any],
        by: By = NOBODY,
        *,
        owned: ownership.Owned | None = None,
    ) -> Version:
        """Raise ApiError 400, 409 (exists), 422 (name)."""
        metadata = self._checked(kind, document)
        name = metadata.get("name") or self._generated(metadata)
        if not _NAME.fullmatch(name):
            why = (
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters"
            )
            raise status.invalid(
                kind, name[:80], "metadata.name", f'Invalid value: "{name}": {why}'
            )
        namespace = metadata.get("namespace", "") if kind.namespaced else ""
        if kind.namespaced and not namespace:
            raise status.bad_request("the namespace of the object must be named")
        key = (namespace, name)
        if self.store.find(kind, name, key[0]):
            raise status.already_exists(kind, name)
        self._born(kind, metadata, name)
        if owned is None and by.manager:
            who = ownership.Manager(by.manager, "Update", by.subresource, kind.api_version)
            owned = ownership.after_update({}, who, {}, document)
        if owned is not None:
            metadata["managedFields"] = ownership.written(owned, now=self.stamp())
        return self._put(kind, key, document, by)

    def _checked(self, kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
        if (document.get("apiVersion"), document.get("kind")) != (kind.api_version, kind.kind):
            raise status.bad_request(
                f"the object provided is unrecognized (must be of type {kind.kind} of"
                f" {kind.api_version})"
            )
        metadata = document.setdefault("metadata", {})
        if not isinstance(metadata, dict):
            raise status.bad_request("metadata must be an object")
        return metadata

    def _generated(self, metadata: Mapping[str, Any]) -> str:
        prefix = metadata.get("generateName")
        if not prefix:
            raise status.bad_request("name or generateName is required")
        return f"{prefix}{uuid.uuid4().hex[:5]}"

    def _born(self, kind: Kind, metadata: dict[str, Any], name: str) -> None:
        metadata |= {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": self.stamp()}
        if kind.counts_generation:
            metadata["generation"] = 1

    def stamp(self) -> str:
        """Now, as written into objects."""
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def update(self, kind: Kind, key: Key, document: dict[str, Any], by: By = NOBODY) -> Version:
        """Replace the object, or its status if ``by.subresource`` says so.

        Raise ApiError 404, 409 (another resourceVersion or uid), 422.
        """
        live = self.store.get(kind, key[1], key[0])
        metadata = self._checked(kind, document)
        self._same_object(kind, live, metadata)
        after = self._merged_with_live(kind, live, document, by)
        return self._store_update(kind, live, after, by)

    def _same_object(self, kind: Kind, live: Version, metadata: Mapping[str, Any]) -> None:
        name = live.key[1]
        if metadata.get("name") != name:
            got = str(metadata.get("name"))[:80]
            raise status.bad_request(
                f"the name of the object ({got}) does not match the name on the URL ({name})"
            )
        old = live.object["metadata"]
        if metadata.get("uid") not in (None, "", old["uid"]):
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta"
            raise status.conflict(kind, name, f"{why}: {old['uid']}")
        version = metadata.get("resourceVersion")
        if not version and kind.custom:
            why = "Invalid value: 0: must be specified for an update"
            raise status.invalid(kind, name, "metadata.resourceVersion", why)
        if version and version != old["resourceVersion"]:
            raise status.modified_meanwhile(kind, name)

    def _merged_with_live(
        self, kind: Kind, live: Version, document: dict[str, Any], by: By
    ) -> dict[str, Any]:
        """What a write through this door may change; the rest stays as it is."""
        old = live.object
        if by.subresource == "status":
            after = {**old, "metadata": dict(old["metadata"])}
            after.pop("status", None)
            return {**after, "status": document["status"]} if "status" in document else after
        metadata = dict(document["metadata"])
        for field in (*_SERVER_SET, "namespace"):
            metadata.pop(field, None)
            if field in old["metadata"]:
                metadata[field] = old["metadata"][field]
        after = {**document, "metadata": metadata}
        if kind.has_status:
            after.pop("status", None)
            if "status" in old:
                after["status"] = old["status"]
        return after

    def _store_update(
        self,
        kind: Kind,
        live: Version,
        after: dict[str, Any],
        by: By,
        owned: ownership.Owned | None = None,
    ) -> Version:
        old, metadata = live.object, after["metadata"]
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        before_entries = old["metadata"].get("managedFields") or []
        if owned is None and by.manager:
            who = ownership.Manager(by.manager, "Update", by.subresource, kind.api_version)
            owned = ownership.after_update(ownership.read(before_entries), who, old, after)
        if owned is not None:
            metadata["managedFields"] = ownership.written(
                owned, now=self.stamp(), before=before_entries
            )
        if after == old or _only_times_differ(after, old):
            return live
        if kind.counts_generation and _intent(kind, after) != _intent(kind, old):
            metadata["generation"] = old["metadata"].get("generation", 0) + 1
        return self._put(kind, live.key, after, by)

    def patch(
        self,
        kind: Kind,
        key: Key,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        by: By = NOBODY,
    ) -> Version:
        """Change a copy of the object and write it back. Raise ApiError 404, 409, 422."""
        live = self.store.get(kind, key[1], key[0])
        try:
            document = change(self.store.copy_of(live))
        except patches.BadPatch as error:
            message = f"the server rejected our request due to an error in our request: {error}"
            raise status.ApiError(422, "Invalid", message) from error
        return self.update(kind, key, document, by)

    def apply(self, kind: Kind, key: Key, wanted: dict[str, Any], by: By) -> tuple[Version, bool]:
        """Server-side apply; True if the object was created.

        Raise ApiError 400, 409 (fields of other managers), 422.
        """
        metadata = self._checked(kind, wanted)
        if metadata.get("managedFields"):
            raise status.bad_request("metadata.managedFields must be nil")
        if metadata.setdefault("name", key[1]) != key[1]:
            got = str(metadata["name"])[:80]
            raise status.bad_request(
                f"the name of the object ({got}) does not match the name on the URL ({key[1]})"
            )
        who = ownership.Manager(by.manager, "Apply", by.subresource, kind.api_version)
        live = self.store.find(kind, key[1], key[0])
        if live is None:
            return self._apply_new(kind, key, wanted, who, by), True
        if metadata.get("resourceVersion") or metadata.get("uid"):
            version = metadata.get("resourceVersion") or str(live.revision)
            self._same_object(kind, live, {**metadata, "resourceVersion": version})
        owned = ownership.read(live.object["metadata"].get("managedFields") or [])
        merged, owned = ownership.apply(owned, who, live.object, wanted, force=by.force)
        after = self._merged_with_live(kind, live, merged, by)
        after["metadata"].pop("managedFields", None)
        return self._store_update(kind, live, after, by, owned), False

    def _apply_new(
        self, kind: Kind, key: Key, wanted: dict[str, Any], who: ownership.Manager, by: By
    ) -> Version:
        if kind.namespaced:
            wanted["metadata"]["namespace"] = key[0]
        return self.create(kind, wanted, by, owned={who: ownership.leaves(wanted)})

    def delete(
        self, kind: Kind, key: Key, preconditions: Mapping[str, Any], by: By = NOBODY
    ) -> Version:
        """Raise ApiError 404, 409 if uid or resourceVersion of the preconditions differ."""
        live = self.store.get(kind, key[1], key[0])
        for field, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            wanted, have = preconditions.get(field), live.object["metadata"][field]
            if wanted and wanted != have:
                why = (
                    f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta"
                )
                raise status.conflict(kind, key[1], f"{why}: {have}")
        return live if by.dry_run else self.store.remove(kind, key, by=by.manager)

    def _put(self, kind: Kind, key: Key, document: dict[str, Any], by: By) -> Version:
        if by.dry_run:
            return Version(key, self.store.revision, document, b"")
        return self.store.put(kind, key, document, by=by.manager)


def _intent(kind: Kind, document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an object that its generation counts."""
    apart = {"metadata", "status"} if kind.has_status else {"metadata"}
    return {key: value for key, value in document.items() if key not in apart}


def _only_times_differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True if nothing but the times of managedFields differs."""

    def untimed(document: Mapping[str, Any]) -> dict[str, Any]:
        metadata = dict(document["metadata"])
        entries = metadata.pop("managedFields", None) or []
        metadata["managedFields"] = [{**entry, "time": ""} for entry in entries]
        return {**document, "metadata": metadata}

    return untimed(one) == untimed(other)
