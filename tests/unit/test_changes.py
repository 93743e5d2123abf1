"""What kind of change an update is, and what the policy does about that kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.changes import Change, Mode, change_of, mode_for


@pytest.mark.parametrize(
    ("running", "target", "change"),
    [
        ("4.18.9", "4.18.10", Change.PATCH),
        ("4.18.10", "4.18.9", Change.PATCH),
        ("4.18.0-rc.1", "4.18.0", Change.PATCH),
        ("4.18.0-0.nightly-2026-01-01-000000", "4.18.0-0.nightly-2026-01-02-000000", Change.PATCH),
        ("4.18.1+a", "4.18.1+b", Change.PATCH),
        ("4.18.10", "4.19.0", Change.MINOR),
        ("4.18.10", "4.17.30", Change.MINOR),
        ("4.21.3", "5.21.3", Change.MINOR),
        ("5.0.0", "4.22.1", Change.MINOR),
        ("4.18.10", "4.18.10", Change.RECIPE),
        ("", "4.18.10", Change.FIRST),
        ("4.18", "4.18.10", Change.FIRST),
        ("v4.18.9", "4.18.10", Change.FIRST),
        ("4.18.9", "", Change.FIRST),
        ("4.18.9", "latest", Change.FIRST),
        ("latest", "latest", Change.FIRST),
        ("", "", Change.FIRST),
    ],
)
def test_a_change_has_a_kind(running: str, target: str, change: Change) -> None:
    assert change_of(running, target) is change


versions = st.one_of(
    st.text(max_size=12), st.from_regex(r"4\.1[78]\.[0-9](-rc\.1)?", fullmatch=True)
)


@given(versions, versions)
def test_every_pair_of_texts_has_a_kind_and_the_way_back_the_same(one: str, other: str) -> None:
    assert change_of(one, other) is change_of(other, one)


@pytest.mark.parametrize(
    ("change", "mode"),
    [
        (Change.PATCH, Mode.AUTO),
        (Change.MINOR, Mode.NOTIFY),
        (Change.RECIPE, Mode.APPROVE),
        (Change.FIRST, Mode.APPROVE),
    ],
)
def test_the_mode_of_a_kind_of_change_goes_before_the_general_one(
    change: Change, mode: Mode
) -> None:
    modes = {"patch": "auto", "minor": "notify"}
    assert mode_for(Mode.APPROVE, modes, change) is mode
    assert mode_for(Mode.APPROVE, tuple(modes.items()), change) is mode


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'never' is not a valid Mode"):
        mode_for(Mode.AUTO, {"patch": "never"}, Change.PATCH)
