"""What every part of a simulated cluster shares: its objects, its time, and how to write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.apiserver.kinds import Kind
from simulator.apiserver.server import ApiServer
from simulator.apiserver.store import Store, Version
from simulator.apiserver.writes import By
from simulator.cluster.clock import SimClock
from simulator.cluster.specs import Timings

Document = dict[str, Any]

CONTROLLER = "machine-config-controller"
DAEMON = "machine-config-daemon"
OPERATOR = "machine-config-operator"
VERSION_OPERATOR = "cluster-version-operator"
KUBELET = "kubelet"
PERSON = "oc"

MCO_NAMESPACE = "openshift-machine-config-operator"


@dataclass(frozen=True, slots=True)
class World:
    api: ApiServer
    clock: SimClock
    timings: Timings

    @property
    def store(self) -> Store:
        return self.api.store

    def stamp(self) -> str:
        return self.api.writer.stamp()

    def create(self, kind: Kind, document: Document, by: str) -> Version:
        return self.api.writer.create(kind, document, By(by))

    def edit(
        self,
        kind: Kind,
        name: str,
        change: Callable[[Document], None],
        by: str,
        *,
        namespace: str = "",
        status: bool = False,
    ) -> Version:
        """Change an object in place of a copy and write it back; only its status if so said."""

        def changed(document: Document) -> Document:
            change(document)
            return document

        how = By(by, subresource="status" if status else "")
        return self.api.writer.patch(kind, (namespace, name), changed, how)

    def ensure(self, kind: Kind, document: Document, by: str) -> None:
        """Create the object, or set everything it names except its metadata's rest."""
        metadata = document["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        if self.store.find(kind, name, namespace) is None:
            self.create(kind, document, by)
            return

        def change(live: Document) -> None:
            annotations(live).update(metadata.get("annotations") or {})
            live.update({k: v for k, v in document.items() if k not in ("metadata", "status")})

        self.edit(kind, name, change, by, namespace=namespace)
        if "status" in document:
            self.edit(
                kind, name, lambda live: live.update(status=document["status"]), by, status=True
            )


def annotations(document: Document) -> dict[str, str]:
    """The annotations of an object, to change in place."""
    notes: dict[str, str] = document["metadata"].setdefault("annotations", {})
    return notes
