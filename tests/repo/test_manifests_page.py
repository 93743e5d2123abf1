"""The installation page: its commands run, or stand below a line that says they need a cluster."""

import contextlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from watcher.cli import main
from watcher.cli.app import app
from watcher.manifests import COMPONENTS, OVERLAYS, Values, render
from watcher.manifests.reading import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/installation.md").read_text("utf-8")
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ON_A_CLUSTER = re.compile(r"\bOn (a|the) cluster\b[^\n]*:\n\n *$")
ELSEWHERE = {"oc", "buildah"}


def blocks(language: str) -> list[tuple[bool, list[str]]]:
    """Each block's lines, and whether it is said to need a cluster."""
    return [
        (bool(ON_A_CLUSTER.search(PAGE[: found.start()])), found[2].splitlines())
        for found in BLOCK.finditer(PAGE)
        if found[1] == language
    ]


def commands(*, on_a_cluster: bool) -> list[str]:
    return [
        line.strip().removeprefix("$ ")
        for needs, lines in blocks("console")
        for line in lines
        if needs == on_a_cluster
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of the page stands: the configuration of the page, and a recipe."""
    made = tmp_path_factory.mktemp("reader")
    ((_, lines),) = blocks("yaml")
    (made / "relayer.yaml").write_text("\n".join(line[3:] for line in lines))
    recipe = made / "recipes/infra-os"
    recipe.mkdir(parents=True)
    (recipe / "Containerfile").write_text("FROM quay.io/openshift/rhel-coreos:latest\nCOPY a /a\n")
    (recipe / "a").write_text("a\n")
    (made / "values.yaml").write_text(f"image: registry.example.com/r/r@sha256:{'a' * 64}\n")
    return made


@pytest.mark.parametrize("line", commands(on_a_cluster=False))
def test_a_command_that_needs_no_cluster_works(line: str, place: Path) -> None:
    program, *argv = shlex.split(line)
    assert program == "relayer"
    with contextlib.chdir(place):
        assert main(argv) == 0


def test_what_needs_a_cluster_is_of_other_programs() -> None:
    lines = commands(on_a_cluster=True)
    assert lines
    assert {shlex.split(line)[0] for line in lines} <= ELSEWHERE
    assert len(commands(on_a_cluster=False)) >= 6


def test_secrets_and_keys_of_the_page_are_those_of_the_objects() -> None:
    keys = {
        one["metadata"]["name"]: one["metadata"]["annotations"]["relayer.io/keys"].split()
        for one in load("highly-available", ["redis"])
        if one["kind"] == "Secret"
    }
    said = re.findall(r"set data secret/(\S+) --from-\w+=([\w.]+)=", PAGE)
    assert len(said) == 3
    for name, key in said:
        assert key in keys[name]
    (token,) = (
        one for one in render(Values(image="", overlay="watched")) if one["kind"] == "Secret"
    )
    assert f"get secret {token['metadata']['name']} " in PAGE


def test_every_choice_is_on_the_page_with_its_name_in_the_file() -> None:
    rows = re.findall(r"^\| (`-.+`) \| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert {name for _, name in rows} == set(Values.__dataclass_fields__)
    group: Any = typer.main.get_command(app)
    options = {option for one in group.commands["manifests"].params for option in one.opts}
    options = {option for option in options if option.startswith("--")}
    shown = set(re.findall(r"(--[a-z-]+)", " ".join(cell for cell, _ in rows)))
    assert shown == options - {"--values", "--to", "--output", "--no-color"}


def test_every_overlay_and_component_is_on_the_page() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \| [^`]", PAGE, re.MULTILINE)) >= set(OVERLAYS) - {
        "disconnected"
    }
    for name in (*OVERLAYS, *COMPONENTS):
        assert f"`{name}`" in PAGE or f"--with {name}`" in PAGE


def test_the_table_of_rights_names_every_resource() -> None:
    said = PAGE.partition("## Rights")[2].partition("## ")[0].lower()
    words = {
        "images": "image.config",
        "imagedigestmirrorsets": "mirror sets",
        "imagetagmirrorsets": "mirror sets",
        "imagecontentsourcepolicies": "mirror sets",
        "secrets": "secret",
        "clusterversions": "clusterversion",
        "osimagestreams": "osimagestream",
    }
    for one in load("watched"):
        for rule in one.get("rules", ()):
            for resource in rule["resources"]:
                assert words.get(resource, resource) in said, resource


def test_the_page_s_configuration_is_yaml_without_secrets() -> None:
    ((_, lines),) = blocks("yaml")
    said = yaml.safe_load("\n".join(lines))
    assert "token" not in said["web"]["tokens"][0]
