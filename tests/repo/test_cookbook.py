"""Recipes of the cookbook: each is accepted by lint and is built by whom the page says."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.builds import order_for
from tests.facts import image
from tests.linting import a_recipe
from tests.repo.console import ROOT, Block, beside, blocks
from tests.repo.reader import prepare
from watcher.clients.access import Fixed
from watcher.clients.builders import Append
from watcher.clients.registry import RegistryClient
from watcher.core.facts import Repository
from watcher.core.lint import Complaint, PoolContext, lint
from watcher.core.lint.model import Severity

PAGE = ROOT / "docs/cookbook.md"
RECIPES = [block for block in blocks(PAGE) if block.language == "dockerfile"]
POINTS = ("Beside it", "Lint", "Built by", "Nodes see", "Blocks", "Going back")


def name_of(block: Block) -> str:
    return block.saved.split("/")[1]


def points(block: Block) -> Mapping[str, str]:
    """What is said below a recipe, by point."""
    text = PAGE.read_text("utf-8").split(block.text)[1].partition("\n- ")[2]
    text = "- " + re.split(r"\n\n(?!- )", text)[0]
    return dict(re.findall(r"^- ([A-Z][a-z ]+): (.+(?:\n  .+)*)", text, re.MULTILINE))


def linted(block: Block, text: str = "", context: PoolContext | None = None) -> list[Complaint]:
    recipe = a_recipe((text or block.text).replace("…", "0" * 64), *beside(block))
    return list(lint(recipe, context=context) if context else lint(recipe))


def found(name: str) -> Block:
    (block,) = (block for block in RECIPES if name_of(block) == name)
    return block


@pytest.mark.parametrize("block", RECIPES, ids=name_of)
def test_each_recipe_says_every_point(block: Block) -> None:
    assert tuple(points(block)) == POINTS


@pytest.mark.parametrize("block", RECIPES, ids=name_of)
def test_lint_says_what_the_page_says(block: Block) -> None:
    said = linted(block)
    assert all(one.severity is Severity.INFO for one in said), said
    named = re.findall(r"RL\d+", points(block)["Lint"]) or []
    assert sorted({one.code for one in said}) == sorted(named)


@pytest.mark.parametrize("block", RECIPES, ids=name_of)
async def test_it_is_built_by_whom_the_page_says(block: Block, tmp_path: Path) -> None:
    prepare(tmp_path, [block])
    directory, target = (tmp_path / block.saved).parent, Repository("registry.example.com/os/a")
    order = order_for(directory, image("a base"), target)
    async with RegistryClient.opened() as client:
        in_the_way = Append(Fixed(client)).refuses(order)
    assert points(block)["Built by"] == ("buildah" if in_the_way else "append"), in_the_way


@pytest.mark.parametrize("block", RECIPES, ids=name_of)
def test_what_lies_beside_a_recipe_is_what_it_takes(block: Block) -> None:
    for path in beside(block):
        taken = [path.split("/")[0], path]
        assert any(re.search(rf"(?:COPY|source=).*{re.escape(one)}", block.text) for one in taken)


def test_the_table_has_exactly_the_recipes() -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(#[\w-]+\) \| .+ \| (\w+) \|$", PAGE.read_text(), re.MULTILINE
    )
    assert rows == [(name_of(block), points(block)["Built by"]) for block in RECIPES]


def test_every_containerfile_of_the_page_is_one_of_the_recipes() -> None:
    assert all(block.saved.startswith("recipes/") for block in RECIPES)
    assert len({block.saved for block in RECIPES}) == len(RECIPES) >= 8


def test_of_a_file_that_a_machine_config_has_too_lint_says_so() -> None:
    block = found("chrony")
    context = PoolContext(files={"/etc/chrony.conf": "50-chrony"})
    assert [one.code for one in linted(block, context=context)] == ["RL012"]
    assert not linted(block, context=PoolContext(files={"/etc/motd": "50-motd"}))


def test_an_extension_of_the_pool_makes_the_package_an_error() -> None:
    context = PoolContext(extensions={"ipsec": "50-ipsec"})
    (one,) = linted(found("libreswan"), context=context)
    assert (one.code, one.severity) == ("RL010", Severity.ERROR)


def test_without_its_last_lines_a_recipe_is_not_accepted() -> None:
    block = found("libreswan")
    left = block.text.replace("    rm -f /etc/yum.repos.d/redhat.repo && \\\n", "")
    assert "RL007" in {one.code for one in linted(block, left)}
    bare = found("hotfix").text.replace(" && \\\n    ostree container commit", "")
    assert "RL006" in {one.code for one in linted(found("hotfix"), bare)}


async def test_one_recipe_for_several_architectures_needs_no_container_tool(tmp_path: Path) -> None:
    page = ROOT / "docs/multi-arch.md"
    (block,) = (block for block in blocks(page) if block.language == "dockerfile")
    prepare(tmp_path, [block])
    directory, target = (tmp_path / block.saved).parent, Repository("registry.example.com/os/a")
    async with RegistryClient.opened() as client:
        for one in ("linux/amd64", "linux/arm64"):
            order = order_for(directory, image("a base"), target, platforms=(one,))
            assert Append(Fixed(client)).refuses(order) == []
            (directory / f"agentd-{one.rpartition('/')[2]}").unlink()
            again = order_for(directory, image("a base"), target, platforms=(one,))
            assert Append(Fixed(client)).refuses(again) != []


@pytest.mark.parametrize(
    ("has", "goes_on"),
    [
        ("3.0.7-28.el9_4", True),
        ("3.0.7-29.el9_4", False),
        ("3.0.7-30.el9_4", False),
        ("3.2.2-6.el9_5", False),
    ],
)
def test_the_hotfix_ends_the_build_where_the_release_has_caught_up(
    has: str, goes_on: bool, tmp_path: Path
) -> None:
    text = found("hotfix").text
    fixed = re.search(r"^ARG (FIXED=\S+)$", text, re.MULTILINE)
    guard = re.search(r"^RUN (has=.*?)\nRUN ", text, re.MULTILINE | re.DOTALL)
    assert fixed
    assert guard
    rpm = tmp_path / "rpm"
    rpm.write_text(f"#!/bin/sh\nprintf '%s' {has}\n")
    rpm.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    script = f"{fixed[1]}\n{guard[1]}"
    ran = subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, timeout=10, check=False)
    assert (ran.returncode == 0) is goes_on
