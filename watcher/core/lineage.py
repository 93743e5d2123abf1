"""Which base, recipe and build an image came from: written on what we apply, read back from it.

With Redis emptied this is how the same decisions are reached again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.core import images
from watcher.core.cluster import OUR_PREFIX
from watcher.core.facts import Digest, Malformed
from watcher.core.images import ImageFacts
from watcher.core.update import Update

BASE = OUR_PREFIX + "base"
RECIPE = OUR_PREFIX + "recipe"
BUILD_KEY = OUR_PREFIX + "build-key"
UPDATE = OUR_PREFIX + "update"
APPROVED_BY = OUR_PREFIX + "approved-by"
RELEASE = OUR_PREFIX + "release"
IMAGE = OUR_PREFIX + "image"
"""The image all of these speak of: where the osImageURL is another, they are worth nothing."""
PREVIOUS = OUR_PREFIX + "previous-image"
# On pools:
STOCK_BY = OUR_PREFIX + "stock-requested-by"
"""A person took the override away; it is not proposed again until a person asks."""
PAUSED_FOR = OUR_PREFIX + "paused-for"
"""We paused the pool to put it back; the update that did."""
REFUSED_BUILDS = OUR_PREFIX + "rolled-back-builds"
"""Build keys that were rolled back here, comma separated: remembered where Redis cannot lose it."""
REFUSED_BUILDS_KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    base: Digest | None = None
    recipe: Digest | None = None
    build_key: str = ""
    release_version: str = ""


def _digest(text: str | None) -> Digest | None:
    try:
        return Digest(text) if text else None
    except Malformed:
        return None


def from_annotations(annotations: Mapping[str, str]) -> Lineage:
    """Read the lineage from an override of ours; what is missing or malformed stays None."""
    return Lineage(
        base=_digest(annotations.get(BASE)),
        recipe=_digest(annotations.get(RECIPE)),
        build_key=annotations.get(BUILD_KEY, ""),
        release_version=annotations.get(RELEASE, ""),
    )


def from_image(facts: ImageFacts) -> Lineage:
    """Read the lineage from an image's labels and annotations, whoever made it."""
    said = {**facts.annotations, **facts.labels}
    return Lineage(
        base=_digest(said.get(images.BASE_DIGEST)),
        recipe=_digest(said.get(images.RECIPE)),
        build_key=said.get(images.BUILD_KEY, ""),
        release_version=said.get(images.RELEASE, ""),
    )


def to_annotations(update: Update) -> dict[str, str]:
    """Return what is written on the override that this update applies."""
    approved = update.approval.by if update.approval else ()
    return {
        BASE: update.target.base.digest,
        RECIPE: update.target.recipe_digest,
        BUILD_KEY: update.target.build_key,
        UPDATE: update.id,
        APPROVED_BY: ",".join(approved),
        RELEASE: update.target.release_version,
        IMAGE: str(update.image or ""),
        PREVIOUS: update.previous.image if update.previous else "",
    }


def refused_builds(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return the build keys that a pool's annotation says were rolled back on it."""
    return tuple(key for key in annotations.get(REFUSED_BUILDS, "").split(",") if key)


def without_refused(annotations: Mapping[str, str], build_key: str) -> str | None:
    """Return the annotation's value without a build key; None where nothing is left of it."""
    return ",".join(key for key in refused_builds(annotations) if key != build_key) or None


def with_refused(annotations: Mapping[str, str], build_key: str) -> str:
    """Return the annotation's value with one more build key, bounded to the newest."""
    keys = [key for key in refused_builds(annotations) if key != build_key]
    return ",".join([*keys, build_key][-REFUSED_BUILDS_KEPT:])
