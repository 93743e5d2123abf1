"""Which files of a dump are of one cluster, and what it is called."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import dumped
from tests.dumped import IMAGE_DIRECTORY, Document, Oc, everything, gathered, gz, tar, write
from watcher.clients.dumps import Dumps, read_dumps
from watcher.clients.dumps.places import gather_root, is_wanted, may_hold, stem_of

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def read(*paths: Path) -> Dumps:
    return read_dumps(paths, now=NOW)


def names(*paths: Path) -> list[str]:
    dumps = read(*paths)
    assert dumps.problems == ()
    return [view.cluster for view in dumps.views]


def versions(*paths: Path) -> dict[str, str]:
    """Name → version; each cluster has its own pools and nodes."""
    found = {}
    for view in read(*paths).views:
        assert view.cluster_version is not None
        assert len(view.pools) == len(view.nodes) == 2
        found[str(view.cluster)] = view.cluster_version.desired_version
    return found


PROD, STAGE = everything("4.16.3"), everything("4.17.1", cluster_id="22222222-bbbb")
BOTH = {"prod": "4.16.3", "stage": "4.17.1"}


def kinds_apart(name: str, objects: list[Document]) -> dict[str, str | bytes]:
    return {
        f"{name}-cv.yaml": Oc.yaml(objects[0]),
        f"{name}-mcp.json": Oc.json(*objects[1:3]),
        f"{name}-mc-trimmed.yaml": Oc.yaml(*objects[3:5]),
        f"{name}-nodes.yaml": Oc.yaml(*objects[5:7]),
    }


def test_one_file_a_cluster(tmp_path: Path) -> None:
    write(tmp_path, {"prod.yaml": Oc.yaml(*PROD), "stage.json": Oc.json(*STAGE)})
    assert versions(tmp_path) == BOTH
    assert versions(tmp_path / "stage.json", tmp_path / "prod.yaml") == BOTH


def test_files_of_one_name_belong_together(tmp_path: Path) -> None:
    write(tmp_path, kinds_apart("prod", PROD) | kinds_apart("stage", STAGE))
    assert versions(tmp_path) == BOTH
    assert versions(*tmp_path.iterdir()) == BOTH


def test_a_directory_a_cluster(tmp_path: Path) -> None:
    write(tmp_path / "prod" / "a", kinds_apart("x", PROD[:3]))
    write(tmp_path / "prod" / "b", {"nodes.yaml": Oc.yaml(*PROD[3:])})
    write(tmp_path / "stage", kinds_apart("y", STAGE))
    found = read(tmp_path)
    assert found.problems == ()
    assert [(v.cluster, len(v.pools), len(v.nodes)) for v in found.views] == [
        ("prod", 2, 2),
        ("y", 2, 2),
    ]


def test_a_directory_of_one_cluster_may_name_its_files_as_it_likes(tmp_path: Path) -> None:
    place = tmp_path / "prod"
    write(place, {"one.yaml": Oc.yaml(*PROD[:3]), "two.yaml": Oc.yaml(*PROD[3:])})
    assert versions(place) == {"prod": "4.16.3"}


def test_several_must_gathers_are_several_clusters(tmp_path: Path) -> None:
    for number, objects in enumerate((PROD, STAGE)):
        write(tmp_path / f"must-gather.local.{number}", gathered(objects))
    # Nothing but a number to be called by: the cluster's own id then.
    assert versions(tmp_path) == {"11111111": "4.16.3", "22222222": "4.17.1"}
    (tmp_path / "prod").mkdir()
    (tmp_path / "must-gather.local.0").rename(tmp_path / "prod" / "must-gather.local.0")
    assert versions(tmp_path) == {"prod": "4.16.3", "22222222": "4.17.1"}


def test_all_images_of_a_must_gather_gather_of_one_cluster(tmp_path: Path) -> None:
    other = "registry-redhat-io-multicluster"
    files = gathered(PROD[:3]) | gathered(PROD[3:], image=other)
    write(tmp_path, {f"must-gather.local.1/{name}": text for name, text in files.items()})
    assert versions(tmp_path) == {"11111111": "4.16.3"}
    assert versions(tmp_path / "must-gather.local.1") == {"11111111": "4.16.3"}


def test_must_gathers_with_names_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "must-gathers" / "prod", gathered(PROD))
    write(tmp_path / "must-gathers" / "stage", gathered(STAGE, image="."))
    assert versions(tmp_path) == BOTH


def test_an_archive_names_what_is_in_it(tmp_path: Path) -> None:
    named = {f"must-gather.local.3/{name}": text for name, text in gathered(PROD).items()}
    write(tmp_path, {"prod.tar.gz": gz(tar(named)), "stage.tar": tar(gathered(STAGE))})
    assert versions(tmp_path) == BOTH
    assert versions(tmp_path / "prod.tar.gz", tmp_path / "stage.tar") == BOTH
    flat = tmp_path / "flat"
    write(flat, {"prod.tgz": gz(tar({"a.yaml": Oc.yaml(*PROD[:3]), "b.yaml": Oc.yaml(*PROD[3:])}))})
    assert versions(flat / "prod.tgz") == {"prod": "4.16.3"}


def test_several_clusters_in_one_archive(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for name, objects in (("prod", PROD), ("stage", STAGE)):
        files |= {f"all/{name}/{path}": text for path, text in gathered(objects).items()}
    assert versions(write(tmp_path, {"fleet.tar": tar(files)})) == BOTH


def test_names_are_given_once(tmp_path: Path) -> None:
    for place, objects in (("a", PROD), ("b", STAGE), ("c", STAGE)):
        write(tmp_path / place, {"prod.tar": tar(gathered(objects))})
    dumps = read(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert [view.cluster for view in dumps.views] == ["prod", "prod-2", "prod-22222222"]
    assert dumps.problems == (
        "prod-22222222 and prod-2 are dumps of one cluster: they have one clusterID",
    )


def test_two_clusters_that_cannot_be_told_apart_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path, {"all.yaml": Oc.yaml(*PROD) + "---\n" + Oc.yaml(*STAGE)})
    dumps = read(tmp_path)
    assert dumps.views == ()
    (problem,) = dumps.problems
    assert problem.startswith(f"{tmp_path}/all.yaml holds ClusterVersions of 2 clusters:")


def test_what_holds_no_pool_makes_no_cluster(tmp_path: Path) -> None:
    write(tmp_path, kinds_apart("prod", PROD) | kinds_apart("stage", STAGE))
    write(tmp_path, {"other-nodes.yaml": Oc.yaml(dumped.node("x"))})
    dumps = read(tmp_path)
    assert [view.cluster for view in dumps.views] == ["prod", "stage"]
    (problem,) = dumps.problems
    assert "other-nodes.yaml holds neither ClusterVersion nor MachineConfigPool" in problem


def test_of_an_object_that_is_there_twice_the_newest_counts(tmp_path: Path) -> None:
    new = dumped.machine_config("99-x", image=dumped.STOCK, version=1000)
    old = dumped.machine_config("99-x", version=999)
    for number, order in enumerate(((new, old), (old, new))):
        files = {f"{n}.yaml": Oc.yaml(o, dumped.pool()) for n, o in enumerate(order)}
        (view,) = read(write(tmp_path / str(number), files)).views
        assert view.machine_configs["99-x"].os_image_url == dumped.STOCK
        assert "MachineConfig 99-x is there more than once: the newest counts" in view.problems


def test_without_versions_the_later_of_two_counts_and_equal_ones_are_not_told(
    tmp_path: Path,
) -> None:
    first, last = (dumped.machine_config("99-x", image=i) for i in (dumped.STOCK, dumped.LAYERED))
    first["metadata"]["resourceVersion"] = last["metadata"]["resourceVersion"] = ""
    files = {"a.yaml": Oc.yaml(first, dumped.pool()), "b.yaml": Oc.yaml(last, dumped.pool())}
    (view,) = read(write(tmp_path, files)).views
    assert view.machine_configs["99-x"].os_image_url == dumped.LAYERED
    assert sum("more than once" in problem for problem in view.problems) == 1
    same = write(tmp_path / "same", {"a.yaml": Oc.yaml(*PROD), "b.yaml": Oc.yaml(*PROD)})
    assert read(same).views[0].problems == ()


def test_a_control_character_in_a_name_goes_nowhere(tmp_path: Path) -> None:
    write(tmp_path, {"pr\x1b[31mod\n.yaml": Oc.yaml(*PROD)})
    (view,) = read(tmp_path).views
    assert view.cluster.isprintable()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("prod-mcp.yaml", "prod"),
        ("prod_nodes.json.gz", "prod"),
        ("cv-prod.yaml", "prod"),
        ("mcp.yaml", ""),
        ("ClusterVersion.yaml", ""),
        ("prod.eu-mc-trimmed.yaml", "prod.eu"),
        ("prod.tar.gz", "prod"),
        ("stage.tgz", "stage"),
        ("prod-machineconfigpools-list.yml", "prod"),
        ("nodewise.yaml", "nodewise"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    assert stem_of(name) == stem


SCOPED = f"m/{IMAGE_DIRECTORY}/cluster-scoped-resources"
NAMESPACES = f"m/{IMAGE_DIRECTORY}/namespaces"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (f"{SCOPED}/{dumped.MCO}/machineconfigs/00-worker.yaml", True),
        (f"{SCOPED}/{dumped.MCO}/machineconfigs/rendered-1.25.yaml", True),
        (f"{SCOPED}/{dumped.MCO}/machineconfigpools.yaml", True),
        (f"{SCOPED}/{dumped.MCO}/kubeletconfigs/a.yaml", False),
        (f"{SCOPED}/{dumped.MCO}/machineconfigs/00-worker.yaml.redacted", False),
        (f"{SCOPED}/core/nodes/ip-10-0-0-1.ec2.internal.yaml", True),
        (f"{SCOPED}/core/persistentvolumes/a.yaml", False),
        (f"{NAMESPACES}/{dumped.MCO_NAMESPACE}/core/configmaps.yaml", True),
        (f"{NAMESPACES}/{dumped.MCO_NAMESPACE}/core/configmaps/x.yaml", True),
        (f"{NAMESPACES}/{dumped.MCO_NAMESPACE}/core/secrets.yaml", False),
        (f"{NAMESPACES}/openshift-config/core/configmaps.yaml", False),
        (f"{NAMESPACES}/{dumped.MCO_NAMESPACE}/pods/a/a/a/logs/current.log", False),
        ("m/timestamp", True),
        ("m/audit.log.gz", False),
        ("m/photo.png", False),
        ("m/prod.yaml.gz", True),
    ],
)
def test_only_what_can_matter_is_opened(path: str, wanted: bool) -> None:
    assert is_wanted(tuple(path.split("/"))) is wanted


def test_a_must_gathers_other_directories_are_not_walked() -> None:
    assert may_hold(tuple(f"{SCOPED}/{dumped.MCO}/machineconfigs".split("/")))
    assert may_hold(tuple(NAMESPACES.split("/")))
    assert not may_hold(tuple(f"{NAMESPACES}/default".split("/")))
    assert not may_hold(tuple(f"{SCOPED}/core/persistentvolumes".split("/")))


def test_the_root_of_a_must_gather() -> None:
    assert gather_root(("a", "m", IMAGE_DIRECTORY, "namespaces", "x")) == ("a", "m")
    assert gather_root(("a", "must-gather.local.1", "img", "namespaces", "x")) == (
        "a",
        "must-gather.local.1",
    )
    assert gather_root(("must-gathers", "prod", "namespaces", "x")) == ("must-gathers", "prod")
    assert gather_root(("a", "x.yaml")) is None
