"""Whether a built image is what was ordered: decided from what the registry says, not the builder.

A builder may be wrong, old, or somebody else's. So nothing it reports is used except the digest it
claims to have pushed, and that one is compared with what was read back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from watcher.core.facts import Digest, Pullspec
from watcher.core.images import BASE_DIGEST, BUILD_KEY, RECIPE, VERSION, ImageFacts

INHERITED: Mapping[str, str] = {
    "containers.bootc": "the MCO takes only images with it for an OS image",
    "ostree.bootable": "rpm-ostree takes only images with it for bootable",
    "ostree.commit": "ostree-rs-ext reads the base's commit from it",
    "ostree.final-diffid": "ostree-rs-ext finds the last layer of the base with it",
    "io.openshift.os.streamclass": "the MCO tells the stream by it",
    "io.openshift.build.versions": "the version of the base is read from it",
    VERSION: "the version of the base is read from it",
}
"""Labels that a layered image must have as its base has them, and who reads them.

MCO: pkg/osimagestream/image_data.go; ostree-rs-ext: lib/src/container/mod.rs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What was ordered, for one platform."""

    image: Pullspec
    """What the builder says it pushed."""
    base: Pullspec
    architecture: str
    build_key: str
    recipe: Digest
    platforms: tuple[str, ...] = ()
    """Of the whole build: what the image's digest must have, no less and no more."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Others that were ordered."""


def verify(base: ImageFacts, result: ImageFacts, *, expected: Expected) -> list[str]:
    """What is wrong with `result`, one sentence each; empty if it is what was ordered.

    `base` and `result` are the facts of the same platform, read from the registries.
    """
    return [
        *_identity(base, result, expected),
        *_layers(base, result),
        *_platform(base, result, expected),
        *_inherited(base, result),
        *_ordered(result, expected),
    ]


def _identity(base: ImageFacts, result: ImageFacts, expected: Expected) -> list[str]:
    wrong = []
    if result.image != expected.image:
        wrong.append(f"the builder reported {expected.image}, but {result.image} was read")
    if base.image.digest != expected.base.digest:
        wrong.append(f"{expected.base.digest} was ordered, but the base is {base.image.digest}")
    if result.manifest_digest == base.manifest_digest:
        wrong.append("the image is the base itself: nothing was added")
    ordered, found = _plain(expected.platforms), _plain(result.platforms)
    if ordered and found and ordered != found:
        wrong.append(
            f"the image is for {', '.join(map(_said, found))}, but {', '.join(ordered)} was ordered"
        )
    return wrong


def _plain(platforms: tuple[str, ...]) -> list[str]:
    """Operating system and architecture; a variant is the builder's to name.

    Each as often as it is there: of two variants a node may take the one that nobody looked at.
    """
    return sorted("/".join(platform.split("/")[:2]) for platform in platforms)


def _layers(base: ImageFacts, result: ImageFacts) -> list[str]:
    """Digests of compressed layers may change on a push to another registry; diff_ids do not."""
    if not base.diff_ids:
        return ["the base has no layers"]
    pairs = zip(base.diff_ids, result.diff_ids, strict=False)
    for number, (wanted, found) in enumerate(pairs, start=1):
        if wanted != found:
            return [
                f"layer {number} is {found.short}, but the base has {wanted.short} there: "
                "the image stands on another base"
            ]
    if len(result.diff_ids) < len(base.diff_ids):
        return [
            f"the image has {len(result.diff_ids)} of the {len(base.diff_ids)} layers of the base"
        ]
    return []


def _platform(base: ImageFacts, result: ImageFacts, expected: Expected) -> list[str]:
    wrong = []
    if result.architecture != expected.architecture:
        wrong.append(
            f"the image is for {_said(result.architecture)}, not for {expected.architecture}"
        )
    if (result.os, result.architecture) != (base.os, base.architecture):
        wrong.append(
            f"the image is for {_said(result.os)}/{_said(result.architecture)}, "
            f"its base for {_said(base.os)}/{_said(base.architecture)}"
        )
    return wrong


def _inherited(base: ImageFacts, result: ImageFacts) -> list[str]:
    return [
        f"label {name} is {_quoted(result.labels.get(name))}, on the base it is "
        f"{_quoted(base.labels[name])} ({why}); leave it as it is in the recipe"
        for name, why in INHERITED.items()
        if name in base.labels and result.labels.get(name) != base.labels[name]
    ]


def _ordered(result: ImageFacts, expected: Expected) -> list[str]:
    ordered = {
        **expected.labels,
        BASE_DIGEST: expected.base.digest,
        BUILD_KEY: expected.build_key,
        RECIPE: expected.recipe,
    }
    return [
        f"label {name} is {_quoted(result.labels.get(name))}, but {_quoted(value)} was ordered"
        for name, value in sorted(ordered.items())
        if result.labels.get(name) != value
    ]


def _quoted(value: str | None) -> str:
    return "missing" if value is None else repr(_said(value))


def _said(text: str) -> str:
    """Text from an image made fit for a message: printable, short."""
    return "".join(c if c.isprintable() else " " for c in text[:100])
