"""From the API's JSON to the facts of `watcher.core.cluster`.

Every kind has one msgspec Struct with only the fields we use, so that whatever else an object
carries (managed fields, Ignition bodies) is skipped by the decoder and never becomes a Python
object. A list may be null wherever Kubernetes allows it: Go writes an empty slice so. Whatever
else is null is as if it were not there, as Go reads it: `decoded` sees to that.
"""

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from watcher.core.cluster import (
    CertExpiry,
    Condition,
    Meta,
    Node,
    OsImageStream,
    OsImageUrls,
    Pool,
    Requirement,
    Selector,
)
from watcher.core.facts import Malformed

MCO_PREFIX = "machineconfiguration.openshift.io/"
# kubectl keeps the whole applied object here: for a MachineConfig that is its Ignition body.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_EMPTY: Mapping[str, str] = {}

_MAPS = frozenset({"labels", "annotations", "matchLabels"})
"""Of words to words: there Go reads null as an empty word."""

W = TypeVar("W")


def decoded(decoder: "msgspec.json.Decoder[W]", text: bytes | msgspec.Raw) -> W:
    """Return what a decoder makes of JSON, null read as absent; raise what the decoder raises.

    Go never writes null for a number, a word or a struct, but other writers may: it costs a second
    reading only there.
    """
    try:
        return decoder.decode(text)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply") from error
    except msgspec.ValidationError:
        if b"null" not in bytes(text):
            raise
        try:
            plain = without_nulls(msgspec.json.decode(text))
        except RecursionError:
            plain = None
        if plain is None:
            raise
    return decoder.decode(msgspec.json.encode(plain))


