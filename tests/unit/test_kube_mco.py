"""MachineConfigs with what they write, and on-cluster layering: from JSON to facts."""

import json
from typing import Any

import msgspec
import pytest

from watcher.clients.kube import kinds
from watcher.clients.kube.kinds import Kind
from watcher.clients.kube.wire_mco import LONGEST_PATH, MOST_FILES

ROLE = {"machineconfiguration.openshift.io/role": "infra"}


def read(kind: Kind[Any], thing: dict[str, Any]) -> Any:
    return kind.convert(msgspec.json.decode(json.dumps(thing), type=kind.struct))


def files(config: Any, *, labels: Any = ROLE) -> tuple[str, ...]:
    thing = {
        "metadata": {"name": "50-x", "labels": labels},
        "spec": {"osImageURL": "i", "config": config},
    }
    found = read(kinds.MACHINE_CONFIG, thing)
    assert found.os_image_url == "i"
    written: tuple[str, ...] = found.files
    return written


BODY = {
    "ignition": {"version": "3.4.0"},
    "passwd": {"users": [{"name": "core", "path": "/not/a/file"}]},
    "storage": {
        "files": [
            {"path": "/etc/chrony.conf", "contents": {"source": "data:,x"}, "mode": 420},
            {"path": '/etc/"odd" \u00e9', "contents": {"source": 'data:,"path":"/etc/in"'}},
            {"path": "/etc/chrony.conf"},
        ],
        "directories": [{"path": "/etc/dir"}],
    },
    "systemd": {
        "units": [
            {"name": "a.service", "contents": "[Unit]\n", "enabled": True},
            {"name": "b.service", "enabled": True},
            {"name": "c.service", "contents": "", "dropins": [{"name": "10-x.conf"}]},
            {
                "name": "d.service",
                "contents": None,
                "dropins": [
                    {"name": "10-x.conf", "contents": "[Service]\n"},
                    {"name": "20-y.conf"},
                ],
            },
        ]
    },
}


def test_what_a_machineconfig_writes_is_known_by_its_paths() -> None:
    assert files(BODY) == (
        "/etc/chrony.conf",
        '/etc/"odd" é',
        "/etc/systemd/system/a.service",
        "/etc/systemd/system/d.service.d/10-x.conf",
    )


def test_of_what_no_pool_selects_nothing_is_kept() -> None:
    assert files(BODY, labels=None) == files(BODY, labels={}) == ()


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        [],
        "x",
        7,
        {"storage": None, "systemd": None},
        {"storage": {"files": None}, "systemd": {"units": None}},
        {"storage": {"files": [{"path": 7}]}},
        {"storage": {"files": "x"}},
        {"storage": {"files": [{"path": "relative"}, {"path": ""}, {}]}},
        {"storage": {"files": [{"path": "/" + "x" * LONGEST_PATH}]}},
        {"systemd": {"units": [{"name": "a", "dropins": None}]}},
    ],
)
def test_a_body_as_nobody_should_write_it_costs_its_files_and_nothing_else(config: Any) -> None:
    assert files(config) == ()


def test_files_are_bounded_and_paths_are_shared() -> None:
    body = {"storage": {"files": [{"path": f"/etc/{n}"} for n in range(MOST_FILES + 5)]}}
    one, other = files(body), files(body)
    assert len(one) == MOST_FILES
    assert all(a is b for a, b in zip(one, other, strict=True))


# --- on-cluster layering -------------------------------------------------------------------------

BUILT = "image-registry.example.com/ocp/os@sha256:" + "a" * 64


def owner(status: Any, **annotations: str) -> Any:
    thing = {
        "metadata": {"name": "layers", "annotations": annotations or None},
        "spec": {"machineConfigPool": {"name": "infra"}},
        "status": status,
    }
    return read(kinds.MACHINE_OS_CONFIG, thing)


def test_a_machineosconfig_says_its_image_and_its_build() -> None:
    now = {"currentImagePullSpec": BUILT, "machineOSBuild": {"name": "layers-1", "group": "g"}}
    found = owner(now)
    assert (found.pool, found.current_image, found.current_build) == ("infra", BUILT, "layers-1")
    noted = {"machineconfiguration.openshift.io/current-machine-os-build": "layers-2"}
    assert owner(now, **noted).current_build == "layers-2"
    assert owner({"currentImagePullspec": BUILT}).current_image == BUILT  # v1alpha1
    empty = owner({"machineOSBuild": None})
    assert (empty.current_image, empty.current_build) == ("", "")


def test_a_machineosbuild_says_of_what_it_is_and_how_it_stands() -> None:
    thing = {
        "metadata": {"name": "layers-1"},
        "spec": {
            "machineConfig": {"name": "rendered-infra-1"},
            "machineOSConfig": {"name": "layers"},
            "renderedImagePushSpec": "r.example.com/os:x",
        },
        "status": {
            "conditions": [{"type": "Failed", "status": "True", "message": "no space"}],
            "buildEnd": None,
            "digestedImagePushSpec": BUILT,
        },
    }
    found = read(kinds.MACHINE_OS_BUILD, thing)
    assert (found.os_config, found.machine_config) == ("layers", "rendered-infra-1")
    assert [(c.type, c.status, c.message) for c in found.conditions] == [
        ("Failed", "True", "no space")
    ]
    assert found.image == BUILT
    older = {
        "metadata": {"name": "layers-1"},
        "spec": {"desiredConfig": {"name": "rendered-infra-1"}},
        "status": {"conditions": None, "finalImagePullspec": BUILT},
    }
    found = read(kinds.MACHINE_OS_BUILD, older)
    assert (found.machine_config, found.image, found.conditions) == ("rendered-infra-1", BUILT, ())
