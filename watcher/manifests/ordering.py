"""The order in which objects can be made: what others refer to comes first."""

from collections.abc import Iterable

from watcher.manifests.reading import Object, identity

KINDS = (
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Service",
    "PodDisruptionBudget",
    "StatefulSet",
    "Deployment",
    "Route",
    "ServiceMonitor",
    "PrometheusRule",
)


def in_order(objects: Iterable[Object]) -> list[Object]:
    """Sort by kind, then by namespace and name, so that the same values give the same text."""
    return sorted(objects, key=lambda one: (KINDS.index(one["kind"]), *identity(one)))
