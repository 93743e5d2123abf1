"""Dumps of clusters: every shape they come in gives the same facts as the API itself would."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests import dumped
from tests.dumped import Document, Oc, everything, gathered, gz, tar, write
from watcher.clients.dumps import Dumps, read_dumps
from watcher.clients.kube import kinds
from watcher.clients.kube.assembling import assemble
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def read(*paths: Path, now: datetime = NOW) -> Dumps:
    return read_dumps(paths, now=now)


def only(*paths: Path) -> ClusterView:
    """The one cluster of a dump that has nothing wrong."""
    dumps = read(*paths)
    assert dumps.problems == ()
    (view,) = dumps.views
    return view


def live(objects: list[Document]) -> ClusterView:
    """The view that a cluster of these objects gives: decoded as from its API."""
    found: dict[str, dict[str, object]] = {}
    for kind in kinds.KINDS:
        for item in objects:
            meta = item["metadata"]
            if item["kind"] == kind.title and meta.get("namespace", "") == kind.namespace:
                wire = msgspec.json.decode(json.dumps(item), type=kind.struct)
                found.setdefault(kind.title, {})[meta["name"]] = kind.convert(wire)
    return assemble(ClusterName("prod"), found, observed_at=NOW, problems=())


def facts(view: ClusterView) -> dict[str, Any]:
    """All but the files of MachineConfigs, which dumps leave out."""
    named = {"cluster", "observed_at"}
    configs = {n: replace(one, files=()) for n, one in view.machine_configs.items()}
    said = {name: getattr(view, name) for name in view.__slots__ if name not in named}
    return {**said, "machine_configs": configs}


def several_files(objects: list[Document]) -> dict[str, str | bytes]:
    """One `oc get KIND -o yaml` a kind."""
    kinds_there = sorted({item["kind"] for item in objects})
    return {
        f"{kind.lower()}s.yaml": Oc.yaml(*(item for item in objects if item["kind"] == kind))
        for kind in kinds_there
    }


def documents(objects: list[Document]) -> str:
    return "".join("---\n" + Oc.yaml(item) for item in objects) + "...\n"


def json_lines(objects: list[Document]) -> str:
    return "".join(json.dumps(item) + "\n" for item in objects)


def indented_items(objects: list[Document]) -> str:
    """Items two blanks in, as some writers of YAML do."""
    lines = Oc.yaml(*objects).splitlines(keepends=True)
    begin, end = lines.index("items:\n") + 1, lines.index("kind: List\n")
    return "".join([*lines[:begin], *("  " + line for line in lines[begin:end]), *lines[end:]])


def dash_alone(objects: list[Document]) -> str:
    lines = Oc.yaml(*objects).splitlines(keepends=True)
    return "".join(
        f"-\n  {line[2:]}" if line.startswith("- ") else line for line in lines
    )  # each item's first key on a line of its own


Shape = Callable[[list[Document]], Mapping[str, str | bytes]]
SHAPES: dict[str, Shape] = {
    "list": lambda o: {"prod.yaml": Oc.yaml(*o)},
    "json": lambda o: {"prod.json": Oc.json(*o)},
    "raw json array": lambda o: {"prod.json": json.dumps(o)},
    "documents": lambda o: {"prod.yml": documents(o)},
    "json lines": lambda o: {"prod.jsonl": json_lines(o)},
    "json one after another": lambda o: {"prod.json": "".join(map(Oc.json, o))},
    "lists one after another": lambda o: {
        "prod.yaml": Oc.yaml(*o[:6]) + "--- # more\n" + Oc.yaml(*o[6:])
    },
    "indented": lambda o: {"prod.yaml": indented_items(o)},
    "dash alone": lambda o: {"prod.yaml": dash_alone(o)},
    "windows": lambda o: {
        "prod.yaml": b"\xef\xbb\xbf" + Oc.yaml(*o).replace("\n", "\r\n").encode()
    },
    "byte order mark json": lambda o: {"prod.json": b"\xef\xbb\xbf" + Oc.json(*o).encode()},
    "directive": lambda o: {"prod.yaml": "%YAML 1.1\n---\n" + Oc.yaml(*o)},
    "comments": lambda o: {
        "prod.yaml": "# of today\n\n" + Oc.yaml(*o).replace("\n- ", "\n# x\n- ")
    },
    "file a kind": several_files,
    "compressed": lambda o: {"prod.yaml.gz": gz(Oc.yaml(*o))},
    "must-gather": lambda o: {f"must-gather.local.7/{k}": v for k, v in gathered(o).items()},
    "image's own": gathered,
    "tar": lambda o: {"prod.tar": tar(gathered(o))},
    "tar.gz": lambda o: {"prod.tar.gz": gz(tar(gathered(o)))},
    "tgz of files": lambda o: {"prod.tgz": gz(tar(several_files(o)))},
    "tar of compressed": lambda o: {"prod.tar": tar({"./a/prod.yaml.gz": gz(Oc.yaml(*o))})},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_facts_of_the_live_cluster(shape: str, tmp_path: Path) -> None:
    objects = everything()
    given = only(write(tmp_path, SHAPES[shape](objects)))
    assert facts(given) == facts(live(objects))
    assert given.problems == ()


def test_a_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path, {"notes.txt": Oc.yaml(*everything()), "beside.yaml": Oc.yaml(dumped.node("x"))})
    given = only(tmp_path / "notes.txt")
    assert set(given.nodes) == {"master-0", "worker-0"}


def test_a_typed_list_whose_items_do_not_say_their_kind(tmp_path: Path) -> None:
    nodes = [dumped.node("a"), dumped.node("b")]
    bare = [{k: v for k, v in n.items() if k not in ("kind", "apiVersion")} for n in nodes]
    typed = "apiVersion: v1\nkind: NodeList\nitems:\n" + "".join(
        "- " + Oc.yaml(item).replace("\n", "\n  ").rstrip(" ") for item in bare
    )
    for name, text in (("n.json", Oc.raw("Node", *nodes)), ("n.yaml", typed)):
        place = write(tmp_path / name, {name: text, "cv.yaml": Oc.yaml(dumped.cluster_version())})
        assert set(only(place).nodes) == {"a", "b"}
    folder = "x/cluster-scoped-resources/core"
    items = dumped.as_list(bare) | {"kind": "NodeList"}
    files = gathered([dumped.cluster_version()], image="x") | {
        f"{folder}/nodes.yaml": Oc.yaml(items)
    }
    assert set(only(write(tmp_path / "g", files)).nodes) == {"a", "b"}


def test_what_else_is_in_a_dump_is_counted_and_not_kept(tmp_path: Path) -> None:
    files = {"prod.yaml": Oc.yaml(*everything(), dumped.pod()), "graph.json": '{"nodes": []}'}
    dumps = read(write(tmp_path, files))
    assert dumps.ignored == 4  # two Pods, a Secret, and something that is no object
    assert len(dumps.views) == 1


def test_objects_of_the_same_kind_in_another_group_or_place_are_not_ours(tmp_path: Path) -> None:
    other = dumped.os_image_urls("4.1.0")
    other["metadata"]["namespace"] = "default"
    metrics = dumped.node("worker-0") | {"apiVersion": "metrics.k8s.io/v1beta1", "status": None}
    view = only(write(tmp_path, {"prod.yaml": Oc.yaml(*everything(), other, metrics)}))
    assert view.os_image_urls is not None
    assert view.os_image_urls.release_version == "4.16.3"
    assert view.nodes["worker-0"].ready
    assert view.problems == ()


def test_a_cut_body_takes_nothing_else_with_it(tmp_path: Path) -> None:
    config = dumped.machine_config(body=200_000)
    config["metadata"]["managedFields"] = [{"manager": "oc", "fieldsV1": {"f:spec": {}}}]
    config["spec"]["zzz"] = 1
    view = only(write(tmp_path, {"a.yaml": Oc.yaml(config, dumped.pool())}))
    (found,) = view.machine_configs.values()
    assert (found.os_image_url, found.kernel_type) == (dumped.LAYERED, "realtime")
    assert found.extensions == ("usbguard",)


def test_an_object_that_is_being_deleted_is_still_there(tmp_path: Path) -> None:
    """As its API would say: a finalizer holds it."""
    config = dumped.machine_config("99-x")
    config["metadata"] |= {"deletionTimestamp": "2026-11-18T08:00:00Z", "finalizers": ["a/b"]}
    view = only(write(tmp_path, {"a.yaml": Oc.yaml(config, dumped.pool())}))
    assert set(view.machine_configs) == {"99-x"}


def test_null_lists_and_absent_fields(tmp_path: Path) -> None:
    objects: list[Document] = [
        {"kind": kind, "apiVersion": api, "metadata": {"name": name, "labels": None}}
        for kind, api, name in (
            ("MachineConfigPool", f"{dumped.MCO}/v1", "p"),
            ("MachineConfig", f"{dumped.MCO}/v1", "m"),
            ("Node", "v1", "n"),
            ("MachineOSConfig", f"{dumped.MCO}/v1alpha1", "o"),
        )
    ]
    version = dumped.cluster_version()
    version["status"] |= {"history": None, "conditions": None, "conditionalUpdates": None}
    for shape in ("list", "json"):
        view = only(write(tmp_path / shape, SHAPES[shape]([version, *objects])))
        assert view.problems == ()
        assert view.cluster_version is not None
        assert view.cluster_version.history == ()
        assert (set(view.pools), set(view.nodes)) == ({"p"}, {"n"})


def test_what_is_missing_is_said_with_what_to_add(tmp_path: Path) -> None:
    view = only(write(tmp_path, {"prod-mcp.yaml": Oc.yaml(dumped.pool())}))
    assert len(view.problems) == 3
    assert (
        "cluster prod: no MachineConfig is in the dump; add `oc get machineconfigs -o yaml`"
        in view.problems
    )


# --- when it was ---------------------------------------------------------------------------------


def test_a_must_gather_says_itself_when_it_was_made(tmp_path: Path) -> None:
    place = write(tmp_path, SHAPES["must-gather"](everything()))
    assert only(place).observed_at == datetime(2026, 11, 18, 7, 1, tzinfo=UTC)


def test_else_the_newest_file_says_it_and_never_later_than_now(tmp_path: Path) -> None:
    files = several_files(everything())
    written = datetime.fromtimestamp(1_790_000_000, UTC)
    place = write(tmp_path, {"prod.tar": tar(files)})
    assert only(place).observed_at == written
    (view,) = read(place, now=written - timedelta(hours=1)).views
    assert view.observed_at == written - timedelta(hours=1)
    never = write(tmp_path / "never", {"prod.tar": tar(files, written=0)})
    assert only(never).observed_at == NOW


def test_a_file_of_1970_says_no_time(tmp_path: Path) -> None:
    """So do reproducible archives and some file systems write it."""
    write(tmp_path, {"prod.yaml": Oc.yaml(*everything())})
    os.utime(tmp_path / "prod.yaml", (0, 0))
    assert only(tmp_path).observed_at == NOW


def test_a_file_that_gave_nothing_says_no_time(tmp_path: Path) -> None:
    write(tmp_path, {"prod.yaml": Oc.yaml(*everything()), "broken.yaml": "kind: Node\n"})
    os.utime(tmp_path / "prod.yaml", (1_790_000_000, 1_790_000_000))
    (view,) = read(tmp_path).views
    assert len(view.problems) == 1
    assert view.observed_at == datetime.fromtimestamp(1_790_000_000, UTC)


def test_what_a_timestamp_file_says_otherwise_counts_for_nothing(tmp_path: Path) -> None:
    for number, text in enumerate(("", "soon", "2026-99-99 07:00:00.5 +0000 UTC", "\0" * 99)):
        files = dict(SHAPES["must-gather"](everything()))
        files["must-gather.local.7/timestamp"] = text
        place = write(tmp_path / str(number), {"prod.tar": tar(files)})
        assert only(place).observed_at == datetime.fromtimestamp(1_790_000_000, UTC)