def without_nulls(plain: Any) -> Any:
    """A plain value without the members that are null; raise RecursionError if it is too deep."""
    if isinstance(plain, list):
        return [without_nulls(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    return {
        key: _words(value) if key in _MAPS and isinstance(value, dict) else without_nulls(value)
        for key, value in plain.items()
        if value is not None
    }


def _words(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: "" if value is None else value for key, value in plain.items()}


class Wire(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """Fields are named as in the API. `gc=False`: a decoded object cannot be part of a cycle."""


class MetaWire(Wire, frozen=True):
    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class ConditionWire(Wire, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Named(Wire, frozen=True):
    name: str = ""


class RequirementWire(Wire, frozen=True):
    key: str
    operator: str
    values: list[str] | None = None


class SelectorWire(Wire, frozen=True):
    match_labels: dict[str, str] | None = None
    match_expressions: list[RequirementWire] | None = None


class PoolConfiguration(Wire, frozen=True):
    name: str = ""
    source: list[Named] | None = None


class PoolSpec(Wire, frozen=True):
    paused: bool = False
    max_unavailable: int | str | None = None
    machine_config_selector: SelectorWire | None = None
    node_selector: SelectorWire | None = None
    os_image_stream: Named | None = None
    configuration: PoolConfiguration = PoolConfiguration()


class CertExpiryWire(Wire, frozen=True):
    bundle: str = ""
    subject: str = ""
    expiry: datetime | None = None


class PoolStatus(Wire, frozen=True):
    configuration: Named = Named()
    observed_generation: int = 0
    machine_count: int = 0
    updated_machine_count: int = 0
    ready_machine_count: int = 0
    unavailable_machine_count: int = 0
    degraded_machine_count: int = 0
    conditions: list[ConditionWire] | None = None
    cert_expirys: list[CertExpiryWire] | None = None


class PoolWire(Wire, frozen=True):
    metadata: MetaWire
    spec: PoolSpec = PoolSpec()
    status: PoolStatus = PoolStatus()


class NodeSpec(Wire, frozen=True):
    unschedulable: bool = False


class NodeInfo(Wire, frozen=True):
    architecture: str = ""
    os_image: str = ""
    kubelet_version: str = ""


class NodeCondition(Wire, frozen=True):
    type: str
    status: str


class NodeStatus(Wire, frozen=True):
    conditions: list[NodeCondition] | None = None
    node_info: NodeInfo = NodeInfo()


class NodeWire(Wire, frozen=True):
    metadata: MetaWire
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class OsImageUrlsData(Wire, frozen=True):
    release_version: str = ""
    base_image: str = msgspec.field(default="", name="baseOSContainerImage")


class OsImageUrlsWire(Wire, frozen=True):
    metadata: MetaWire
    data: OsImageUrlsData | None = None


class StreamWire(Wire, frozen=True):
    name: str
    os_image: str = ""


class OsImageStreamStatus(Wire, frozen=True):
    default_stream: str = ""
    available_streams: list[StreamWire] | None = None


class OsImageStreamWire(Wire, frozen=True):
    metadata: MetaWire
    status: OsImageStreamStatus = OsImageStreamStatus()


class Cause(Wire, frozen=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Wire, frozen=True):
    causes: list[Cause] | None = None
    retry_after_seconds: int = 0


class Status(Wire, frozen=True):
    """The API server's answer where there is no object to give."""

    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None


class ListMeta(Wire, frozen=True):
    resource_version: str = ""
    # `continue` is a word of Python's.
    next_page: str = msgspec.field(default="", name="continue")


class Page(Wire, frozen=True):
    """One page of a list. Items stay raw, so that one malformed object costs only itself."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, Generic[W], gc=False, frozen=True):
    """One line of a watch."""

    type: str
    object: W


class Head(Wire, frozen=True):
    """The little that even a malformed object, a bookmark or a Status has."""

    metadata: ListMeta | None = None


class NamedHead(Wire, frozen=True):
    metadata: Named = Named()


def pool(wire: PoolWire) -> Pool:
    spec, status = wire.spec, wire.status
    return Pool(
        meta=meta_of(wire.metadata),
        paused=spec.paused,
        max_unavailable="1" if spec.max_unavailable is None else str(spec.max_unavailable),
        machine_config_selector=_selector(spec.machine_config_selector),
        node_selector=_selector(spec.node_selector),
        os_image_stream=spec.os_image_stream.name if spec.os_image_stream else "",
        spec_configuration=spec.configuration.name,
        spec_sources=tuple([s.name for s in spec.configuration.source or ()]),
        status_configuration=status.configuration.name,
        observed_generation=status.observed_generation,
        machine_count=status.machine_count,
        updated_count=status.updated_machine_count,
        ready_count=status.ready_machine_count,
        unavailable_count=status.unavailable_machine_count,
        degraded_count=status.degraded_machine_count,
        conditions=conditions_of(status.conditions),
        cert_expiries=tuple(
            CertExpiry(bundle=c.bundle, subject=c.subject, expiry=c.expiry)
            for c in status.cert_expirys or ()
            if c.expiry
        ),
    )


def node(wire: NodeWire) -> Node:
    """Resource version and generation are left out: a kubelet's heartbeat then gives an equal fact
    and wakes nobody. Strings are shared between nodes, of which there may be thousands."""
    meta, status = wire.metadata, wire.status
    return Node(
        meta=Meta(
            name=meta.name,
            uid=meta.uid,
            labels={shared(k): shared(v) for k, v in (meta.labels or _EMPTY).items()},
            annotations={
                shared(k): shared(v)
                for k, v in (meta.annotations or _EMPTY).items()
                if k.startswith(MCO_PREFIX)
            },
        ),
        ready=any(c.type == "Ready" and c.status == "True" for c in status.conditions or ()),
        unschedulable=wire.spec.unschedulable,
        architecture=shared(status.node_info.architecture),
        os_image=shared(status.node_info.os_image),
        kubelet_version=shared(status.node_info.kubelet_version),
    )


def os_image_urls(wire: OsImageUrlsWire) -> OsImageUrls:
    """Raises Malformed where a key is missing that the machine-config operator itself requires."""
    data = wire.data or OsImageUrlsData()
    if not data.release_version or not data.base_image:
        raise Malformed("data lacks releaseVersion or baseOSContainerImage")
    return OsImageUrls(release_version=data.release_version, base_image=data.base_image)


def os_image_stream(wire: OsImageStreamWire) -> OsImageStream:
    status = wire.status
    return OsImageStream(
        meta=meta_of(wire.metadata),
        default_stream=status.default_stream,
        images={s.name: s.os_image for s in status.available_streams or () if s.os_image},
    )


def meta_of(wire: MetaWire) -> Meta:
    annotations = wire.annotations
    if annotations and _LAST_APPLIED in annotations:
        annotations = {k: v for k, v in annotations.items() if k != _LAST_APPLIED}
    return Meta(
        name=wire.name,
        uid=wire.uid,
        resource_version=wire.resource_version,
        generation=wire.generation,
        labels=wire.labels or _EMPTY,
        annotations=annotations or _EMPTY,
    )


def conditions_of(wires: list[ConditionWire] | None) -> tuple[Condition, ...]:
    return tuple(
        [
            Condition(
                type=c.type,
                status=c.status,
                reason=c.reason,
                message=c.message,
                last_transition=c.last_transition_time,
            )
            for c in wires or ()
        ]
    )


def _selector(wire: SelectorWire | None) -> Selector | None:
    if wire is None:
        return None
    return Selector(
        match_labels=wire.match_labels or _EMPTY,
        match_expressions=tuple(
            [
                Requirement(key=r.key, operator=r.operator, values=tuple(r.values or ()))
                for r in wire.match_expressions or ()
            ]
        ),
    )


def shared(text: str) -> str:
    """The one string of this text: many objects say the same."""
    return sys.intern(text)
