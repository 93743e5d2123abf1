"""Where a cluster stands on its way between releases, and which base a pool should have.

Rules: CVO pkg/cvo/status.go; MCO operator/sync.go getOSImageURLsFromConfigMap, install/
image-references per branch, controller/osimagestream. All of it is keyed on image digests: a
version alone is ambiguous (single to multi arch, nightlies).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from watcher.core import mco, streams
from watcher.core.cluster import ClusterVersion, ClusterView, Pool
from watcher.core.facts import Malformed, Pullspec, same_image
from watcher.core.images import Payload
from watcher.core.streams import os_tags as os_tags

PAYLOAD_ANNOTATION = mco.PREFIX + "release-payload-image"
DEFAULT_STREAM = streams.RHEL_9
"""MCO's built-in default for clusters installed as 4.x."""


class Stage(StrEnum):
    COMPLETED = "completed"
    REQUESTED = "requested"
    """A person asked for a release that the CVO has not accepted."""
    IN_PROGRESS = "in-progress"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    version: str
    image: Pullspec


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseState:
    desired: Release
    stage: Stage
    completed: bool
    """history[0] is the desired image and Completed: only then may its base be applied."""
    sentence: str
    taken_unverified: bool = False
    """The version operator took the desired release without a good signature."""


def _condition(cv: ClusterVersion, kind: str) -> tuple[str, str]:
    return next(((c.status, c.message) for c in cv.conditions if c.type == kind), ("", ""))


def release_state(cv: ClusterVersion) -> ReleaseState:
    """Read ClusterVersion; raise Malformed unless it names a version and an image by digest."""
    return replace(_release_state(cv), taken_unverified=_taken_unverified(cv))


def _taken_unverified(cv: ClusterVersion) -> bool:
    """What history[].verified says of the desired release; written once the CVO accepted it."""
    entry = next((h for h in cv.history if same_image(h.image, cv.desired_image)), None)
    return entry is not None and not entry.verified


