"""Dumps of clusters as `oc` makes them, for tests and the bench; every object is our own invention.

`Oc` prints objects as `oc get` does; `must_gather` lays them out as `oc adm must-gather` does.
"""

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

MCO = "machineconfiguration.openshift.io"
MCO_NAMESPACE = "openshift-machine-config-operator"
OS_REPOSITORY = "quay.io/openshift-release-dev/ocp-v4.0-art-dev"
STOCK = f"{OS_REPOSITORY}@sha256:{'a' * 64}"
LAYERED = f"registry.example.com/os/gpu@sha256:{'b' * 64}"
IMAGE_DIRECTORY = "quay-io-openshift-release-dev-ocp-v4-0-art-dev-sha256-" + "c" * 64
SECRET, MIRROR = "c3VwZXItc2VjcmV0", "mirror.example.com/ocp"

Document = dict[str, Any]

PLURALS = {
    "ClusterVersion": ("config.openshift.io", "clusterversions"),
    "MachineConfigPool": (MCO, "machineconfigpools"),
    "MachineConfig": (MCO, "machineconfigs"),
    "MachineOSConfig": (MCO, "machineosconfigs"),
    "MachineOSBuild": (MCO, "machineosbuilds"),
    "OSImageStream": (MCO, "osimagestreams"),
    "ImageDigestMirrorSet": ("config.openshift.io", "imagedigestmirrorsets"),
    "ImageTagMirrorSet": ("config.openshift.io", "imagetagmirrorsets"),
    "ImageContentSourcePolicy": ("operator.openshift.io", "imagecontentsourcepolicies"),
    "Node": ("core", "nodes"),
    "ConfigMap": ("core", "configmaps"),
    "Secret": ("core", "secrets"),
    "Pod": ("core", "pods"),
}


def _meta(name: str, version: int = 100, **more: Any) -> Document:
    return {
        "creationTimestamp": "2026-11-01T08:00:00Z",
        "generation": 2,
        "name": name,
        "resourceVersion": str(version),
        "uid": f"00000000-0000-4000-8000-{zlib.crc32(name.encode()):012d}",
        **more,
    }


def cluster_version(version: str = "4.16.3", *, cluster_id: str = "11111111-aaaa") -> Document:
    image = f"quay.io/openshift-release-dev/ocp-release@sha256:{'d' * 64}"
    return {
        "apiVersion": "config.openshift.io/v1",
        "kind": "ClusterVersion",
        "metadata": _meta("version"),
        "spec": {"channel": "stable-4.16", "clusterID": cluster_id},
        "status": {
            "availableUpdates": None,
            "conditions": [
                {
                    "lastTransitionTime": "2026-11-01T09:00:00Z",
                    "message": f"Done applying {version}",
                    "status": "True",
                    "type": "Available",
                }
            ],
            "desired": {"image": image, "version": version},
            "history": [
                {
                    "completionTime": "2026-11-01T09:00:00Z",
                    "image": image,
                    "startedTime": "2026-11-01T08:00:00Z",
                    "state": "Completed",
                    "verified": True,
                    "version": version,
                }
            ],
            "observedGeneration": 2,
        },
    }


def pool(name: str = "worker", *, sources: Iterable[str] = (), nodes: int = 1) -> Document:
    source = [{"apiVersion": f"{MCO}/v1", "kind": "MachineConfig", "name": s} for s in sources]
    configuration = {"name": f"rendered-{name}-1", "source": source}
    return {
        "apiVersion": f"{MCO}/v1",
        "kind": "MachineConfigPool",
        "metadata": _meta(name, labels={f"pools.operator.{MCO}/{name}": ""}),
        "spec": {
            "configuration": configuration,
            "machineConfigSelector": {"matchLabels": {f"{MCO}/role": name}},
            "nodeSelector": {"matchLabels": {f"node-role.kubernetes.io/{name}": ""}},
            "paused": False,
        },
        "status": {
            "certExpirys": [
                {"bundle": "KubeAPIServerServingCAData", "expiry": "2036-01-01T00:00:00Z"}
            ],
            "conditions": [
                {
                    "lastTransitionTime": "2026-11-01T09:00:00Z",
                    "message": "All nodes are updated with MachineConfig:\n\n  config:\n    it",
                    "reason": "",
                    "status": "True",
                    "type": "Updated",
                }
            ],
            "configuration": configuration,
            "degradedMachineCount": 0,
            "machineCount": nodes,
            "observedGeneration": 2,
            "readyMachineCount": nodes,
            "unavailableMachineCount": 0,
            "updatedMachineCount": nodes,
        },
    }


