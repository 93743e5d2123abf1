"""What is watched, and every right the cluster client uses.

`RBAC_RULES` is the one list of rights: the manifests are compared with it by a test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from watcher.clients.kube import wire, wire_mco, wire_mirrors, wire_version

F = TypeVar("F")

MCO_GROUP = "machineconfiguration.openshift.io"
MCO_NAMESPACE = "openshift-machine-config-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[F]):
    """One kind of object, where it is served, and how it becomes a fact."""

    title: str
    group: str
    versions: tuple[str, ...]
    """In order of preference; the first that is served is used."""
    resource: str
    struct: type[msgspec.Struct]
    convert: Callable[[Any], F]
    """Struct → fact; raises Malformed where a fact cannot be made of it."""
    namespace: str = ""
    only: str = ""
    """Watch this one name only."""
    page_size: int = 500
    required: bool = False
    """Without it nothing can be said of the cluster."""
    heartbeats: bool = False
    """Objects that are rewritten all the time without a change of what we read."""

    def path(self, version: str) -> str:
        base = f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{base}{inside}/{self.resource}"


CLUSTER_VERSION = Kind(
    title="ClusterVersion",
    group="config.openshift.io",
    versions=("v1",),
    resource="clusterversions",
    struct=wire_version.ClusterVersionWire,
    convert=wire_version.cluster_version,
    only="version",
    required=True,
)
POOL = Kind(
    title="MachineConfigPool",
    group=MCO_GROUP,
    versions=("v1",),
    resource="machineconfigpools",
    struct=wire.PoolWire,
    convert=wire.pool,
    required=True,
)
MACHINE_CONFIG = Kind(
    title="MachineConfig",
    group=MCO_GROUP,
    versions=("v1",),
    resource="machineconfigs",
    struct=wire_mco.WholeMachineConfigWire,
    convert=wire_mco.machine_config,
    # A rendered MachineConfig is up to 1.5 MiB of JSON, most often 0.2: 25 keep a page small.
    page_size=25,
    required=True,
)
NODE = Kind(
    title="Node",
    group="",
    versions=("v1",),
    resource="nodes",
    struct=wire.NodeWire,
    convert=wire.node,
    required=True,
    heartbeats=True,
)
OS_IMAGE_URLS = Kind(
    title="ConfigMap",
    group="",
    versions=("v1",),
    resource="configmaps",
    struct=wire.OsImageUrlsWire,
    convert=wire.os_image_urls,
    namespace=MCO_NAMESPACE,
    only="machine-config-osimageurl",
)
MACHINE_OS_CONFIG = Kind(
    title="MachineOSConfig",
    group=MCO_GROUP,
    versions=("v1", "v1alpha1"),
    resource="machineosconfigs",
    struct=wire_mco.MachineOsConfigWire,
    convert=wire_mco.machine_os_config,
)
MACHINE_OS_BUILD = Kind(
    title="MachineOSBuild",
    group=MCO_GROUP,
    versions=("v1", "v1alpha1"),
    resource="machineosbuilds",
    struct=wire_mco.MachineOsBuildWire,
    convert=wire_mco.machine_os_build,
)
OS_IMAGE_STREAM = Kind(
    title="OSImageStream",
    group=MCO_GROUP,
    versions=("v1", "v1alpha1"),
    resource="osimagestreams",
    struct=wire.OsImageStreamWire,
    convert=wire.os_image_stream,
    only="cluster",
)
IMAGE_DIGEST_MIRROR_SET = Kind(
    title="ImageDigestMirrorSet",
    group="config.openshift.io",
    versions=("v1",),
    resource="imagedigestmirrorsets",
    struct=wire_mirrors.DigestMirrorSetWire,
    convert=wire_mirrors.mirror_rules,
)
IMAGE_TAG_MIRROR_SET = Kind(
    title="ImageTagMirrorSet",
    group="config.openshift.io",
    versions=("v1",),
    resource="imagetagmirrorsets",
    struct=wire_mirrors.TagMirrorSetWire,
    convert=wire_mirrors.mirror_rules,
)
IMAGE_CONTENT_SOURCE_POLICY = Kind(
    title="ImageContentSourcePolicy",
    group="operator.openshift.io",
    versions=("v1alpha1",),
    resource="imagecontentsourcepolicies",
    struct=wire_mirrors.ContentSourcePolicyWire,
    convert=wire_mirrors.mirror_rules,
)
MIRROR_SETS = (IMAGE_CONTENT_SOURCE_POLICY, IMAGE_DIGEST_MIRROR_SET, IMAGE_TAG_MIRROR_SET)
"""By title: the order in which their rules count."""
KINDS: tuple[Kind[Any], ...] = (
    CLUSTER_VERSION,
    POOL,
    MACHINE_CONFIG,
    NODE,
    OS_IMAGE_URLS,
    MACHINE_OS_CONFIG,
    MACHINE_OS_BUILD,
    OS_IMAGE_STREAM,
    *MIRROR_SETS,
)

PULL_SECRET_PATH = "/api/v1/namespaces/openshift-config/secrets/pull-secret"  # noqa: S105

_READ = ("get", "list", "watch")
RBAC_RULES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("config.openshift.io", "clusterversions", _READ),
    # Only cluster: the certificate authorities of registries.
    ("config.openshift.io", "images", ("get",)),
    ("config.openshift.io", "imagedigestmirrorsets", _READ),
    ("config.openshift.io", "imagetagmirrorsets", _READ),
    ("operator.openshift.io", "imagecontentsourcepolicies", _READ),
    # create and patch: a server-side apply of a MachineConfig that does not exist yet needs both.
    (MCO_GROUP, "machineconfigs", (*_READ, "create", "patch", "delete")),
    (MCO_GROUP, "machineconfigpools", (*_READ, "patch")),
    (MCO_GROUP, "machineosconfigs", _READ),
    # Only told of: without this right nobody sees how a build on the cluster stands.
    (MCO_GROUP, "machineosbuilds", _READ),
    (MCO_GROUP, "osimagestreams", _READ),
    # patch: a node that degraded after it was drained stays cordoned until somebody uncordons it.
    ("", "nodes", (*_READ, "patch")),
    # machine-config-osimageurl in openshift-machine-config-operator; get and list in
    # openshift-config-managed (signatures of releases); get in openshift-config (authorities).
    ("", "configmaps", _READ),
    # Only pull-secret in openshift-config.
    ("", "secrets", ("get",)),
)
"""(API group, resource, verbs)."""
