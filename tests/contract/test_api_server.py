"""What every API server does that Relayer relies on: the simulated one must do as a real one.

The real one is asked when RELAYER_TEST_KUBECONFIG names it. Only objects with a test prefix are
made, and they are taken away again.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract import api_server
from tests.contract.api_server import (
    CONFIG_MAPS,
    JSON_PATCH,
    MACHINE_CONFIGS,
    MCO,
    MERGE,
    POOLS,
    STRATEGIC,
    Server,
)

_NO_CLUSTER = api_server.KUBECONFIG_VARIABLE not in os.environ
_IMAGE = "registry.test/os/rhcos@sha256:" + "a" * 64
_OTHER = "registry.test/os/rhcos@sha256:" + "b" * 64


@pytest.fixture(
    params=[
        "simulator",
        pytest.param(
            "real",
            marks=pytest.mark.skipif(
                _NO_CLUSTER, reason=f"{api_server.KUBECONFIG_VARIABLE} names no cluster"
            ),
        ),
    ]
)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    opened = api_server.simulated() if request.param == "simulator" else api_server.real()
    async with opened as one:
        yield one


def _names(listing: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


async def test_a_created_object_gets_its_metadata(server: Server) -> None:
    made = await server.create(MACHINE_CONFIGS, server.machine_config(osImageURL=_IMAGE))
    metadata = made["metadata"]
    assert metadata["uid"]
    assert metadata["resourceVersion"].isdecimal()
    assert metadata["generation"] == 1
    assert metadata["creationTimestamp"].endswith("Z")
    assert await server.get(f"{MACHINE_CONFIGS}/{metadata['name']}") == made


async def test_creating_twice_is_a_conflict(server: Server) -> None:
    await server.create(MACHINE_CONFIGS, server.machine_config())
    answer = await server.http.post(MACHINE_CONFIGS, json=server.machine_config())
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")
    assert answer.json()["message"].endswith("already exists")


async def test_a_missing_object_is_a_status_and_a_missing_kind_is_a_page(server: Server) -> None:
    answer = await server.http.get(f"{MACHINE_CONFIGS}/{server.prefix}-none")
    assert answer.status_code == 404
    body = answer.json()
    assert (body["kind"], body["status"], body["reason"]) == ("Status", "Failure", "NotFound")
    assert body["details"]["kind"] == "machineconfigs"
    answer = await server.http.get(f"{MCO}/nosuchkinds")
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")


async def test_a_bad_name_is_invalid(server: Server) -> None:
    answer = await server.http.post(MACHINE_CONFIGS, json=server.machine_config("Not_A_Name"))
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")


async def test_a_list_comes_in_pieces_of_one_revision(server: Server) -> None:
    for suffix in ("a", "b", "c"):
        await server.create(CONFIG_MAPS, server.config_map(suffix))
    chosen = {"labelSelector": f"contract={server.prefix}", "limit": "2"}
    first = (await server.http.get(CONFIG_MAPS, params=chosen)).json()
    await server.create(CONFIG_MAPS, server.config_map("d"))
    token = first["metadata"]["continue"]
    second = (await server.http.get(CONFIG_MAPS, params={**chosen, "continue": token})).json()
    assert _names(first) + _names(second) == [f"{server.prefix}-{x}" for x in "abc"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not second["metadata"].get("continue")
    assert first["kind"] == "ConfigMapList"


async def test_objects_are_selected_by_label_and_by_name(server: Server) -> None:
    for suffix in ("a", "b"):
        await server.create(CONFIG_MAPS, server.config_map(suffix))
    for selector, expected in (
        (f"contract={server.prefix},part in (a,c)", ["a"]),
        (f"contract={server.prefix},part!=a", ["b"]),
        (f"contract={server.prefix},!part", []),
    ):
        found = (await server.http.get(CONFIG_MAPS, params={"labelSelector": selector})).json()
        assert _names(found) == [f"{server.prefix}-{x}" for x in expected]
    field = {"fieldSelector": f"metadata.name={server.prefix}-b"}
    assert len((await server.http.get(CONFIG_MAPS, params=field)).json()["items"]) == 1


async def test_a_list_of_a_future_revision_is_refused_for_now(server: Server) -> None:
    future = {"resourceVersion": str(10**15)}
    answer = await server.http.get(POOLS, params=future, timeout=30)
    assert answer.status_code == 504
    assert "Too large resource version" in answer.json()["message"]


async def test_put_with_an_old_revision_is_a_conflict(server: Server) -> None:
    made = await server.create(MACHINE_CONFIGS, server.machine_config(osImageURL=_IMAGE))
    path = f"{MACHINE_CONFIGS}/{made['metadata']['name']}"
    newer = {**made, "spec": {"osImageURL": _OTHER}}
    assert (await server.http.put(path, json=newer)).status_code == 200
    answer = await server.http.put(path, json={**made, "spec": {"osImageURL": ""}})
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer.json()["message"]
    assert (await server.get(path))["spec"]["osImageURL"] == _OTHER


async def test_put_of_a_custom_object_needs_a_revision(server: Server) -> None:
    made = await server.create(MACHINE_CONFIGS, server.machine_config())
    path = f"{MACHINE_CONFIGS}/{made['metadata']['name']}"
    assert (await server.http.put(path, json=server.machine_config())).status_code == 422


async def test_a_write_that_changes_nothing_writes_nothing(server: Server) -> None:
    made = await server.create(MACHINE_CONFIGS, server.machine_config(osImageURL=_IMAGE))
    path = f"{MACHINE_CONFIGS}/{made['metadata']['name']}"
    same = await server.patch(path, MERGE, {"spec": {"osImageURL": _IMAGE}})
    assert same.json()["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    again = await server.http.put(path, json=made)
    assert again.json()["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_the_generation_counts_changes_of_the_spec_only(server: Server) -> None:
    made = await server.create(POOLS, server.pool())
    path = f"{POOLS}/{made['metadata']['name']}"
    labelled = await server.patch(path, MERGE, {"metadata": {"labels": {"x": "y"}}})
    assert labelled.json()["metadata"]["generation"] == 1
    changed = await server.patch(path, MERGE, {"spec": {"maxUnavailable": 2}})
    assert changed.json()["metadata"]["generation"] == 2


async def test_the_status_is_written_only_through_its_subresource(server: Server) -> None:
    document = {**server.pool(), "status": {"machineCount": 7}}
    made = await server.create(POOLS, document)
    assert made.get("status", {}).get("machineCount", 0) == 0
    path = f"{POOLS}/{made['metadata']['name']}"
    await server.patch(path, MERGE, {"status": {"machineCount": 5}})
    assert (await server.get(path)).get("status", {}).get("machineCount", 0) == 0
    body = {"spec": {"maxUnavailable": 9}, "status": {"degradedMachineCount": 5}}
    answer = await server.patch(f"{path}/status", MERGE, body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"]["degradedMachineCount"] == 5
    assert "maxUnavailable" not in answer.json()["spec"]


async def test_a_machine_config_has_no_status_subresource(server: Server) -> None:
    made = await server.create(MACHINE_CONFIGS, server.machine_config())
    path = f"{MACHINE_CONFIGS}/{made['metadata']['name']}/status"
    assert (await server.http.get(path)).status_code == 404


async def test_a_json_patch_applies_whole_or_not_at_all(server: Server) -> None:
    made = await server.create(CONFIG_MAPS, server.config_map("p", a="1"))
    path = f"{CONFIG_MAPS}/{made['metadata']['name']}"
    good = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "add", "path": "/data/b", "value": "2"},
        {"op": "remove", "path": "/data/a"},
    ]
    assert (await server.patch(path, JSON_PATCH, good)).json()["data"] == {"b": "2"}
    bad = [{"op": "add", "path": "/data/c", "value": "3"}, {"op": "remove", "path": "/data/zzz"}]
    assert (await server.patch(path, JSON_PATCH, bad)).status_code == 422
    assert (await server.get(path))["data"] == {"b": "2"}


async def test_a_strategic_patch_of_a_custom_object_is_refused(server: Server) -> None:
    made = await server.create(MACHINE_CONFIGS, server.machine_config())
    path = f"{MACHINE_CONFIGS}/{made['metadata']['name']}"
    answer = await server.patch(path, STRATEGIC, {"spec": {"osImageURL": _IMAGE}})
    assert answer.status_code == 415


async def test_a_dry_run_changes_nothing(server: Server) -> None:
    dry = {"dryRun": "All"}
    answer = await server.http.post(MACHINE_CONFIGS, json=server.machine_config(), params=dry)
    assert answer.status_code == 201
    path = f"{MACHINE_CONFIGS}/{server.prefix}-mc"
    assert (await server.http.get(path)).status_code == 404
    await server.create(MACHINE_CONFIGS, server.machine_config(osImageURL=_IMAGE))
    answer = await server.patch(path, MERGE, {"spec": {"osImageURL": _OTHER}}, **dry)
    assert answer.json()["spec"]["osImageURL"] == _OTHER
    assert (await server.get(path))["spec"]["osImageURL"] == _IMAGE
    assert (await server.http.delete(path, params=dry)).status_code == 200
    assert (await server.get(path))["spec"]["osImageURL"] == _IMAGE


async def test_a_delete_keeps_its_preconditions(server: Server) -> None:
    made = await server.create(MACHINE_CONFIGS, server.machine_config())
    path = f"{MACHINE_CONFIGS}/{made['metadata']['name']}"
    for wrong in ({"uid": "0" * 8}, {"resourceVersion": "1"}):
        answer = await server.http.request("DELETE", path, json={"preconditions": wrong})
        assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    right = {"uid": made["metadata"]["uid"]}
    answer = await server.http.request("DELETE", path, json={"preconditions": right})
    assert answer.status_code == 200
    assert (await server.http.get(path)).status_code == 404


async def test_apply_creates_then_owns_then_removes(server: Server) -> None:
    path = f"{MACHINE_CONFIGS}/{server.prefix}-mc"
    document = server.machine_config(osImageURL=_IMAGE, kernelType="default")
    first = await server.apply(path, "relayer", document)
    assert first.status_code == 201
    (entry,) = first.json()["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("relayer", "Apply")
    assert "f:osImageURL" in entry["fieldsV1"]["f:spec"]
    second = await server.apply(path, "relayer", document)
    assert second.status_code == 200
    assert (
        second.json()["metadata"]["resourceVersion"] == first.json()["metadata"]["resourceVersion"]
    )
    third = await server.apply(path, "relayer", server.machine_config(osImageURL=_OTHER))
    assert third.json()["spec"] == {"osImageURL": _OTHER}


async def test_apply_over_the_field_of_another_is_a_conflict_unless_forced(server: Server) -> None:
    path = f"{MACHINE_CONFIGS}/{server.prefix}-mc"
    await server.apply(path, "somebody", server.machine_config(osImageURL=_IMAGE))
    wanted = server.machine_config(osImageURL=_OTHER)
    answer = await server.apply(path, "relayer", wanted)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        'Apply failed with 1 conflict: conflict with "somebody": .spec.osImageURL'
    )
    (cause,) = answer.json()["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.osImageURL")
    assert (await server.get(path))["spec"]["osImageURL"] == _IMAGE
    forced = await server.apply(path, "relayer", wanted, force="true")
    assert forced.json()["spec"]["osImageURL"] == _OTHER
    managers = [e["manager"] for e in forced.json()["metadata"]["managedFields"]]
    assert managers == ["relayer"]


async def test_an_edit_takes_the_field_from_whoever_applied_it(server: Server) -> None:
    path = f"{MACHINE_CONFIGS}/{server.prefix}-mc"
    await server.apply(path, "relayer", server.machine_config(osImageURL=_IMAGE))
    edit = {"spec": {"osImageURL": _OTHER}}
    edited = await server.patch(path, MERGE, edit, fieldManager="kubectl-edit")
    managers = [entry["manager"] for entry in edited.json()["metadata"]["managedFields"]]
    assert managers == ["kubectl-edit"]
    answer = await server.apply(path, "relayer", server.machine_config(osImageURL=_IMAGE))
    assert answer.status_code == 409
    assert '"kubectl-edit" using machineconfiguration.openshift.io/v1' in answer.json()["message"]


async def test_a_conflict_names_every_field_and_manager(server: Server) -> None:
    path = f"{MACHINE_CONFIGS}/{server.prefix}-mc"
    await server.apply(path, "one", server.machine_config(osImageURL=_IMAGE, kernelType="default"))
    await server.apply(path, "two", server.machine_config(fips=False))
    wanted = server.machine_config(osImageURL=_OTHER, kernelType="realtime", fips=True)
    answer = await server.apply(path, "relayer", wanted)
    assert answer.json()["message"] == (
        'Apply failed with 3 conflicts: conflicts with "one":\n- .spec.kernelType\n'
        '- .spec.osImageURL\nconflicts with "two":\n- .spec.fips'
    )


async def test_the_name_must_be_that_of_the_path(server: Server) -> None:
    path = f"{MACHINE_CONFIGS}/{server.prefix}-other"
    answer = await server.apply(path, "relayer", server.machine_config())
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_two_who_apply_the_same_value_share_it(server: Server) -> None:
    path = f"{MACHINE_CONFIGS}/{server.prefix}-mc"
    await server.apply(path, "one", server.machine_config(osImageURL=_IMAGE))
    assert (
        await server.apply(path, "two", server.machine_config(osImageURL=_IMAGE))
    ).status_code == 200
    left = await server.apply(path, "one", server.machine_config())
    assert left.json()["spec"]["osImageURL"] == _IMAGE


async def test_apply_needs_a_field_manager(server: Server) -> None:
    path = f"{MACHINE_CONFIGS}/{server.prefix}-mc"
    answer = await server.patch(path, api_server.APPLY, server.machine_config())
    assert answer.status_code == 422
    assert "fieldManager" in answer.json()["message"]


async def test_a_watch_tells_what_happens_after_the_list(server: Server) -> None:
    chosen = {"labelSelector": f"contract={server.prefix}"}
    start = (await server.http.get(CONFIG_MAPS, params=chosen)).json()["metadata"]
    query = {**chosen, "resourceVersion": start["resourceVersion"]}
    async with server.watching(CONFIG_MAPS, **query) as events:
        made = await server.create(CONFIG_MAPS, server.config_map("w", a="1"))
        path = f"{CONFIG_MAPS}/{made['metadata']['name']}"
        await server.patch(path, MERGE, {"data": {"a": "2"}})
        await server.http.delete(path)
        seen = [await anext(events) for _ in range(3)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen[0]["object"] == made
    assert seen[1]["object"]["data"] == {"a": "2"}
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert revisions == sorted(set(revisions))


async def test_a_watch_without_a_revision_begins_with_what_there_is(server: Server) -> None:
    await server.create(CONFIG_MAPS, server.config_map("w"))
    for start in ({}, {"resourceVersion": "0"}):
        query = {"labelSelector": f"contract={server.prefix}", **start}
        async with server.watching(CONFIG_MAPS, **query) as events:
            event = await anext(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == (
            "ADDED",
            f"{server.prefix}-w",
        )


async def test_an_object_that_leaves_the_selection_is_told_as_deleted(server: Server) -> None:
    made = await server.create(CONFIG_MAPS, server.config_map("w"))
    path = f"{CONFIG_MAPS}/{made['metadata']['name']}"
    query = {
        "labelSelector": f"contract={server.prefix},part=w",
        "resourceVersion": made["metadata"]["resourceVersion"],
    }
    async with server.watching(CONFIG_MAPS, **query) as events:
        await server.patch(path, MERGE, {"metadata": {"labels": {"part": "x"}}})
        await server.patch(path, MERGE, {"metadata": {"labels": {"part": "w"}}})
        seen = [(await anext(events))["type"] for _ in range(2)]
    assert seen == ["DELETED", "ADDED"]


async def test_a_watch_ends_by_itself_after_its_timeout(server: Server) -> None:
    query = {"timeoutSeconds": 1, "labelSelector": f"contract={server.prefix}"}
    async with server.watching(CONFIG_MAPS, **query) as events:
        assert [event async for event in events] == []


async def test_the_official_client_lists_and_applies(server: Server) -> None:
    group = ("machineconfiguration.openshift.io", "v1")
    name = f"{server.prefix}-mc"
    server.made.append(f"{MACHINE_CONFIGS}/{name}")
    applied: Any = None
    for _ in ("created", "updated"):
        # The client decodes only 200: for the 201 of a creation it returns None.
        applied = await server.custom.patch_cluster_custom_object(
            *group,
            "machineconfigs",
            name,
            server.machine_config(osImageURL=_IMAGE),
            field_manager="relayer",
            force=False,
            _content_type="application/apply-patch+yaml",
        )
    assert applied["spec"]["osImageURL"] == _IMAGE
    listed: Any = await server.custom.list_cluster_custom_object(
        *group, "machineconfigs", field_selector=f"metadata.name={name}"
    )
    assert _names(listed) == [name]


async def test_discovery_names_the_kinds(server: Server) -> None:
    listed = await server.get(MCO)
    names = {resource["name"] for resource in listed["resources"]}
    assert {"machineconfigs", "machineconfigpools", "machineconfigpools/status"} <= names
    assert "machineconfigs/status" not in names
    assert "gitVersion" in await server.get("/version")
    assert (await server.http.get("/readyz")).text == "ok"
