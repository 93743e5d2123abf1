"""A cluster as its API tells it: only the fields we use, in OpenShift's own words.

These are facts read from the API server; what they mean is said in `mco`, `release` and `rollout`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from watcher.core.facts import ClusterName, PoolName
from watcher.core.mirrors import MirrorRule

OUR_PREFIX = "relayer.io/"
"""Annotations and labels of ours, on MachineConfigs, MachineConfigPools and images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    type: str
    status: str
    """"True", "False" or "Unknown"."""
    reason: str = ""
    message: str = ""
    last_transition: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One entry of ClusterVersion.status.history, newest first there."""

    state: str
    """"Completed" or "Partial"; a Partial entry can carry a completion time, so ask only this."""
    version: str
    image: str
    verified: bool = False
    """The CVO found the release's signature to be good before it took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Why an update is not recommended to everybody, as the update service tells it."""

    name: str
    message: str = ""
    url: str = ""
    always: bool = False
    """It applies to every cluster."""
    promql: str = ""
    """Else the query by which a cluster finds out; we do not run it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedUpdate:
    """One entry of status.availableUpdates, or of conditionalUpdates with its risks."""

    version: str
    image: str
    channels: tuple[str, ...] = ()
    url: str = ""
    risks: tuple[Risk, ...] = ()
    """Empty: recommended without condition."""
    recommended: bool = True
    """False: a condition says that a risk applies here, or that it is not known."""
    is_evaluated: bool = True
    """False: whether a risk applies here is not known (`Recommended` is neither True nor False)."""
    why: str = ""
    """What that condition says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVersion:
    meta: Meta
    desired_version: str
    """status.desired.version: what the CVO has accepted and works towards."""
    desired_image: str
    requested_version: str = ""
    requested_image: str = ""
    """spec.desiredUpdate: what a person asked for; not yet accepted while it differs."""
    history: tuple[HistoryEntry, ...] = ()
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    channel: str = ""
    upstream: str = ""
    """spec.upstream: the update service; empty: the public one."""
    architecture: str = ""
    """status.desired.architecture: ``Multi``, or empty."""
    signature_stores: tuple[str, ...] | None = None
    """spec.signatureStores; None: not written, so that the release's own stores count."""
    offered: tuple[OfferedUpdate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One entry of a label selector's matchExpressions."""

    key: str
    operator: str
    """In, NotIn, Exists or DoesNotExist."""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertExpiry:
    """One entry of MachineConfigPool.status.certExpirys: a certificate of the API server's bundle.

    They are the control plane's (MCO pkg/controller/node/status.go copies them from the
    ControllerConfig): the same in every pool, whether its nodes have them or not.
    """

    bundle: str
    subject: str
    """``CN=kube-apiserver-to-kubelet-signer,OU=openshift``"""
    expiry: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A MachineConfigPool."""

    meta: Meta
    paused: bool = False
    max_unavailable: str = "1"
    """A number or a percentage of the pool's nodes; empty and 0 mean 1."""
    machine_config_selector: Selector | None = None
    node_selector: Selector | None = None
    os_image_stream: str = ""
    spec_configuration: str = ""
    """Name of the rendered MachineConfig the nodes shall have."""
    spec_sources: tuple[str, ...] = ()
    status_configuration: str = ""
    """Name of the rendered MachineConfig that every node last had."""
    observed_generation: int = 0
    machine_count: int = 0
    updated_count: int = 0
    ready_count: int = 0
    unavailable_count: int = 0
    degraded_count: int = 0
    conditions: tuple[Condition, ...] = ()
    cert_expiries: tuple[CertExpiry, ...] = ()

    @property
    def name(self) -> PoolName:
        return PoolName(self.meta.name)

    def is_true(self, condition: str) -> bool:
        return any(c.type == condition and c.status == "True" for c in self.conditions)

    def message(self, condition: str) -> str:
        return next((c.message for c in self.conditions if c.type == condition), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    meta: Meta
    os_image_url: str = ""
    extensions: tuple[str, ...] = ()
    kernel_type: str = ""
    files: tuple[str, ...] = ()
    """Paths of the files and systemd units that it writes; none of what pools cannot select, and
    of one from files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    meta: Meta
    """Annotations are kept only where their prefix is machineconfiguration.openshift.io/."""
    ready: bool = False
    unschedulable: bool = False
    architecture: str = ""
    """status.nodeInfo.architecture: amd64, arm64, ppc64le, s390x."""
    os_image: str = ""
    kubelet_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsImageUrls:
    """The ConfigMap openshift-machine-config-operator/machine-config-osimageurl."""

    release_version: str
    base_image: str
    """baseOSContainerImage: always the RHEL 9 image in OCP (tag rhel-coreos)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOsConfig:
    """On-cluster layering: the owner of its pool's image."""

    meta: Meta
    pool: str
    current_image: str = ""
    """status.currentImagePullSpec: what it last built, by digest; the nodes' image."""
    current_build: str = ""
    """The MachineOSBuild of the rendered MachineConfig that the pool wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOsBuild:
    """One build of a MachineOSConfig. Its base is the osImageURL of `machine_config`."""

    meta: Meta
    os_config: str
    """The MachineOSConfig that it is a build of."""
    machine_config: str = ""
    """The rendered MachineConfig that it builds."""
    conditions: tuple[Condition, ...] = ()
    """Prepared, Building, Failed, Interrupted, Succeeded; the last three stay as they are."""
    image: str = ""
    """status.digestedImagePushSpec: what it gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsImageStream:
    """The singleton OSImageStream `cluster`."""

    meta: Meta
    default_stream: str = ""
    """status.defaultStream"""
    images: Mapping[str, str] = field(default_factory=dict)
    """status.availableStreams: stream name → digest pullspec of its OS image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """Everything known of one cluster at one moment. The mappings are keyed by object name."""

    cluster: ClusterName
    observed_at: datetime
    """When the oldest of the kinds below was last known to be in step with the API server."""
    cluster_version: ClusterVersion | None = None
    pools: Mapping[str, Pool] = field(default_factory=dict)
    machine_configs: Mapping[str, MachineConfig] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    os_image_urls: OsImageUrls | None = None
    machine_os_configs: Mapping[str, MachineOsConfig] = field(default_factory=dict)
    machine_os_builds: Mapping[str, MachineOsBuild] = field(default_factory=dict)
    os_image_stream: OsImageStream | None = None
    mirrors: tuple[MirrorRule, ...] = ()
    """Of every ImageDigestMirrorSet, ImageTagMirrorSet and ImageContentSourcePolicy."""
    unreadable_pools: Mapping[str, str] = field(default_factory=dict)
    """Name → why, a sentence: pools that are there, and whose object cannot be read."""
    problems: tuple[str, ...] = ()
    """Sentences: kinds that cannot be read (403, not served though needed), with what to do."""
