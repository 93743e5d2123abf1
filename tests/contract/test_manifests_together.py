"""The rendered objects fit each other: names, mounts, selectors, rights of pods, configuration."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.test_manifests_kustomize import PLACEHOLDER, rendered
from tests.contract.test_manifests_schema import INSTALLATIONS
from watcher.config import load_text
from watcher.manifests import Object, Values, render
from watcher.manifests.reading import identity


@pytest.mark.parametrize(("overlay", "components"), INSTALLATIONS)
def test_everything_that_is_referred_to_is_there(overlay: str, components: tuple[str, ...]) -> None:
    objects = render(
        Values(
            image="" if overlay == "watched" else PLACEHOLDER,
            overlay=overlay,
            components=components,
            redis_image=PLACEHOLDER,
            name="os-updates",
            namespace="platform",
        )
    )
    there = set(map(identity, objects))
    assert ("Namespace", "", "platform") in there
    for one in objects:
        refers = {(kind, "platform", name) for kind, name in _references(one)}
        assert refers <= there, one["metadata"]["name"]
    text = json.dumps([one for one in objects if one["kind"] != "PrometheusRule"])
    for old in re.findall(r'"(relayer(?:-[a-z-]+)?)"', text):
        assert old in ("relayer",), "a name that was left behind"
    assert text.count('"relayer"') == text.count('"app.kubernetes.io/name": "relayer"')


def _references(one: Object) -> Iterator[tuple[str, str]]:
    kinds = {
        "serviceAccountName": "ServiceAccount",
        "claimName": "PersistentVolumeClaim",
        "secretName": "Secret",
        "serviceName": "Service",
    }

    def walk(value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, list):
            for item in value:
                yield from walk(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key in kinds:
                    yield kinds[key], item
                elif key == "configMap":
                    yield "ConfigMap", item["name"]
                else:
                    yield from walk(item)

    yield from walk(one)
    for subject in one.get("subjects", ()):
        assert subject["namespace"] == "platform"
        yield subject["kind"], subject["name"]
    if one["kind"] == "Route":
        yield "Service", one["spec"]["to"]["name"]


@pytest.mark.parametrize(("overlay", "components"), INSTALLATIONS)
def test_mounts_have_volumes_and_selectors_choose_pods(
    overlay: str, components: tuple[str, ...]
) -> None:
    objects = rendered(overlay, *components)
    pods = [one["spec"]["template"] for one in objects if _is_workload(one)]
    for pod in pods:
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | {"data"}
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            ports = {port["name"] for port in container["ports"]}
            for what in ("startupProbe", "livenessProbe", "readinessProbe"):
                (way,) = [container[what][how] for how in _WAYS if how in container[what]]
                assert way["port"] in ports
    labels = [pod["metadata"]["labels"].items() for pod in pods]
    for one in objects:
        chosen = _selector(one)
        assert not chosen or any(chosen.items() <= those for those in labels), identity(one)


_WAYS = ("httpGet", "tcpSocket")


def _is_workload(one: Object) -> bool:
    return one["kind"] in ("Deployment", "StatefulSet")


def _selector(one: Object) -> dict[str, str]:
    spec = one.get("spec", {})
    if one["kind"] == "Service":
        return dict(spec["selector"])
    chosen = spec.get("selector", spec.get("podSelector", {}))
    return dict(chosen.get("matchLabels", {}))


@pytest.mark.parametrize(("overlay", "components"), INSTALLATIONS)
def test_pods_are_as_restricted_as_the_strictest_scc_wants_them(
    overlay: str, components: tuple[str, ...]
) -> None:
    for one in filter(_is_workload, rendered(overlay, *components)):
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, "no user of ours: OpenShift gives its own"
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= set(container["resources"])
        assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize(("overlay", "components"), INSTALLATIONS)
def test_secrets_have_names_and_no_values(overlay: str, components: tuple[str, ...]) -> None:
    for one in rendered(overlay, *components):
        if one["kind"] == "Secret":
            assert not {"data", "stringData"} & set(one)
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "relayer"


@pytest.mark.parametrize(("overlay", "components"), INSTALLATIONS[:-1])
def test_the_configuration_is_one_the_service_takes_and_finds_its_files(
    overlay: str, components: tuple[str, ...]
) -> None:
    objects = rendered(overlay, *components)
    text = next(o for o in objects if o["metadata"]["name"] == "relayer-config")
    settings = load_text(text["data"]["relayer.yaml"])
    assert bool(settings.redis.url) == (overlay == "highly-available")
    assert [pool.mode for pool in settings.pools] == ["notify"], "nothing is changed unasked"
    (deployment,) = (one for one in objects if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    named = re.findall(r"/etc/relayer/[\w./-]+", text["data"]["relayer.yaml"])
    for path in [*named, str(settings.state_dir)]:
        assert any(path == place or path.startswith(f"{place}/") for place in mounted), path
    assert container["ports"][0]["containerPort"] == settings.web.port
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings.work.drain_seconds


def test_a_single_replica_never_shares_its_volume() -> None:
    by_overlay = {
        overlay: next(one for one in rendered(overlay) if one["kind"] == "Deployment")["spec"]
        for overlay in ("single", "highly-available", "disconnected")
    }
    for overlay in ("single", "disconnected"):
        assert (by_overlay[overlay]["replicas"], by_overlay[overlay]["strategy"]["type"]) == (
            1,
            "Recreate",
        )
    shared = by_overlay["highly-available"]
    assert shared["replicas"] == 2
    assert "persistentVolumeClaim" not in json.dumps(shared)
    assert "podAntiAffinity" in json.dumps(shared)
    budgets = [one for one in rendered("highly-available") if one["kind"] == "PodDisruptionBudget"]
    assert budgets[0]["spec"]["minAvailable"] < shared["replicas"], "or no node could be drained"