def _release_state(cv: ClusterVersion) -> ReleaseState:
    try:
        mco.minor_of(cv.desired_version)
    except ValueError as error:
        raise Malformed(f"not a version: {cv.desired_version[:100]!r}") from error
    desired = Release(version=cv.desired_version, image=Pullspec(cv.desired_image))
    newest = cv.history[0] if cv.history else None
    # A Partial entry may carry a completion time (it was abandoned): only the state counts.
    completed = (
        newest is not None
        and same_image(newest.image, cv.desired_image)
        and newest.state == "Completed"
    )
    requested = (cv.requested_image and not same_image(cv.requested_image, cv.desired_image)) or (
        not cv.requested_image
        and cv.requested_version
        and cv.requested_version != cv.desired_version
    )
    _, progress = _condition(cv, "Progressing")
    if requested:
        status, message = _condition(cv, "ReleaseAccepted")
        wanted = cv.requested_version or cv.requested_image
        told = f": {message}" if status != "True" and message else ""
        sentence = f"{wanted} was asked for and is not accepted yet{told}"
        return ReleaseState(
            desired=desired, stage=Stage.REQUESTED, completed=completed, sentence=sentence
        )
    if completed:
        sentence = f"{desired.version} is completed"
        return ReleaseState(
            desired=desired, stage=Stage.COMPLETED, completed=True, sentence=sentence
        )
    sentence = f"upgrading to {desired.version}" + (f": {progress}" if progress else "")
    return ReleaseState(
        desired=desired, stage=Stage.IN_PROGRESS, completed=False, sentence=sentence
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The OS image that a release names for a pool's stream."""

    image: Pullspec
    release: Release
    stream: str
    source: str
    """Where it was read: OSImageStream, ConfigMap or payload."""


@dataclass(frozen=True, slots=True)
class NeedsPayload:
    """The cluster does not say it (yet): read the release image, then ask again."""

    release: Pullspec


@dataclass(frozen=True, slots=True)
class NeedsLabels:
    """Only the images' labels say which one is of the stream: read them, then ask again."""

    images: tuple[Pullspec, ...]


@dataclass(frozen=True, slots=True)
class UnknownBase:
    because: str


def default_stream(cv: ClusterVersion | None) -> str:
    """Return MCO's built-in default, by the release that the cluster was installed as."""
    if cv is None:
        return DEFAULT_STREAM
    # Newest first; one that was given up is no installation.
    completed = [entry.version for entry in cv.history if entry.state == "Completed"]
    return streams.built_in_default(completed[-1] if completed else "", cv.desired_version)


def effective_stream(view: ClusterView, pool: Pool) -> str:
    """Return pool's own stream, else (custom pools) the worker pool's, else the default's."""
    if pool.os_image_stream:
        return pool.os_image_stream
    worker = view.pools.get("worker")
    if pool.name not in ("master", "arbiter", "worker") and worker and worker.os_image_stream:
        return worker.os_image_stream
    if view.os_image_stream and view.os_image_stream.default_stream:
        return view.os_image_stream.default_stream
    return default_stream(view.cluster_version)


def expected_base(
    view: ClusterView,
    pool: Pool,
    state: ReleaseState,
    payload: Payload | None,
    labels: Mapping[Pullspec, Mapping[str, str]] | None = None,
) -> Base | NeedsPayload | NeedsLabels | UnknownBase:
    """Return the base that the pool should have under the desired release.

    OSImageStream if it was made from that very release; else the ConfigMap, once the upgrade is
    completed and it names that version; else the payload itself, which is there from the start.
    `labels`: of the images that NeedsLabels named; it is asked again for those that are missing.
    """
    release, stream = state.desired, effective_stream(view, pool)
    found, source = _from_cluster(view, state, stream)
    if not found:
        if payload is None or payload.image.digest != release.image.digest:
            return NeedsPayload(release.image)
        is_default = stream == default_stream(view.cluster_version)
        tag = _tag(payload, release.version, stream, labels or {}, is_default=is_default)
        if not isinstance(tag, str):
            return tag
        found, source = payload.tags[tag], "payload"
    try:
        image = Pullspec(found)
    except Malformed as error:
        return UnknownBase(f"{source} of {release.version} names its OS image wrongly: {error}")
    return Base(image=image, release=release, stream=stream, source=source)


def _tag(
    payload: Payload,
    version: str,
    stream: str,
    labels: Mapping[Pullspec, Mapping[str, str]],
    *,
    is_default: bool,
) -> str | NeedsLabels | UnknownBase:
    """The payload's tag. One that is alone there under the expected name needs no labels."""
    if is_default and (named := streams.named(payload, version, stream)):
        return named
    try:
        by_tag = {tag: Pullspec(payload.tags[tag]) for tag in streams.candidates(payload)}
    except Malformed as error:
        return UnknownBase(f"payload of {version} names its OS image wrongly: {error}")
    missing = tuple(image for image in dict.fromkeys(by_tag.values()) if image not in labels)
    if missing and mco.minor_of(version) >= streams.FIRST_LAYERABLE:
        return NeedsLabels(missing)
    known = {tag: labels[image] for tag, image in by_tag.items() if image in labels}
    chosen = streams.choose(payload, known, version=version, stream=stream)
    return chosen if isinstance(chosen, str) else UnknownBase(chosen.because)


def _from_cluster(view: ClusterView, state: ReleaseState, stream: str) -> tuple[str, str]:
    made = view.os_image_stream
    made_from = made.meta.annotations.get(PAYLOAD_ANNOTATION) if made else None
    if made and made_from == str(state.desired.image) and stream in made.images:
        return made.images[stream], "OSImageStream"
    urls = view.os_image_urls
    # The ConfigMap holds one image, always: in OCP that of RHEL 9, in OKD that of its one stream.
    only = streams.CENTOS_10 if streams.is_okd(state.desired.version) else streams.RHEL_9
    if (
        urls
        and state.completed
        and stream == only
        and urls.release_version == state.desired.version
    ):
        return urls.base_image, "ConfigMap"
    return "", ""
