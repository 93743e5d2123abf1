"""A builder may say what it likes: what is in the registry decides."""

from dataclasses import replace

import pytest

from watcher.core.facts import Digest, Pullspec
from watcher.core.images import BASE_DIGEST, BUILD_KEY, RECIPE, ImageFacts
from watcher.core.verify import INHERITED, Expected, verify


def digest(number: int) -> Digest:
    return Digest(f"sha256:{number:064x}")


BASE = ImageFacts(
    image=Pullspec(f"r.example/rhcos@{digest(1)}"),
    manifest_digest=digest(1),
    os="linux",
    architecture="amd64",
    diff_ids=(digest(11), digest(12)),
    labels=dict.fromkeys(INHERITED, "x"),
)
IMAGE = Pullspec(f"r.example/layered@{digest(2)}")
ORDERED = {BASE_DIGEST: digest(1), BUILD_KEY: "key", RECIPE: digest(3)}
GOOD = ImageFacts(
    image=IMAGE,
    manifest_digest=digest(2),
    os="linux",
    architecture="amd64",
    diff_ids=(digest(11), digest(12), digest(13)),
    labels={**BASE.labels, **ORDERED, "team": "storage"},
)
EXPECTED = Expected(
    image=IMAGE,
    base=BASE.image,
    architecture="amd64",
    build_key="key",
    recipe=digest(3),
    labels={"team": "storage"},
)


def without(name: str) -> ImageFacts:
    return replace(GOOD, labels={key: v for key, v in GOOD.labels.items() if key != name})


def test_what_was_ordered_is_good() -> None:
    assert verify(BASE, GOOD, expected=EXPECTED) == []


def test_an_image_of_labels_alone_is_good() -> None:
    assert verify(BASE, replace(GOOD, diff_ids=BASE.diff_ids), expected=EXPECTED) == []


BOTH = ("linux/amd64", "linux/arm64")


def test_an_index_of_the_ordered_platforms_is_good() -> None:
    good = replace(GOOD, platforms=("linux/arm64/v8", "linux/amd64"))
    assert verify(BASE, good, expected=replace(EXPECTED, platforms=BOTH)) == []


@pytest.mark.parametrize(
    "found",
    [
        ("linux/amd64",),
        (*BOTH, "linux/s390x"),
        (*BOTH, "unnamed"),
        ("linux/amd64", "linux/s390x"),
        (*BOTH, "linux/arm64/v8"),
    ],
    ids=["one less", "one more", "one without a name", "another", "one of them twice"],
)
def test_an_index_of_other_platforms_is_wrong(found: tuple[str, ...]) -> None:
    wrong = verify(BASE, replace(GOOD, platforms=found), expected=replace(EXPECTED, platforms=BOTH))
    assert len(wrong) == 1
    assert wrong[0].endswith("but linux/amd64, linux/arm64 was ordered")


def test_the_platform_of_an_index_is_good() -> None:
    base = replace(BASE, image=Pullspec(f"r.example/rhcos@{digest(5)}"))
    good = replace(GOOD, labels={**GOOD.labels, BASE_DIGEST: digest(5)})
    assert verify(base, good, expected=replace(EXPECTED, base=base.image)) == []


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (replace(GOOD, diff_ids=(digest(99), *GOOD.diff_ids)), "layer 1 .* another base"),
        (replace(GOOD, diff_ids=(digest(11), digest(99), digest(13))), "layer 2 .* another base"),
        (replace(GOOD, diff_ids=(digest(11),)), "1 of the 2 layers"),
        (replace(GOOD, diff_ids=()), "0 of the 2 layers"),
        (replace(GOOD, architecture="arm64"), "for arm64, not for amd64"),
        (replace(GOOD, os="windows"), "for windows/amd64, its base for linux/amd64"),
        (replace(GOOD, image=Pullspec(f"r.example/layered@{digest(7)}")), "but .* was read"),
        (replace(GOOD, manifest_digest=digest(1)), "the base itself"),
        (replace(GOOD, labels={**GOOD.labels, "team": "\x1b[31m"}), r"label team is ' \[31m'"),
        *((without(name), f"label {name} is missing") for name in INHERITED),
        *((without(name), f"label {name} is missing") for name in ORDERED),
    ],
)
def test_a_lie_is_found(lie: ImageFacts, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        assert not (wrong := verify(BASE, lie, expected=EXPECTED)), " / ".join(wrong)


def test_a_base_other_than_the_ordered_one_is_found() -> None:
    other = replace(BASE, image=Pullspec(f"r.example/rhcos@{digest(8)}"), manifest_digest=digest(8))
    assert f"{digest(1)} was ordered, but the base is {digest(8)}" in verify(
        other, GOOD, expected=EXPECTED
    )


def test_a_base_without_layers_proves_nothing() -> None:
    assert "the base has no layers" in verify(replace(BASE, diff_ids=()), GOOD, expected=EXPECTED)
