"""Which resources the API server serves.

A cluster without a feature does not know its kinds at all, so a kind can be away
(404 for its whole path, as for a CRD that was never installed) and come back later.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of one API group and version."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = False
    has_status: bool = False
    """Served with a ``/status`` subresource: main writes leave the status alone and vice versa."""
    custom: bool = True
    """Defined by a CRD: no strategic merge patch, and PUT needs a resourceVersion."""
    counts_generation: bool = True
    """Most core kinds have no ``metadata.generation``."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """``machineconfigpools.machineconfiguration.openshift.io``, as in error messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _core(plural: str, kind: str, *, namespaced: bool = False, has_status: bool = False) -> Kind:
    return Kind("", "v1", plural, kind, namespaced, has_status, False, False)


CONFIG_MAPS = _core("configmaps", "ConfigMap", namespaced=True)
SECRETS = _core("secrets", "Secret", namespaced=True)
EVENTS = _core("events", "Event", namespaced=True)
NAMESPACES = _core("namespaces", "Namespace", has_status=True)
NODES = _core("nodes", "Node", has_status=True)

CLUSTER_VERSIONS = Kind(
    "config.openshift.io", "v1", "clusterversions", "ClusterVersion", has_status=True
)

DIGEST_MIRROR_SETS = Kind(
    "config.openshift.io", "v1", "imagedigestmirrorsets", "ImageDigestMirrorSet"
)
TAG_MIRROR_SETS = Kind("config.openshift.io", "v1", "imagetagmirrorsets", "ImageTagMirrorSet")
CONTENT_SOURCE_POLICIES = Kind(
    "operator.openshift.io", "v1alpha1", "imagecontentsourcepolicies", "ImageContentSourcePolicy"
)

IMAGE_CONFIGS = Kind("config.openshift.io", "v1", "images", "Image", has_status=True)

_MCO = "machineconfiguration.openshift.io"
POOLS = Kind(_MCO, "v1", "machineconfigpools", "MachineConfigPool", has_status=True)
MACHINE_CONFIGS = Kind(_MCO, "v1", "machineconfigs", "MachineConfig")
OS_CONFIGS = Kind(_MCO, "v1", "machineosconfigs", "MachineOSConfig", has_status=True)
OS_BUILDS = Kind(_MCO, "v1", "machineosbuilds", "MachineOSBuild", has_status=True)
OS_IMAGE_STREAMS = Kind(_MCO, "v1", "osimagestreams", "OSImageStream", has_status=True)
CONTROLLER_CONFIGS = Kind(_MCO, "v1", "controllerconfigs", "ControllerConfig", has_status=True)


def _built_in(group: str, plural: str, kind: str, *, namespaced: bool = True) -> Kind:
    return Kind(group, "v1", plural, kind, namespaced, custom=False)


_RBAC = "rbac.authorization.k8s.io"
_MONITORING = "monitoring.coreos.com"
INSTALLATION = (
    _core("serviceaccounts", "ServiceAccount", namespaced=True),
    _core("services", "Service", namespaced=True, has_status=True),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True, has_status=True),
    _built_in(_RBAC, "clusterroles", "ClusterRole", namespaced=False),
    _built_in(_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _built_in(_RBAC, "roles", "Role"),
    _built_in(_RBAC, "rolebindings", "RoleBinding"),
    _built_in("apps", "deployments", "Deployment"),
    _built_in("apps", "statefulsets", "StatefulSet"),
    _built_in("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
    _built_in("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    _built_in("route.openshift.io", "routes", "Route"),
    Kind(_MONITORING, "v1", "servicemonitors", "ServiceMonitor", namespaced=True),
    Kind(_MONITORING, "v1", "prometheusrules", "PrometheusRule", namespaced=True),
)
"""What `relayer manifests` makes. Only kept: nothing runs here."""

TOKEN_REVIEWS = _built_in("authentication.k8s.io", "tokenreviews", "TokenReview", namespaced=False)
ACCESS_REVIEWS = _built_in(
    "authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
"""Answered, never kept: see `reviews.py`."""

ALL = (
    CONFIG_MAPS,
    SECRETS,
    EVENTS,
    NAMESPACES,
    NODES,
    CLUSTER_VERSIONS,
    IMAGE_CONFIGS,
    DIGEST_MIRROR_SETS,
    TAG_MIRROR_SETS,
    CONTENT_SOURCE_POLICIES,
    POOLS,
    MACHINE_CONFIGS,
    OS_CONFIGS,
    OS_BUILDS,
    OS_IMAGE_STREAMS,
    CONTROLLER_CONFIGS,
    *INSTALLATION,
    TOKEN_REVIEWS,
    ACCESS_REVIEWS,
)


class Kinds:
    """The kinds one server knows, some of them perhaps away."""

    def __init__(self, kinds: tuple[Kind, ...] = ALL) -> None:
        self._known = {(k.group, k.version, k.plural): k for k in kinds}
        self._away: set[Kind] = set()

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The served kind at that path, or None."""
        kind = self._known.get((group, version, plural))
        return None if kind in self._away else kind

    def serves(self, kind: Kind) -> bool:
        return kind not in self._away

    def set_away(self, kind: Kind, *, away: bool) -> None:
        (self._away.add if away else self._away.discard)(kind)

    def __iter__(self) -> Iterator[Kind]:
        return (k for k in self._known.values() if k not in self._away)
