"""ClusterVersion from the API's JSON: what a cluster runs, wants and is offered.

api config/v1 types_cluster_version.go. Any list may be null, and status.availableUpdates is
whenever nothing is offered.
"""

from dataclasses import replace

from watcher.clients.kube.wire import ConditionWire, MetaWire, Wire, conditions_of, meta_of
from watcher.core.cluster import ClusterVersion, HistoryEntry, OfferedUpdate, Risk
from watcher.core.facts import Malformed


class VersionAndImage(Wire, frozen=True):
    version: str = ""
    image: str = ""


class ReleaseWire(Wire, frozen=True):
    version: str = ""
    image: str = ""
    url: str | None = None
    channels: list[str] | None = None
    architecture: str | None = None


class PromQlWire(Wire, frozen=True):
    promql: str | None = None


class RuleWire(Wire, frozen=True):
    type: str | None = None
    promql: PromQlWire | None = None


class RiskWire(Wire, frozen=True):
    name: str = ""
    message: str | None = None
    url: str | None = None
    matching_rules: list[RuleWire] | None = None


class ConditionalUpdateWire(Wire, frozen=True):
    release: ReleaseWire | None = None
    risks: list[RiskWire] | None = None
    conditions: list[ConditionWire] | None = None


class HistoryWire(Wire, frozen=True):
    state: str
    version: str = ""
    image: str = ""
    verified: bool = False


class SignatureStore(Wire, frozen=True):
    url: str = ""


class ClusterVersionSpec(Wire, frozen=True):
    desired_update: VersionAndImage | None = None
    channel: str | None = None
    upstream: str | None = None
    signature_stores: list[SignatureStore] | None = None


class ClusterVersionStatus(Wire, frozen=True):
    desired: ReleaseWire = ReleaseWire()
    history: list[HistoryWire] | None = None
    conditions: list[ConditionWire] | None = None
    observed_generation: int = 0
    available_updates: list[ReleaseWire] | None = None
    conditional_updates: list[ConditionalUpdateWire] | None = None


class ClusterVersionWire(Wire, frozen=True):
    metadata: MetaWire
    spec: ClusterVersionSpec = ClusterVersionSpec()
    status: ClusterVersionStatus = ClusterVersionStatus()


def cluster_version(wire: ClusterVersionWire) -> ClusterVersion:
    """Raises Malformed while the cluster does not say what it is working towards."""
    spec, status = wire.spec, wire.status
    requested = spec.desired_update or VersionAndImage()
    if not status.desired.image:
        raise Malformed("status.desired.image is missing")
    return ClusterVersion(
        meta=meta_of(wire.metadata),
        desired_version=status.desired.version,
        desired_image=status.desired.image,
        requested_version=requested.version,
        requested_image=requested.image,
        history=tuple(
            HistoryEntry(state=h.state, version=h.version, image=h.image, verified=h.verified)
            for h in status.history or ()
        ),
        conditions=conditions_of(status.conditions),
        observed_generation=status.observed_generation,
        channel=spec.channel or "",
        upstream=spec.upstream or "",
        architecture=status.desired.architecture or "",
        signature_stores=_stores(spec.signature_stores),
        offered=_offered(status),
    )


def _stores(wires: list[SignatureStore] | None) -> tuple[str, ...] | None:
    """None where the field is not written: an empty list is written, and means that there is none.

    CVO pkg/cvo/cvo.go: ``if config.Spec.SignatureStores == nil`` the release's own stores count.
    """
    return None if wires is None else tuple(store.url for store in wires if store.url)


def _offered(status: ClusterVersionStatus) -> tuple[OfferedUpdate, ...]:
    plain = [_update(release) for release in status.available_updates or ()]
    conditional = [
        _conditional(entry, entry.release)
        for entry in status.conditional_updates or ()
        if entry.release
    ]
    return (*plain, *conditional)


def _conditional(entry: ConditionalUpdateWire, release: ReleaseWire) -> OfferedUpdate:
    said = next((c for c in entry.conditions or () if c.type == "Recommended"), None)
    status = said.status if said else ""
    return replace(
        _update(release),
        risks=tuple(_risk(risk) for risk in entry.risks or () if risk.name),
        recommended=status == "True",
        is_evaluated=status in ("True", "False"),
        why=(said.message or said.reason) if said else "",
    )


def _risk(wire: RiskWire) -> Risk:
    rules = wire.matching_rules or ()
    queries = (rule.promql.promql for rule in rules if rule.promql and rule.promql.promql)
    return Risk(
        name=wire.name,
        message=wire.message or "",
        url=wire.url or "",
        always=any(rule.type == "Always" for rule in rules),
        promql=next(queries, None) or "",
    )


def _update(release: ReleaseWire) -> OfferedUpdate:
    return OfferedUpdate(
        version=release.version,
        image=release.image,
        channels=tuple(release.channels or ()),
        url=release.url or "",
    )
