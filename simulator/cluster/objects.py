"""The objects of a new cluster, and those a new release brings. Pure builders."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from simulator.cluster import pools
from simulator.cluster.render import GENERATED_BY, MCO, OVERRIDDEN, RELEASE_VERSION, ROLE, Rendered
from simulator.cluster.specs import PoolSpec, Release
from simulator.cluster.world import MCO_NAMESPACE

Document = dict[str, Any]

_MCO_V1 = f"{MCO}/v1"
MANAGED = "openshift-config-managed"
REQUIRED = "operator.machineconfiguration.openshift.io/required-for-upgrade"


def namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def os_image_url(release: Release) -> Document:
    """The ConfigMap that the version operator writes at run level 0000_80."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "machine-config-osimageurl", "namespace": MCO_NAMESPACE},
        "data": {
            "baseOSContainerImage": release.os_image,
            "baseOSExtensionsContainerImage": release.os_extensions,
            "osImageURL": "",
            "releaseVersion": release.version,
        },
    }


def release_keys(public_key: str, stores: Mapping[str, str]) -> Document:
    """The ConfigMap of a release that says who must have signed the next one."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "release-verification",
            "namespace": MANAGED,
            "annotations": {"release.openshift.io/verification-config-map": ""},
        },
        "data": {"verifier-public-key-simulated": public_key, **stores},
    }


def release_signature(release: Release, signature: bytes) -> Document:
    """What ``oc adm release mirror --apply-release-image-signature`` puts into a cluster."""
    name = release.image.partition("@")[2].replace(":", "-")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": MANAGED,
            "labels": {"release.openshift.io/verification-signatures": ""},
        },
        "binaryData": {f"{name}-1": base64.b64encode(signature).decode()},
    }


def pull_secret(auths: Document) -> Document:
    text = json.dumps({"auths": auths}).encode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull-secret", "namespace": "openshift-config"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(text).decode()},
    }


def controller_config(release: Release) -> Document:
    # With OSImageStreams the operator leaves the base image empty (its ``sync.go``).
    base = "" if release.streams else release.os_image
    return {
        "apiVersion": _MCO_V1,
        "kind": "ControllerConfig",
        "metadata": {
            "name": "machine-config-controller",
            "annotations": {
                f"{MCO}/generated-by-version": release.controller_version,
                RELEASE_VERSION: release.version,
            },
        },
        "spec": {
            "baseOSContainerImage": base,
            "baseOSExtensionsContainerImage": "" if release.streams else release.os_extensions,
            "osImageURL": "",
            "releaseImage": release.image,
        },
    }


def os_image_stream(release: Release) -> Document:
    streams = [
        {"name": name, "osImage": image, "osExtensionsImage": release.os_extensions}
        for name, image in release.streams.items()
    ]
    return {
        "apiVersion": _MCO_V1,
        "kind": "OSImageStream",
        "metadata": {
            "name": "cluster",
            "annotations": {
                f"{MCO}/release-payload-image": release.image,
                RELEASE_VERSION: release.controller_version,
            },
        },
        "spec": {"defaultStream": release.default_stream},
        "status": {"defaultStream": release.default_stream, "availableStreams": streams},
    }


def generated_configs(role: str, release: Release) -> list[Document]:
    """The template configs of a role. Until 4.20 they name the base image themselves."""
    image = release.os_image if release.minor < (4, 21) else ""
    files = {
        f"00-{role}": "/etc/release-version",
        f"01-{role}-container-runtime": "/etc/crio/crio.conf.d/00-default",
        f"01-{role}-kubelet": "/etc/kubernetes/kubelet.conf",
    }
    configs = []
    for name, path in files.items():
        config = machine_config(name, role, {"osImageURL": image, "config": _file(path, release)})
        config["metadata"]["annotations"] = {GENERATED_BY: release.controller_version}
        configs.append(config)
    return configs


def _file(path: str, release: Release) -> Document:
    """Content that changes with the release, so that every pool rolls with it."""
    source = f"data:,{path.rsplit('/', 1)[-1]}%20of%20{release.version}"
    file = {"path": path, "mode": 420, "overwrite": True, "contents": {"source": source}}
    return {"ignition": {"version": "3.4.0"}, "storage": {"files": [file]}}


def machine_config(name: str, role: str, spec: Document) -> Document:
    return {
        "apiVersion": _MCO_V1,
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {ROLE: role}},
        "spec": spec,
    }


def rendered_config(rendered: Rendered, pool: Mapping[str, Any], release: Release) -> Document:
    notes = {GENERATED_BY: release.controller_version, RELEASE_VERSION: release.version}
    if rendered.overridden:
        notes[OVERRIDDEN] = "true"
    owner = {
        "apiVersion": _MCO_V1,
        "kind": "MachineConfigPool",
        "name": pool["metadata"]["name"],
        "uid": pool["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {"name": rendered.name, "annotations": notes, "ownerReferences": [owner]}
    return {
        "apiVersion": _MCO_V1,
        "kind": "MachineConfig",
        "metadata": metadata,
        "spec": rendered.spec,
    }


def pool(spec: PoolSpec) -> Document:
    labels = {f"pools.operator.machineconfiguration.openshift.io/{spec.name}": ""}
    if not spec.custom:
        labels[f"{MCO}/mco-built-in"] = ""
    if spec.name == "master":
        labels[REQUIRED] = ""
    by_role = {"key": ROLE, "operator": "In", "values": spec.roles}
    body: Document = {
        "machineConfigSelector": {"matchExpressions": [by_role]}
        if spec.custom
        else {"matchLabels": {ROLE: spec.name}},
        "nodeSelector": {"matchLabels": {f"node-role.kubernetes.io/{spec.name}": ""}},
        "paused": spec.paused,
        "configuration": {},
    }
    if spec.max_unavailable is not None:
        body["maxUnavailable"] = spec.max_unavailable
    if spec.os_image_stream:
        body["osImageStream"] = {"name": spec.os_image_stream}
    metadata = {"name": spec.name, "labels": labels}
    return {
        "apiVersion": _MCO_V1,
        "kind": "MachineConfigPool",
        "metadata": metadata,
        "spec": body,
        "status": {},
    }


def configuration(rendered: Rendered) -> Document:
    """``spec.configuration`` of a pool."""
    source = [
        {"apiVersion": _MCO_V1, "kind": "MachineConfig", "name": name} for name in rendered.source
    ]
    return {"name": rendered.name, "source": source}


def node(name: str, spec: PoolSpec, config: str, info: Document, *, now: str) -> Document:
    roles = ["master", "control-plane"] if spec.name == "master" else spec.roles
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                **{f"node-role.kubernetes.io/{role}": "" for role in roles},
            },
            "annotations": {
                f"{MCO}/controlPlaneTopology": "HighlyAvailable",
                pools.CURRENT: config,
                pools.DESIRED: config,
                pools.DESIRED_DRAIN: f"uncordon-{config}",
                pools.APPLIED_DRAIN: f"uncordon-{config}",
                pools.REASON: "",
                pools.STATE: "Done",
            },
        },
        "spec": {},
        "status": {
            "conditions": [
                {**condition(kind, kind == "Ready", now=now)}
                for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
            ],
            "nodeInfo": info,
        },
    }


def condition(kind: str, value: bool | str, *, now: str) -> Document:
    """A condition of a Node, in the words of a kubelet."""
    words = {
        "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        "Ready": ("KubeletReady", "kubelet is posting ready status"),
    }
    reason, message = words[kind]
    if kind == "Ready" and value is not True:
        reason, message = "KubeletNotReady", "node is shutting down"
    return {
        "type": kind,
        "status": str(value),
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
