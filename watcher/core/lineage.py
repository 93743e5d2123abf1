"""Which base, recipe and build an image came from: written on what we apply, read back from it.

With Redis emptied this is how the same decisions are reached again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from watcher.core import images, mco, os_version
from watcher.core.cluster import OUR_PREFIX, MachineConfig
from watcher.core.facts import Digest, Malformed, Pullspec, Repository, split_tag
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


class SaidBy(StrEnum):
    """Who said which base it is: claims first, which anybody may have written, then proofs."""

    OURS = "our labels"
    ON_CLUSTER = "labels of on-cluster layering"
    RENDERED = "rendered MachineConfig"
    """Of an image that was built on the cluster: the one its build names. Of a pool on its way: the
    one that its nodes had last."""
    BASE_ANNOTATION = "base annotation"
    """org.opencontainers.image.base.digest, as buildah and others write it."""
    LAYERS = "layers"
    """Its first layers are those of that base, all of them."""
    OS_VERSION = "OS version"
    """Its label names the same build of the OS; its layers were squashed or changed."""
    UNKNOWN = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    base: Digest | None = None
    recipe: Digest | None = None
    build_key: str = ""
    release_version: str = ""
    said_by: SaidBy = field(default=SaidBy.UNKNOWN, compare=False)
    """Lineages are the same where they say the same, whoever said it."""
    base_image: Pullspec | None = field(default=None, compare=False)
    """Where the base is, if that is known too."""
    os_version: str = field(default="", compare=False)
    """Of the base, as the image's labels inherited it."""
    stock: bool = False
    """It is a release's own OS image: nothing is layered on it."""
    doubt: str = field(default="", compare=False)
    """A sentence: what of its claims is not so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The OS image of a release, for one architecture: a base that an image may stand on."""

    release_version: str
    release_image: Pullspec
    base: Pullspec
    """As the release names it: of the index where it is one."""
    manifest_digest: Digest
    """Of the platform's own manifest: what builders write as the base's digest."""
    diff_ids: tuple[Digest, ...]
    os_version: str = ""

    @property
    def digests(self) -> tuple[Digest, Digest]:
        return self.base.digest, self.manifest_digest


def _digest(text: str | None) -> Digest | None:
    try:
        return Digest(text) if text else None
    except Malformed:
        return None


def from_annotations(annotations: Mapping[str, str]) -> Lineage:
    """Read the lineage from an override of ours; what is missing or malformed stays None."""
    base = _digest(annotations.get(BASE))
    return Lineage(
        base=base,
        recipe=_digest(annotations.get(RECIPE)),
        build_key=annotations.get(BUILD_KEY, ""),
        release_version=annotations.get(RELEASE, ""),
        said_by=SaidBy.OURS if base else SaidBy.UNKNOWN,
    )


def from_rendered(rendered: MachineConfig) -> Lineage:
    """Read which release's own OS image a rendered MachineConfig has; unknown of an override.

    MCO notes both (pkg/controller/render: the version, and that the image is not the release's).
    """
    said = rendered.meta.annotations
    try:
        base = None if said.get(mco.OVERRIDDEN) == "true" else Pullspec(rendered.os_image_url)
    except Malformed:
        base = None
    if base is None:
        return Lineage()
    version = said.get(mco.RENDERED_BY_RELEASE, "")
    return Lineage(
        base=base.digest,
        base_image=base,
        release_version=version if mco.is_version(version) else "",
        said_by=SaidBy.RENDERED,
        stock=True,
    )


def from_image(facts: ImageFacts) -> Lineage:
    """Read what an image claims of itself by labels and annotations, whoever made it."""
    said = {**facts.annotations, **facts.labels}
    base, named = _digest(said.get(images.BASE_DIGEST)), said.get(images.BASE_NAME, "")
    release = said.get(images.RELEASE, "")
    said_by = SaidBy.OURS if said.get(images.BUILD_KEY) else SaidBy.BASE_ANNOTATION
    on_cluster = said.get(images.ON_CLUSTER_BASE, "")
    # What MCO builds names the image as the release does; a builder may name one platform's.
    if said_by is not SaidBy.OURS and (theirs := _digest(on_cluster.partition("@")[2])):
        base, named, said_by = theirs, on_cluster, SaidBy.ON_CLUSTER
        release = release or said.get(images.ON_CLUSTER_RELEASE, "")
    return Lineage(
        base=base,
        recipe=_digest(said.get(images.RECIPE)),
        build_key=said.get(images.BUILD_KEY, ""),
        release_version=release,
        said_by=said_by if base else SaidBy.UNKNOWN,
        base_image=_at(named, base) if base else None,
        os_version=os_version.machine_os_of({}, facts.labels),
    )