def machine_config(
    name: str = "99-worker-relayer-osimage",
    *,
    role: str = "worker",
    image: str = LAYERED,
    body: int = 0,
    version: int = 100,
) -> Document:
    """With an Ignition body of about `body` bytes: data URLs, and a unit of many lines."""
    files = [
        {
            "contents": {"compression": "gzip", "source": "data:;base64," + "A" * 4000},
            "mode": 420,
            "overwrite": True,
            "path": f"/etc/thing-{number}",
        }
        for number in range(body // 5000)
    ]
    unit = "[Unit]\nDescription=A thing\n\n[Service]\n" + "ExecStart=/bin/true --much\n" * 8
    units = [
        {"contents": unit, "enabled": True, "name": f"thing-{number}.service"}
        for number in range(body // 2000)
    ]
    ignition: Document = {"ignition": {"version": "3.4.0"}}
    if body:
        ignition |= {"storage": {"files": files}, "systemd": {"units": units}}
    return {
        "apiVersion": f"{MCO}/v1",
        "kind": "MachineConfig",
        "metadata": _meta(name, version, labels={f"{MCO}/role": role}),
        "spec": {
            "baseOSExtensionsContainerImage": "",
            "config": ignition,
            "extensions": ["usbguard"],
            "fips": False,
            "kernelArguments": None,
            "kernelType": "realtime",
            "osImageURL": image,
        },
    }


def node(name: str = "worker-0", *, role: str = "worker") -> Document:
    annotations = {
        f"{MCO}/currentConfig": f"rendered-{role}-1",
        f"{MCO}/desiredConfig": f"rendered-{role}-1",
        f"{MCO}/state": "Done",
        "k8s.ovn.org/host-cidrs": '["10.0.0.1/24"]',
    }
    labels = {f"node-role.kubernetes.io/{role}": "", "kubernetes.io/hostname": name}
    conditions = [
        {
            "lastHeartbeatTime": "2026-11-18T08:00:00Z",
            "lastTransitionTime": "2026-11-01T09:00:00Z",
            "message": f"kubelet has sufficient {kind}",
            "reason": f"KubeletHas{kind}",
            "status": "True" if kind == "Ready" else "False",
            "type": kind,
        }
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
    images = [
        {"names": [f"{OS_REPOSITORY}@sha256:{n:064x}", "<none>:<none>"], "sizeBytes": n * 1000}
        for n in range(50)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": _meta(name, annotations=annotations, labels=labels),
        "spec": {"providerID": f"aws:///us-east-1a/{name}"},
        "status": {
            "capacity": {"cpu": "8", "memory": "32Gi", "pods": "250"},
            "conditions": conditions,
            "images": images,
            "nodeInfo": {
                "architecture": "amd64",
                "kernelVersion": "5.14.0",
                "kubeletVersion": "v1.29.6+aba1e8d",
                "osImage": "Red Hat Enterprise Linux CoreOS 416.94.202407081958-0",
            },
        },
    }


def os_image_urls(version: str = "4.16.3") -> Document:
    return {
        "apiVersion": "v1",
        "data": {
            "baseOSContainerImage": STOCK,
            "baseOSExtensionsContainerImage": STOCK,
            "osImageURL": "",
            "releaseVersion": version,
        },
        "kind": "ConfigMap",
        "metadata": _meta("machine-config-osimageurl", namespace=MCO_NAMESPACE),
    }


def machine_os_config(name: str = "worker") -> Document:
    content = "FROM configs AS final\nRUN echo config:\n  images:\n    x\n"
    return {
        "apiVersion": f"{MCO}/v1",
        "kind": "MachineOSConfig",
        "metadata": _meta(name),
        "spec": {
            "containerFile": [{"containerfileArch": "NoArch", "content": content}],
            "machineConfigPool": {"name": name},
        },
    }


def os_image_stream() -> Document:
    return {
        "apiVersion": f"{MCO}/v1",
        "kind": "OSImageStream",
        "metadata": _meta("cluster"),
        "status": {
            "availableStreams": [{"name": "rhel-9", "osImage": STOCK}],
            "defaultStream": "rhel-9",
        },
    }


def mirror_set() -> Document:
    return {
        "apiVersion": "config.openshift.io/v1",
        "kind": "ImageDigestMirrorSet",
        "metadata": _meta("mirrors"),
        "spec": {"imageDigestMirrors": [{"mirrors": [MIRROR], "source": OS_REPOSITORY}]},
    }


def secret() -> Document:
    return {
        "apiVersion": "v1",
        "data": {"password": SECRET},
        "kind": "Secret",
        "metadata": _meta("pull-secret", namespace="openshift-config"),
    }


def pod() -> Document:
    meta, spec = _meta("p", namespace="default"), {"containers": [{"name": "c", "image": "x"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def everything(version: str = "4.16.3", *, cluster_id: str = "11111111-aaaa") -> list[Document]:
    """One of each kind we read, and a few of others."""
    return [
        cluster_version(version, cluster_id=cluster_id),
        pool("master"),
        pool("worker", sources=["00-worker", "99-worker-relayer-osimage"]),
        machine_config("00-worker", image=STOCK, body=20_000),
        machine_config(),
        node("master-0", role="master"),
        node("worker-0"),
        machine_os_config(),
        os_image_stream(),
        mirror_set(),
        os_image_urls(version),
        secret(),
        pod(),
    ]


class Oc:
    """Objects as `oc get` prints them."""

    @staticmethod
    def yaml(*objects: Document) -> str:
        """One object; or a list of several."""
        return _yaml(objects[0] if len(objects) == 1 else as_list(objects))

    @staticmethod
    def json(*objects: Document) -> str:
        return json.dumps(objects[0] if len(objects) == 1 else as_list(objects), indent=4) + "\n"

    @staticmethod
    def raw(kind: str, *objects: Document) -> str:
        """`oc get --raw`: a typed list on one line, whose items do not say their kind."""
        api = objects[0]["apiVersion"]
        items = [
            {key: value for key, value in item.items() if key not in ("apiVersion", "kind")}
            for item in objects
        ]
        listed = {"kind": f"{kind}List", "apiVersion": api, "metadata": {}, "items": items}
        return json.dumps(listed, separators=(",", ":")) + "\n"


def as_list(objects: Iterable[Document]) -> Document:
    meta = {"resourceVersion": ""}
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": meta}


def gathered(objects: Iterable[Document], *, image: str = IMAGE_DIRECTORY) -> dict[str, str]:
    """Path → text of a must-gather's files; ConfigMaps and Secrets are lists of a namespace."""
    files: dict[str, str] = {"timestamp": go_time("2026-11-18 07:00:00")}
    namespaced: dict[str, list[Document]] = {}
    for item in objects:
        group, plural = PLURALS[item["kind"]]
        meta = item["metadata"]
        if "namespace" in meta:
            path = f"{image}/namespaces/{meta['namespace']}/{group}/{plural}.yaml"
            namespaced.setdefault(path, []).append(item)
            continue
        path = f"{image}/cluster-scoped-resources/{group}/{plural}/{meta['name']}.yaml"
        files[path] = "---\n" + _yaml(item)
    for path, items in namespaced.items():
        listed = as_list(items) | {"kind": f"{items[0]['kind']}List"}
        files[path] = "---\n" + _yaml(listed)
    files[f"{image}/namespaces/default/pods/p/logs/current.log"] = "a line\n" * 100
    files[f"{image}/namespaces/default/default.yaml"] = "kind: Namespace\n"
    return files


def go_time(moment: str) -> str:
    """A `timestamp` file: when the gathering began and ended (in UTC, here a minute later)."""
    ended = moment[:14] + "01" + moment[16:]
    return f"{moment}.5 +0000 UTC m=+0.1\n{ended}.25 +0000 UTC m=+60.1\n"


def write(directory: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write `files` below `directory`; return it."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def tar(files: Mapping[str, str | bytes], *, written: int = 1_790_000_000) -> bytes:
    """A tar archive of `files`, all written at that moment."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), written
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def gz(content: str | bytes) -> bytes:
    return gzip.compress(content.encode() if isinstance(content, str) else content, 1)


def big_must_gather(directory: Path, *, nodes: int, machine_configs: int, pools: int) -> int:
    """A must-gather of a large cluster, written below `directory`; return its bytes.

    MachineConfigs have bodies of 0.2 to 1.5 MiB; beside what is read lie logs and other resources.
    """
    root = directory / "must-gather.local.1" / IMAGE_DIRECTORY
    names = [f"pool-{number}" for number in range(pools)]
    objects = [cluster_version(), os_image_urls(), mirror_set()]
    objects += [pool(name, nodes=nodes // pools) for name in names]
    objects += [node(f"node-{n}", role=names[n % pools]) for n in range(nodes)]
    write(directory / "must-gather.local.1", gathered(objects))
    bodies = [_yaml(machine_config("NAME", body=body)) for body in (200_000, 500_000, 1_500_000)]
    for number in range(machine_configs):
        # Most are small; one in sixteen is as large as the API server takes.
        body = bodies[2 if number % 16 == 0 else number % 2]
        text = body.replace("name: NAME", f"name: rendered-{number}", 1)
        place = f"cluster-scoped-resources/{MCO}/machineconfigs/rendered-{number}.yaml"
        write(root, {place: "---\n" + text})
    for number in range(2_000):
        text = _yaml(pod()) * 3
        write(root, {f"namespaces/ns-{number % 80}/pods/p-{number}/p-{number}.yaml": text})
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _yaml(document: Document) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    # By way of JSON: what two objects share would become an alias.
    plain = json.loads(json.dumps(document))
    said: str = yaml.dump(plain, Dumper=dumper, width=10**9, allow_unicode=True)
    return said
