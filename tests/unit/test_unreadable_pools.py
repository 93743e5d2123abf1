"""null is as if it were not there; a pool that cannot be read all the same is told as one."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests import dumped
from tests.dumped import Oc, everything
from tests.facts import PROD, T0, a_base, a_pool, a_release, a_view
from watcher.clients.dumps import read_dumps
from watcher.clients.kube import kinds, wire
from watcher.clients.kube.cache import Cache
from watcher.clients.kube.kinds import Kind
from watcher.core.cluster import ClusterView
from watcher.core.state import Finding, State
from watcher.core.survey import Known, Survey

KNOWN = Known(release=a_release(), bases={"rhel-9": a_base()})


# --- null -----------------------------------------------------------------------------------------


def read(kind: Kind[Any], thing: Any) -> Any:
    return kind.convert(wire.decoded(msgspec.json.Decoder(kind.struct), json.dumps(thing).encode()))


def whole(kind: Kind[Any]) -> dict[str, Any]:
    """An object of a kind with each field of ours, and all of them null but those it must have."""
    made = _all_null(kind.struct, f"{kind.title} must have")
    made["metadata"] = {**made["metadata"], "name": "x"}
    if kind is kinds.CLUSTER_VERSION:
        made["status"]["desired"]["image"] = "i"
        made["status"]["desired"]["version"] = "4.16.3"
    if kind is kinds.OS_IMAGE_URLS:
        made["data"] = {"releaseVersion": "4.16.3", "baseOSContainerImage": "i"}
    return made


def _all_null(struct: Any, why: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        is_struct = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        made[field.encode_name] = _all_null(field.type, why) if is_struct else None
    return made


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda k: k.title)
def test_what_may_be_absent_may_be_null(kind: Kind[Any]) -> None:
    read(kind, whole(kind))


def test_nulls_are_as_if_they_were_not_there() -> None:
    condition = {"type": "Updated", "status": "True", "reason": None, "message": None}
    thing = {
        "metadata": {"name": "infra", "generation": None, "uid": None},
        "spec": {"paused": None, "maxUnavailable": None, "configuration": None},
        "status": {
            "machineCount": None,
            "conditions": [condition],
            "configuration": {"name": None},
        },
    }
    found = read(kinds.POOL, thing)
    assert (found.paused, found.machine_count, found.max_unavailable) == (False, 0, "1")
    assert (found.is_true("Updated"), found.message("Updated")) == (True, "")


def test_a_label_that_is_null_is_an_empty_one() -> None:
    """As in Go; a node whose role is written so would leave its pool else."""
    role = "node-role.kubernetes.io/infra"
    thing = {
        "metadata": {"name": "n", "labels": {role: None}, "generation": None},
        "spec": {"unschedulable": None},
    }
    assert read(kinds.NODE, thing).meta.labels == {role: ""}


def test_the_body_of_a_machineconfig_with_nulls_tells_its_files() -> None:
    units = [{"name": "a.service", "contents": None}, {"name": "b.service", "contents": "x"}]
    files = [{"path": "/etc/a"}, {"path": None}]
    body = {"storage": {"files": files}, "systemd": {"units": units}}
    thing: dict[str, Any] = {
        "metadata": {"name": "m", "labels": {"a": "b"}},
        "spec": {"config": body, "kernelType": "realtime"},
    }
    for spec in (thing["spec"], {**thing["spec"], "kernelType": None}):
        found = read(kinds.MACHINE_CONFIG, {**thing, "spec": spec})
        assert found.files == ("/etc/a", "/etc/systemd/system/b.service")


@pytest.mark.parametrize("bad", ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "null" + "}" * 5000])
def test_what_is_nested_too_deep_is_refused_as_before(bad: str) -> None:
    text = f'{{"metadata": {{"name": "p", "uid": null}}, "x": {bad}}}'.encode()
    with pytest.raises(msgspec.ValidationError):
        wire.decoded(msgspec.json.Decoder(wire.PoolWire), text)


# --- of dumps -------------------------------------------------------------------------------------


def bad_pool(name: str = "worker") -> dict[str, Any]:
    made = dumped.pool(name)
    made["spec"]["maxUnavailable"] = {"a": 1}
    return made


def view_of(tmp_path: Path, *objects: Any, form: str = "yaml") -> ClusterView:
    text = (Oc.yaml if form == "yaml" else Oc.json)(*objects)
    (tmp_path / f"prod.{form}").write_text(text)
    [view] = read_dumps([tmp_path], now=datetime(2026, 11, 25, tzinfo=UTC)).views
    return view


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_nulls_in_a_dump_are_as_in_a_cluster(form: str, tmp_path: Path) -> None:
    made = dumped.pool("worker")
    made["status"]["conditions"][0]["message"] = None
    made["status"]["machineCount"] = None
    view = view_of(tmp_path, dumped.cluster_version(), made, form=form)
    assert (view.pools["worker"].is_true("Updated"), view.unreadable_pools) == (True, {})


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_pool_of_a_dump_that_cannot_be_read_is_a_finding(form: str, tmp_path: Path) -> None:
    view = view_of(tmp_path, dumped.cluster_version(), bad_pool(), dumped.pool("master"), form=form)
    assert set(view.pools) == {"master"}
    said = view.unreadable_pools["worker"]
    assert said.startswith("MachineConfigPool worker is left out: Expected")
    assert "$.spec.maxUnavailable" in said
    found = by_pool(Survey(view.cluster).of(view, KNOWN, now=T0))
    assert (found["worker"].state, found["worker"].sentence) == (State.UNREADABLE, said)


def test_of_two_copies_the_one_that_can_be_read_counts(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(Oc.yaml(bad_pool()))
    view = view_of(tmp_path, *everything())
    assert "worker" in view.pools
    assert view.unreadable_pools == {}


def test_a_dump_of_nothing_but_such_a_pool_is_one_of_a_cluster(tmp_path: Path) -> None:
    view = view_of(tmp_path, bad_pool())
    assert set(view.unreadable_pools) == {"worker"}
    assert view.cluster == "prod"
    assert not any("no MachineConfigPool" in problem for problem in view.problems)


def by_pool(found: tuple[Finding, ...]) -> dict[str, Finding]:
    return {one.pool: one for one in found}


# --- of watches -----------------------------------------------------------------------------------


def test_what_a_watch_cannot_read_stays_named_until_it_can() -> None:
    woken: list[str] = []
    cache = Cache(kinds.POOL, on_change=lambda kind, name: woken.append(name))
    cache.reject("infra", why="it cannot be read")
    before = cache.unreadable()
    assert (before, cache.problems()) == ({"infra": "it cannot be read"}, ("it cannot be read",))
    cache.put("infra", version="2", item=wire.PoolWire(metadata=wire.MetaWire(name="infra")))
    assert (cache.unreadable(), "infra" in cache.facts()) == ({}, True)
    assert (before, woken) == ({"infra": "it cannot be read"}, ["infra"])


# --- a survey that goes on ------------------------------------------------------------------------


def test_a_pool_that_cannot_be_read_any_more_stays_among_the_findings() -> None:
    survey = Survey(PROD)
    pools = {n: replace(a_pool(n), spec_sources=()) for n in ("gpu", "infra", "worker")}
    first = replace(a_view(), pools=pools)
    assert [one.state for one in survey.of(first, KNOWN, now=T0)] == [State.STOCK] * 3
    left = {n: one for n, one in pools.items() if n != "infra"}
    second = replace(first, pools=left, unreadable_pools={"infra": "infra cannot be read"})
    # By a node event alone, as it may be the first to be looked at.
    found = survey.of(second, KNOWN, now=T0, nodes=())
    assert [one.pool for one in found] == ["gpu", "infra", "worker"]
    assert (found[1].state, found[1].sentence) == (State.UNREADABLE, "infra cannot be read")
    assert found[1].cluster == PROD
    other = replace(second, unreadable_pools={"infra": "another reason"})
    assert survey.of(other, KNOWN, now=T0, nodes=())[1].sentence == "another reason"
    assert survey.of(first, KNOWN, now=T0)[1].state is State.STOCK
    gone = replace(second, unreadable_pools={})
    assert [one.pool for one in survey.of(gone, KNOWN, now=T0)] == ["gpu", "worker"]
