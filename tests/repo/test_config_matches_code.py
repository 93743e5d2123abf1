"""`config/default.yaml`, the examples and the file's shape say what the code does."""

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.config import load, load_text, models
from watcher.config.loading import DURATIONS
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.core.windows import Window
from watcher.settings import (
    BuildahSettings,
    ClusterSettings,
    PoolSettings,
    RecipeSettings,
    RedisSettings,
    RegistrySettings,
    Settings,
    TokenSettings,
    WebSettings,
    WorkSettings,
)

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "config/default.yaml"
SHAPES: list[tuple[type[Any], type[models.Part]]] = [
    (ClusterSettings, models.ClusterPart),
    (RedisSettings, models.RedisPart),
    (RegistrySettings, models.RegistryPart),
    (RecipeSettings, models.RecipePart),
    (PoolSettings, models.PoolPart),
    (TokenSettings, models.TokenPart),
    (WebSettings, models.WebPart),
    (WorkSettings, models.WorkPart),
    (BuildahSettings, models.BuildahPart),
    (Policy, models.PolicyPart),
    (ApprovalRules, models.ApprovalPart),
    (Window, models.WindowPart),
]


def spelt(dataclass: type[Any]) -> set[str]:
    return {field.name.removesuffix("_seconds") for field in dataclasses.fields(dataclass)}


def uncommented() -> str:
    """The default file with its examples switched on: lines that begin with `#` and two spaces."""
    text = re.sub(r"^( *)#  ", r"\1", DEFAULT.read_text(), flags=re.MULTILINE)
    return re.sub(r": \[\]\n(?= *- )", ":\n", text)


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    return set()


def test_the_default_file_says_what_the_code_does_without_a_file() -> None:
    assert load(DEFAULT) == Settings()


def test_the_default_policy_is_that_of_the_code() -> None:
    pool = "clusters: [{name: a}]\nrecipes: [{name: r, path: r, target: q.io/a/b}]\n"
    pool += "pools: [{cluster: a, pool: p, recipe: r}]\n"
    said = re.sub(r"^(clusters|recipes|pools): \[\]$", "", DEFAULT.read_text(), flags=re.MULTILINE)
    assert load_text(said + pool).pools[0].policy == Policy()


def test_the_examples_inside_the_default_file_load() -> None:
    settings = load_text(uncommented())
    assert settings.pools
    assert settings.clusters
    assert settings.web.tokens
    assert settings.redis.password_file


@pytest.mark.parametrize(("dataclass", "part"), SHAPES, ids=lambda t: t.__name__)
def test_each_setting_can_be_written_and_stands_in_the_default_file(
    dataclass: type[Any], part: type[models.Part]
) -> None:
    assert set(part.model_fields) == spelt(dataclass)
    missing = spelt(dataclass) - keys_of(yaml.safe_load(uncommented()))
    assert not missing, f"config/default.yaml does not show {missing}"


def test_the_whole_file_has_the_sections_of_the_settings() -> None:
    assert set(models.File.model_fields) == spelt(Settings) | {"defaults"}


def test_every_duration_of_the_code_is_written_without_its_suffix() -> None:
    fields = [f.name for dataclass, _ in SHAPES for f in dataclasses.fields(dataclass)]
    assert {name[:-8] for name in fields if name.endswith("_seconds")} == set(DURATIONS)


def test_each_setting_in_the_default_file_has_its_comment() -> None:
    lines = DEFAULT.read_text().splitlines()
    grouping = {"defaults:", "policy:", "approval:"}
    for above, line in itertools.pairwise(lines):
        if re.fullmatch(r" *[a-z_]+:.*", line) and line.strip() not in grouping:
            assert above.strip().startswith("#"), f"no comment above {line!r}"


@pytest.mark.parametrize(
    "example", sorted(ROOT.glob("config/examples/*.yaml")), ids=lambda p: p.stem
)
def test_each_example_loads(example: Path) -> None:
    assert load(example).pools


def test_the_page_about_the_configuration_names_every_section() -> None:
    page = (ROOT / "docs/reference/configuration.md").read_text()
    for section in models.File.model_fields:
        assert f"`{section}`" in page, section
