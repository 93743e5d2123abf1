"""Which base a pool should have, and which one its override stands on: asked of the registries.

What is decided purely is in `core/release` and `core/lineage`; here is what these need to be told.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from watcher.ancestry import Ancestry
from watcher.core import lineage, mco
from watcher.core.cluster import ClusterView, MachineConfig, Pool
from watcher.core.drift import Running
from watcher.core.facts import Malformed, Pullspec
from watcher.core.images import Payload
from watcher.core.lineage import Lineage
from watcher.core.release import (
    Base,
    NeedsLabels,
    NeedsPayload,
    ReleaseState,
    UnknownBase,
    effective_stream,
    expected_base,
)
from watcher.ports import Images, OutsideError, Refused


async def base_of(
    images: Images, view: ClusterView, pool: Pool, release: ReleaseState
) -> Base | UnknownBase:
    """Return the base that the pool should have; raise Transient where that cannot be asked now.

    `images`: as seen from the cluster.
    """
    payload: Payload | None = None
    labels: dict[Pullspec, Mapping[str, str]] = {}
    while True:
        found = expected_base(view, pool, release, payload, labels)
        try:
            match found:
                case NeedsPayload(image):
                    assert payload is None, "it was given"
                    payload = await images.payload(image)
                case NeedsLabels(missing):
                    assert not labels.keys() & set(missing), "they were given"
                    labels |= await _labels(images, missing, *architectures(view, pool))
                case _:
                    return found
        except Refused as error:
            return UnknownBase(f"release {release.desired.version} cannot be read: {error}")


async def _labels(
    images: Images, missing: Sequence[Pullspec], architecture: str, *others: str
) -> dict[Pullspec, Mapping[str, str]]:
    """Read labels of OS images: they are the same for each architecture."""
    read = await asyncio.gather(*(images.facts(image, architecture) for image in missing))
    return {image: facts.labels for image, facts in zip(missing, read, strict=True)}


async def lineage_of(
    ancestry: Ancestry,
    view: ClusterView,
    pool: Pool,
    override: MachineConfig,
    architecture: tuple[str, ...],
) -> Lineage:
    """Return where an override's image comes from; unknown where nobody can say."""
    if override.meta.name == mco.override_name(pool.name):
        written = lineage.from_annotations(override.meta.annotations)
        spoken_of = override.meta.annotations.get(lineage.IMAGE)
        # Somebody may have edited the image and left our annotations as they were.
        if written.base is not None and spoken_of == override.os_image_url:
            return written
    try:
        found = await ancestry.of(
            Pullspec(override.os_image_url),
            *architecture,
            cluster=view.cluster,
            cluster_version=view.cluster_version,
            stream=effective_stream(view, pool),
        )
        return found.lineage
    except (Refused, Malformed):
        return Lineage()  # nobody knows: the decision says so


async def searched(
    ancestry: Ancestry, view: ClusterView, pool: Pool, image: str, architecture: str
) -> Lineage:
    """Return where an image comes from by registries; unknown where they cannot say it now."""
    try:
        found = await ancestry.of(
            Pullspec(image),
            architecture,
            cluster=view.cluster,
            cluster_version=view.cluster_version,
            stream=effective_stream(view, pool),
        )
    except (OutsideError, Malformed):
        return Lineage()
    return found.lineage


async def of_rendered(
    ancestry: Ancestry,
    view: ClusterView,
    pool: Pool,
    rendered: MachineConfig,
    base: Base | UnknownBase | None,
    architecture: str,
) -> Lineage:
    """Return where the image of a rendered MachineConfig comes from; registries are asked only for
    what it does not say itself. `base`: the one that the pool should have."""
    found = lineage.from_rendered(rendered)
    if found.base is None:
        return await searched(ancestry, view, pool, rendered.os_image_url, architecture)
    if isinstance(base, Base) and found.base == base.image.digest:
        return replace(found, release_version=base.release.version)
    if found.release_version:
        return found
    named = await searched(ancestry, view, pool, rendered.os_image_url, architecture)
    return replace(found, release_version=named.release_version)


def architectures(view: ClusterView, pool: Pool) -> tuple[str, ...]:
    """Return those of the pool's nodes; where it has none yet, those it may get."""
    nodes = mco.nodes_of(view, pool.name) or view.nodes.values()
    return tuple(sorted({n.architecture for n in nodes if n.architecture})) or ("amd64",)


def of_release(running: Running | None, base: Base | UnknownBase) -> Running | None:
    """One base may be in several releases. Where it is the cluster's own it is of that release, and
    neither newer nor older, whichever of them somebody wrote down or the search met first."""
    if running is None or not is_on(running, base) or not isinstance(base, Base):
        return running
    said = replace(running.lineage, release_version=base.release.version)
    return replace(running, lineage=said)


def is_on(running: Running, base: Base | UnknownBase) -> bool:
    """Whether an override stands on exactly this base."""
    return isinstance(base, Base) and running.lineage.base == base.image.digest