def _at(name: str, base: Digest) -> Pullspec | None:
    """``repository[:tag][@digest]`` by the base's digest; None where that is no repository."""
    try:
        repository, _ = split_tag(name.partition("@")[0])
        return Repository(repository).at(base)
    except Malformed:
        return None


def by_layers(facts: ImageFacts, candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the base whose layers are the image's first ones, all of them and in order.

    Of several the one with most layers; of equal ones the first, so give the likelier first.
    """
    fitting = [candidate for candidate in candidates if _begins_with(facts, candidate)]
    return max(fitting, key=lambda candidate: len(candidate.diff_ids), default=None)


def _begins_with(facts: ImageFacts, candidate: Candidate) -> bool:
    number = len(candidate.diff_ids)
    return number > 0 and facts.diff_ids[:number] == candidate.diff_ids


def by_os_version(facts: ImageFacts, candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the base of the build that the image's label names; None where several have it."""
    version = os_version.machine_os_of({}, facts.labels)
    same = [c for c in candidates if version and c.os_version == version]
    # One image may be in several releases, also as part of several indexes.
    return same[0] if len({c.manifest_digest for c in same}) == 1 else None


def of_image(facts: ImageFacts, candidates: Sequence[Candidate] = ()) -> Lineage:
    """Return the lineage of any image, given the bases it may stand on.

    Layers are proof and claims are not: where they speak of different bases the layers win, and
    `doubt` says so. A claim about a base that is none of the candidates stands, unproven.
    """
    claim = from_image(facts)
    named = _named(claim, candidates)
    proven = by_layers(facts, candidates)
    if proven is not None:
        if named is not None and _begins_with(facts, named):
            return _on(facts, named, claim, claim.said_by)
        # Another's annotation may rightly name an image between the two; a base of ours is an OS.
        lies = named is not None or claim.said_by is SaidBy.OURS
        other = f"its layers are those of {proven.release_version}'s OS image"
        doubt = _doubt(claim, other) if lies else ""
        return _on(facts, proven, replace(claim, doubt=doubt), SaidBy.LAYERS)
    if named is not None:
        # It may have been squashed since; then the label below still tells the build.
        doubt = _doubt(claim, f"it does not begin with the layers of {named.release_version}'s")
        claim = replace(claim, base=None, base_image=None, release_version="", doubt=doubt)
    if claim.base is None:
        guess = by_os_version(facts, candidates)
        if guess is not None:
            return _on(facts, guess, claim, SaidBy.OS_VERSION)
        return replace(claim, said_by=SaidBy.UNKNOWN)
    return claim


def _named(claim: Lineage, candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate that is claimed; of several releases with that base the claimed one."""
    of_base = [c for c in candidates if claim.base in c.digests]
    of_release = [c for c in of_base if c.release_version == claim.release_version]
    return next(iter(of_release or of_base), None)


def _doubt(claim: Lineage, instead: str) -> str:
    if claim.base is None:
        return ""
    return f"it says that its base is {claim.base.short} ({claim.said_by}), but {instead}"


def _on(facts: ImageFacts, base: Candidate, claim: Lineage, said_by: SaidBy) -> Lineage:
    """The lineage on a base that is known. It has the digest by which the release names it."""
    is_itself = facts.image.digest in base.digests or facts.manifest_digest in base.digests
    return replace(
        claim,
        base=base.base.digest,
        base_image=base.base,
        release_version=base.release_version,
        os_version=base.os_version or claim.os_version,
        said_by=said_by,
        stock=is_itself,
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
