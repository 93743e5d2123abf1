"""Versions of the OS image: three grammars, when each was built, and who says which it is."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.core import os_version
from watcher.core.images import VERSION
from watcher.core.os_version import VERSIONS, Grammar, OsVersion, days_between, is_older, parse

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"


def at(*said: int) -> datetime:
    return datetime(*said, tzinfo=UTC)  # type: ignore[arg-type,misc]


def read(text: str) -> OsVersion:
    found = parse(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("text", "grammar", "ocp_minor", "rhel", "built_at", "line"),
    [
        ("412.86.202301061548-0", "openshift", (4, 12), "8.6", at(2023, 1, 6, 15, 48), "el8"),
        ("416.94.202409040013-0", "openshift", (4, 16), "9.4", at(2024, 9, 4, 0, 13), "el9"),
        ("49.84.202111051605-0", "openshift", (4, 9), "8.4", at(2021, 11, 5, 16, 5), "el8"),
        ("42.80.20191002.0", "openshift", (4, 2), "8.0", at(2019, 10, 2), "el8"),
        ("422.102.202609040013-0", "openshift", (4, 22), "10.2", at(2026, 9, 4, 0, 13), "el10"),
        ("418.9.202504300632-0", "openshift", (4, 18), "9", at(2025, 4, 30, 6, 32), "el9"),
        ("419.10.202504300632-0", "openshift", (4, 19), "10", at(2025, 4, 30, 6, 32), "el10"),
        ("50.98.202609040013-1", "openshift", (5, 0), "9.8", at(2026, 9, 4, 0, 13), "el9"),
        ("9.6.20251201-1", "enterprise", None, "9.6", at(2025, 12, 1), "el9"),
        ("10.2.20260328-0", "enterprise", None, "10.2", at(2026, 3, 28), "el10"),
        ("9.0.20250515-0", "enterprise", None, "9.0", at(2025, 5, 15), "el9"),
        ("39.20240210.3.0", "fedora", None, "39", at(2024, 2, 10), "fedora"),
    ],
)
def test_what_a_version_says(
    text: str,
    grammar: str,
    ocp_minor: tuple[int, int] | None,
    rhel: str,
    built_at: datetime,
    line: str,
) -> None:
    said = read(text)
    assert (said.grammar, said.ocp_minor, said.rhel, said.built_at, said.line) == (
        Grammar(grammar),
        ocp_minor,
        rhel,
        built_at,
        line,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4.16.3",
        "1.2.3",
        "latest",
        "416.94.202413040013-0",  # a thirteenth month
        "9.6.20250230-0",
        "9.6.20251201",
        "9.6.20251201-1\n",
        "9.6.20251201-1 ",
        "٩.6.20251201-1",  # digits of another script
        "9.6.20251201-" + "1" * 100,
        "39.20240210.3",
    ],
)
def test_what_is_no_version_is_none(text: str) -> None:
    assert parse(text) is None


@settings(max_examples=100)
@given(st.text(alphabet="0123456789.-T", max_size=80) | st.text(max_size=80))
def test_any_text_is_a_version_or_none(text: str) -> None:
    said = parse(text)
    assert said is None or said.text == text


def test_versions_are_compared_within_one_grammar_and_line_only() -> None:
    older, newer = read("416.94.202409040013-0"), read("416.94.202409040013-1")
    assert is_older(older, than=newer) is True
    assert is_older(newer, than=older) is False
    assert is_older(older, than=older) is False
    assert is_older(older, than=read("9.6.20251201-1")) is None
    assert is_older(read("9.6.20251201-1"), than=read("10.2.20251201-1")) is None


def test_days_are_counted_across_grammars_but_not_across_lines() -> None:
    """So that a pool left on 4.18 still knows how old its base is beside that of 4.19."""
    days = days_between(read("418.94.202505012359-0"), read("9.6.20250504-0"))
    assert days == 3
    assert days_between(read("9.6.20250504-0"), read("418.94.202505012359-0")) == -3
    assert days_between(read("9.6.20250504-0"), read("10.2.20250504-0")) is None


# --- who says it ---------------------------------------------------------------------------------


def test_the_tag_s_own_annotation_says_the_version() -> None:
    said = {VERSIONS: "kubernetes=1.29.4,machine-os=416.94.202409040013-0"}
    labels = {VERSION: "9.6.20251201-1"}
    assert os_version.machine_os_of(said, labels) == "416.94.202409040013-0"


def test_without_an_annotation_the_image_s_labels_say_it() -> None:
    """As for rhel-coreos-8 of 4.12, where machine-os-content alone is annotated."""
    empty = {"io.openshift.build.commit.id": ""}
    assert os_version.machine_os_of(empty, {VERSION: "412.86.202301061548-0"}) == (
        "412.86.202301061548-0"
    )
    labels = {VERSIONS: "machine-os=412.86.202301061548-0"}
    assert os_version.machine_os_of(empty, labels) == "412.86.202301061548-0"
    assert os_version.machine_os_of({}, {}) == ""


def test_a_layer_s_own_version_label_is_not_the_os_version() -> None:
    labels = {VERSION: "1.2.3", VERSIONS: "machine-os=9.6.20251201-1"}
    assert os_version.machine_os_of({}, labels) == "9.6.20251201-1"
    assert os_version.machine_os_of({}, {VERSION: "1.2.3"}) == ""


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a=1,b=2", {"a": "1", "b": "2"}),
        (" a=1 , b=2", {"a": "1", "b": "2"}),
        ("a=1,a=2", {"a": "1"}),
        ("a,=1,b=,c=1\x1b[2J,d=<x>,e=1", {"e": "1"}),
        ("a=" + "1" * 65, {}),
        ("", {}),
    ],
)
def test_a_list_of_versions(text: str, read: dict[str, str]) -> None:
    assert os_version.versions_of(text) == read


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_any_annotation_gives_words_only(text: str) -> None:
    said = os_version.versions_of(text)
    assert all(v.isprintable() and len(v) <= 64 for v in said.values())
    assert os_version.machine_os_of({VERSIONS: text}, {VERSION: text, VERSIONS: text}).isprintable()


def test_a_huge_annotation_is_not_read_to_its_end() -> None:
    assert os_version.versions_of("x," * 10_000 + "machine-os=9.6.20251201-1") == {}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
def test_real_payloads() -> None:
    old = tags("image-references-4.12.0-x86_64.json")
    assert VERSIONS not in old["rhel-coreos-8"]
    assert os_version.machine_os_of(old["rhel-coreos-8"], {}) == ""
    assert parse(os_version.machine_os_of(old["machine-os-content"], {})) is not None
    new = tags("image-references-4.22-dualstream-excerpt.json")
    nine, ten = new["rhel-coreos"], new["rhel-coreos-10"]
    assert read(os_version.machine_os_of(nine, {})).line == "el9"
    assert read(os_version.machine_os_of(ten, {})).line == "el10"


def tags(name: str) -> dict[str, dict[str, str]]:
    said = json.loads((SAMPLES / name).read_text())
    return {tag["name"]: tag.get("annotations") or {} for tag in said["spec"]["tags"]}
