"""`config/default.yaml`, the examples and the file's shape say what the code does."""

import itertools
import re
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.config import load, load_text, models, models_chat, models_policy
from watcher.config.effective import effective
from watcher.config.fields import Part, keys
from watcher.config.making import ASKING, MADE
from watcher.config.spelling import spelt
from watcher.core.approval import ApprovalRules
from watcher.core.changes import Change, Mode
from watcher.core.digests import DigestTimes
from watcher.core.facts import ClusterName, PoolName
from watcher.core.letters import About, Asking, Severity
from watcher.core.update import Policy
from watcher.settings import DigestSettings, PoolSettings, Settings

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "config/default.yaml"
EXAMPLES = sorted(ROOT.glob("config/examples/*.yaml"))


def written(*dataclasses: type[Any]) -> set[str]:
    return {key for one in dataclasses for key in spelt(one).values()}


NAMED_BESIDE = {"bot_token_env", "app_token_env", "signing_secret_env", "secret_env"}
"""Shown in a comment only: beside its `_file` it would be a mistake."""
MODES = {"mode", "modes", "time_zone"}
SHAPES: dict[type[Part], set[str]] = {
    **{part: written(dataclass) for part, dataclass in MADE.items()},
    models_chat.DigestPart: written(DigestSettings, DigestTimes) - {"times"},
    # Stands below `policy` in the file, where all that is about deciding stands.
    models.PoolPart: written(PoolSettings) - MODES - {"asking"},
    models_policy.PolicyPart: written(Policy) | MODES,
    models_policy.ApprovalPart: written(ApprovalRules, Asking) - {"auto"},
    models_policy.ModesPart: {str(change) for change in Change},
}


def uncommented() -> str:
    """The default file with its examples switched on: lines that begin with `#` and two spaces."""
    text = re.sub(r"^( *)#  ", r"\1", DEFAULT.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^( *)(\w+): \{\}\n(?=\1 +\w+:)", r"\1\2:\n", text, flags=re.MULTILINE)
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
    made = PoolSettings(cluster=ClusterName("a"), pool=PoolName("p"), recipe="r")
    assert load_text(said + pool).pools == (made,)
    assert load_text(pool).pools == (made,)


def test_the_examples_inside_the_default_file_load() -> None:
    settings = load_text(uncommented())
    assert settings.pools
    assert settings.clusters
    assert settings.web.tokens
    assert settings.redis.password_file
    assert settings.slack.is_on
    assert settings.pools[0].policy.blackouts


@pytest.mark.parametrize(
    ("part", "expected"), SHAPES.items(), ids=lambda t: getattr(t, "__name__", "")
)
def test_each_setting_can_be_written_and_stands_in_the_default_file(
    part: type[Part], expected: set[str]
) -> None:
    assert keys(part) == expected
    missing = expected - keys_of(yaml.safe_load(uncommented())) - NAMED_BESIDE
    assert not missing, f"config/default.yaml does not show {missing}"


def test_the_comments_name_the_other_way_of_giving_a_secret() -> None:
    for key in NAMED_BESIDE - {"app_token_env", "signing_secret_env"}:
        assert f"({key})" in DEFAULT.read_text()


def test_the_whole_file_has_the_sections_of_the_settings() -> None:
    assert keys(models.File) == written(Settings) | {"defaults"}


@pytest.mark.parametrize(
    ("part", "key", "enum"),
    [
        (models_policy.PolicyPart, "mode", Mode),
        *((models_policy.ModesPart, str(change), Mode) for change in Change),
        (models_chat.RoutePart, "severities", Severity),
        (models_chat.RoutePart, "about", About),
    ],
)
def test_words_that_can_be_written_are_those_of_the_code(
    part: type[Part], key: str, enum: type[StrEnum]
) -> None:
    said = part.model_fields[key].annotation
    (inner, *_) = typing.get_args(said)
    words = typing.get_args(inner) or typing.get_args(said)
    # A digest names its places itself: a route about it would be read by nothing.
    assert words == tuple(str(word) for word in enum if word is not About.DIGEST)


def test_what_is_asked_stands_with_the_approval() -> None:
    assert set(ASKING) == written(Asking)


def test_each_setting_in_the_default_file_has_its_comment() -> None:
    lines = DEFAULT.read_text().splitlines()
    grouping = {"defaults:", "policy:", "approval:"}
    for above, line in itertools.pairwise(lines):
        if re.fullmatch(r" *[a-z_]+:.*", line) and line.strip() not in grouping:
            assert above.strip().startswith("#"), f"no comment above {line!r}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_each_example_loads_and_is_printed_as_a_file_that_says_the_same(example: Path) -> None:
    settings = load(example)
    assert settings.pools
    assert load_text(effective(settings)) == settings


def test_what_the_default_file_shows_is_printed_as_a_file_that_says_the_same() -> None:
    settings = load_text(uncommented(), directory=ROOT)
    assert load_text(effective(settings)) == settings


def test_the_page_about_the_configuration_names_every_section() -> None:
    page = (ROOT / "docs/reference/configuration.md").read_text()
    for section in keys(models.File):
        assert f"`{section}`" in page, section
