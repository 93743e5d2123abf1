"""`relayer manifests` says what kustomize makes of the same files."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.manifests import COMPONENTS, OVERLAYS, Object, Values, load, render
from watcher.manifests.reading import identity

FILES = Path(__file__).parents[2] / "config/manifests"
PLACEHOLDER = "registry.example.com/relayer/relayer@sha256:" + "0" * 64
REDIS = "registry.example.com/redis/redis@sha256:" + "0" * 64
KUSTOMIZE = next(
    (
        [path, *more]
        for name, more in (("kustomize", ["build"]), ("kubectl", ["kustomize"]))
        if (path := shutil.which(name))
    ),
    None,
)
only_with_kustomize = pytest.mark.skipif(KUSTOMIZE is None, reason="needs kustomize or kubectl")


def by_identity(objects: list[Object]) -> dict[tuple[str, str, str], Object]:
    found = {identity(one): one for one in objects}
    assert len(found) == len(objects), "one object twice"
    return found


def rendered(overlay: str, *components: str) -> list[Object]:
    image = "" if overlay == "watched" else PLACEHOLDER
    redis = REDIS if "redis" in components else ""
    return render(Values(image=image, overlay=overlay, components=components, redis_image=redis))


def kustomized(directory: Path) -> list[Object]:
    assert KUSTOMIZE
    made = subprocess.run([*KUSTOMIZE, str(directory)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


@only_with_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_what_kustomize_builds(overlay: str) -> None:
    assert by_identity(rendered(overlay)) == by_identity(kustomized(FILES / "overlays" / overlay))


@only_with_kustomize
@pytest.mark.parametrize(
    ("overlay", "components"),
    [
        ("single", ("route",)),
        ("highly-available", ("redis", "route")),
        ("highly-available", ("disconnected",)),
        ("single", ("openshift-logins",)),
    ],
)
def test_a_component_is_added_as_kustomize_adds_it(
    overlay: str, components: tuple[str, ...], tmp_path: Path
) -> None:
    shutil.copytree(FILES, tmp_path / "all")
    mine = tmp_path / "all/overlays/mine"
    mine.mkdir()
    said = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{overlay}"],
        "components": [f"../../components/{one}" for one in components],
    }
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(said))
    assert by_identity(rendered(overlay, *components)) == by_identity(kustomized(mine))


@only_with_kustomize
def test_what_is_written_can_be_built_upon_with_kustomize(tmp_path: Path) -> None:
    from watcher.cli import main

    argv = ["manifests", "--image", PLACEHOLDER, "--with", "route", "--to", str(tmp_path / "out")]
    assert main(argv) == 0
    assert by_identity(kustomized(tmp_path / "out")) == by_identity(rendered("single", "route"))


def test_everything_that_lies_there_is_used() -> None:
    """Without kustomize too: a file that no overlay or component names would be dead."""
    named: set[Path] = set()
    for path in FILES.rglob("kustomization.yaml"):
        said: dict[str, Any] = yaml.safe_load(path.read_text())
        named.add(path)
        for key in ("resources", "components"):
            named |= {(path.parent / one).resolve() for one in said.get(key, ())}
        named |= {path.parent / one["path"] for one in said.get("patches", ())}
    assert set(FILES.rglob("*.yaml")) <= named


def test_the_directories_are_those_that_can_be_chosen() -> None:
    assert {path.name for path in (FILES / "overlays").iterdir()} == set(OVERLAYS)
    assert {path.name for path in (FILES / "components").iterdir()} == set(COMPONENTS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_with_the_names_of_the_files_nothing_but_order_is_changed(overlay: str) -> None:
    assert by_identity(rendered(overlay)) == by_identity(load(overlay))
