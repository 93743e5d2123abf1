"""Find the base that an image was built on, among the releases it may come from.

What the image claims is asked first. Where it says nothing, releases are read until one of their
OS images has the image's first layers: those the cluster had, then those of its channel. Each of
them costs a payload, so the image's inherited OS version says where to look first.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import semver

from watcher.core import graph, lineage, mco, os_version, streams
from watcher.core.cluster import ClusterVersion
from watcher.core.facts import ClusterName, Digest, Malformed, Pullspec
from watcher.core.graph import SeenGraph
from watcher.core.images import ImageFacts, Payload
from watcher.core.lineage import Candidate, Lineage, SaidBy
from watcher.core.release import Release
from watcher.ports import Images, OutsideError, Transient

NOWHERE = ClusterName("")
MOST_RELEASES = 40
"""Releases read for one image: more than a minor has had in a year and a half."""
AT_ONCE = 8
SEARCH_SECONDS = 60.0
"""The longest search for one image: whoever looks at a pool waits for it."""
KEPT_SECONDS, KEPT = 1800.0, 256
"""What was found, or not found, is not looked for again for that long."""
UNREADABLE_SECONDS = 300.0
"""A release that nobody served in time is not waited for again, for whatever image, for so long."""
PROBES = 3
"""Releases read at once while the search closes in on a time: they quarter what is left."""
MINORS_OF_RHEL: Mapping[str, tuple[tuple[int, int], ...]] = {
    "8.6": ((4, 12),),
    "9.2": ((4, 13), (4, 14), (4, 15)),
    "9.4": ((4, 16), (4, 17), (4, 18)),
    "9.6": ((4, 19), (4, 20), (4, 21)),
    "9.8": ((4, 22), (5, 0)),
    "10.2": ((4, 22), (5, 0)),
}
"""Where an OS version says only its RHEL. Source: openshift/os docs/faq.md."""


class Graphs(Protocol):
    async def graph(
        self, *, url: str, channel: str, architecture: str, version: str = ""
    ) -> SeenGraph:
        """The update graph of a channel, perhaps an older one. Raise Refused or Transient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestors:
    """Where an image comes from, and how far that was looked into."""

    lineage: Lineage
    looked_at: tuple[str, ...] = ()
    """Versions of the releases that were read, in order."""
    gaps: tuple[str, ...] = ()
    """Sentences: what could not be read, or was not looked at. Without any, «nobody» means that
    none of these releases is its base."""


class Ancestry:
    """Finds lineages; what it reads of releases is kept by `images`."""

    def __init__(
        self,
        images: Images,
        graphs: Graphs,
        *,
        graph_url: str = "",
        search_seconds: float = SEARCH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`graph_url`: asked instead of the cluster's update service."""
        self._images, self._graphs, self._graph_url = images, graphs, graph_url
        self._search_seconds, self._monotonic = search_seconds, monotonic
        self._kept: OrderedDict[tuple[Hashable, ...], tuple[float, Ancestors]] = OrderedDict()
        self._silent: dict[ClusterName, _Silent] = {}

    async def of(
        self,
        image: Pullspec,
        architecture: str = "amd64",
        *,
        cluster: ClusterName = NOWHERE,
        cluster_version: ClusterVersion | None = None,
        stream: str = "",
        thorough: bool = False,
    ) -> Ancestors:
        """Return the lineage of any image; raise Refused or Transient if it cannot be read itself.

        `stream`: of the pool, looked at first. `thorough`: prove every claim. Else ours is
        believed, and another's is held against the newest releases of the cluster only.
        """
        images = self._images.seen_from(cluster)
        facts = await images.facts(image, architecture)
        claim = lineage.from_image(facts)
        if claim.said_by is SaidBy.OURS and not thorough:
            return Ancestors(lineage=claim)
        known = _known(cluster_version)
        key = (cluster, image, architecture, stream, thorough, *(r.image for r in known))
        until, kept = self._kept.get(key, (0.0, None))
        if kept is not None and self._monotonic() < until:
            return kept
        everywhere = thorough or claim.said_by is SaidBy.UNKNOWN
        most = MOST_RELEASES if everywhere else AT_ONCE
        stream = stream or facts.labels.get(streams.STREAM_CLASS, "")
        silent = self._silent.setdefault(cluster, _Silent(self._monotonic))
        search = _Search(images, facts, stream, most, silent)
        try:
            async with asyncio.timeout(self._search_seconds):
                await search.among(known)
                if everywhere:
                    await self._in_graphs(search, cluster_version)
                    await search.far_away()
        except TimeoutError:
            search.gaps.append(f"not looked at further: {self._search_seconds:g} s were over")
        return self._keep(key, search)

    def _keep(self, key: tuple[Hashable, ...], search: "_Search") -> Ancestors:
        """What was found is looked for again after a while: it may have been incomplete."""
        found = Ancestors(
            lineage=lineage.of_image(search.facts, search.candidates),
            looked_at=tuple(search.looked_at),
            gaps=tuple(search.gaps),
        )
        self._kept[key] = (self._monotonic() + KEPT_SECONDS, found)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    async def _in_graphs(self, search: "_Search", cv: ClusterVersion | None) -> None:
        """Among the releases of the cluster's channel; of the image's own minor if that has none.

        An image made by hand years ago is of a minor that the channel has long left.
        """
        channels = [cv.channel] if cv is not None and cv.channel else []
        minors = [f"stable-{major}.{minor}" for major, minor in search.minors]
        for channel in dict.fromkeys([*channels, *minors]):
            if search.is_over or (channel not in channels and search.is_near):
                return
            try:
                seen = await self._graphs.graph(
                    url=graph.service_of(cv, self._graph_url),
                    channel=channel,
                    architecture=graph.architecture_of(cv, (search.facts.architecture,)),
                    version=cv.desired_version if cv and channel == cv.channel else "",
                )
            except OutsideError as error:
                search.gaps.append(f"update graph of {channel}: {error}")
                continue
            if seen.stale_because:
                search.gaps.append(f"update graph of {channel} is an old one: {seen.stale_because}")
            await search.among(_releases(seen.graph))
        if not search.is_over and not channels and not minors:
            search.gaps.append("there is no channel whose releases could be looked at")


def _known(cv: ClusterVersion | None) -> list[Release]:
    """What the cluster has and had, newest first, then what it is offered."""
    if cv is None:
        return []
    said = [(cv.desired_version, cv.desired_image)]
    said += [(entry.version, entry.image) for entry in cv.history]
    said += [(update.version, update.image) for update in cv.offered]
    return _valid(said)


def _releases(of: graph.Graph) -> list[Release]:
    nodes = sorted(of.nodes, key=lambda node: graph.order(node.version), reverse=True)
    return _valid([(node.version, node.payload) for node in nodes])


def _valid(said: Sequence[tuple[str, str]]) -> list[Release]:
    found = []
    for version, image in said:
        try:
            found.append(Release(version=version, image=Pullspec(image)))
        except Malformed:
            continue  # by tag: nobody knows what it was
    return found


class _Silent:
    """Releases that nobody served a moment ago, as seen from one cluster: where nothing answers,
    the search for each of many images would wait for all of them again."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until: dict[Digest, float] = {}

    def note(self, release: Digest) -> None:
        now = self._monotonic()
        self._until = {one: until for one, until in self._until.items() if now < until}
        self._until[release] = now + UNREADABLE_SECONDS

    def __contains__(self, release: Digest) -> bool:
        return self._monotonic() < self._until.get(release, 0.0)


class _Search:
    """The search for one image's base: what was read, what is left, and when it is over."""

    def __init__(
        self, images: Images, facts: ImageFacts, stream: str, most: int, silent: _Silent
    ) -> None:
        self._images, self.facts, self._stream, self._most = images, facts, stream, most
        self._silent = silent
        self._wanted = os_version.parse(os_version.machine_os_of({}, facts.labels))
        self._seen: set[str] = set()
        self._far: list[Release] = []
        self._times: dict[str, datetime] = {}
        """Version → when the OS image of our line was built."""
        self.candidates: list[Candidate] = []
        self.looked_at: list[str] = []
        self.gaps: list[str] = []
        self.is_over = False
        self.is_near = False
        """Some release of the image's own minor was read."""

    @property
    def minors(self) -> tuple[tuple[int, int], ...]:
        """Of the OpenShift releases that the image's OS may be of; empty if it does not say."""
        if self._wanted is None:
            return ()
        of_release = self._wanted.ocp_minor
        return (of_release,) if of_release else MINORS_OF_RHEL.get(self._wanted.rhel, ())

    async def among(self, releases: Sequence[Release]) -> None:
        """Read them until one fits; those of other minors than the image's are put off."""
        left: list[Release] = []
        for release in releases:
            if release.image.digest not in self._seen:
                self._seen.add(release.image.digest)
                left.append(release)
        if self.minors:
            self._far += [r for r in left if _minor_of(r.version) not in self.minors]
            left = [r for r in left if _minor_of(r.version) in self.minors]
            self.is_near = self.is_near or bool(left)
        await self._until_found(left)

    async def far_away(self) -> None:
        """Read what was put off."""
        await self._until_found(self._far)

    async def _until_found(self, left: Sequence[Release]) -> None:
        while left and not self.is_over:
            room = self._most - len(self.looked_at)
            if room <= 0:
                self.gaps.append(f"{len(left)} more releases were not looked at")
                return
            batch = self._next(left)[:room]
            left = [release for release in left if release not in batch]
            await self._read(batch)

    def _next(self, left: Sequence[Release]) -> Sequence[Release]:
        """Those to read now. A long list is narrowed by time, as one looks a word up."""
        if self._wanted is None or len(left) <= AT_ONCE:
            return left[:AT_ONCE]
        for minor in self.minors:
            line = [r for r in left if _minor_of(r.version) == minor]
            within = self._within(sorted(line, key=_order), minor, self._wanted.built_at)
            if within:
                step = max(1, len(within) // (PROBES + 1))
                return within[step - 1 :: step][:PROBES]
        # Not where it should be: the label is wrong, or its release was withdrawn.
        return left[:AT_ONCE]

    def _within(
        self, line: Sequence[Release], minor: tuple[int, int], wanted: datetime
    ) -> list[Release]:
        """Those of one minor that can be of the wanted time, given what was read of it."""
        read = [(graph.order(v), t) for v, t in self._times.items() if _minor_of(v) == minor]
        earlier = max((version for version, time in read if time < wanted), default=None)
        later = min((version for version, time in read if time > wanted), default=None)
        return [
            release
            for release in line
            if (earlier is None or _order(release) > earlier)
            and (later is None or _order(release) < later)
        ]

    async def _read(self, releases: Sequence[Release]) -> None:
        """Read at most AT_ONCE of them, all at the same time."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._candidates(release)) for release in releases]
        self.looked_at += [release.version for release in releases]
        for task in tasks:
            self.candidates += task.result()
        fitting = (lineage.by_layers, lineage.by_os_version)
        self.is_over = any(fits(self.facts, self.candidates) for fits in fitting)

    async def _candidates(self, release: Release) -> list[Candidate]:
        """The OS images of one release; what cannot be read is a gap and no end."""
        if release.image.digest in self._silent:
            self.gaps.append(f"release {release.version}: it did not answer a moment ago")
            return []
        try:
            payload = await self._images.payload(release.image)
        except (Transient, asyncio.CancelledError) as error:
            self._silent.note(release.image.digest)
            if isinstance(error, asyncio.CancelledError):
                raise
            self.gaps.append(f"release {release.version}: {error}")
            return []
        except (OutsideError, Malformed) as error:
            self.gaps.append(f"release {release.version}: {error}")
            return []
        found = []
        for tag in _tags(payload, release.version, self._stream):
            try:
                found.append(await self._candidate(release, payload, tag))
            except (OutsideError, Malformed) as error:
                self.gaps.append(f"release {release.version}, {tag}: {error}")
        return [candidate for candidate in found if candidate is not None]

    async def _candidate(self, release: Release, payload: Payload, tag: str) -> Candidate | None:
        base = Pullspec(payload.tags[tag])
        facts = await self._images.facts(base, self.facts.architecture)
        if streams.is_extensions(facts.labels):
            return None
        version = os_version.machine_os_of(payload.annotations.get(tag, {}), facts.labels)
        built, wanted = os_version.parse(version), self._wanted
        if built and wanted and built.line == wanted.line:
            self._times[release.version] = built.built_at
        return Candidate(
            release_version=release.version,
            release_image=release.image,
            base=base,
            manifest_digest=facts.manifest_digest,
            diff_ids=facts.diff_ids,
            os_version=version,
        )


def _tags(payload: Payload, version: str, stream: str) -> list[str]:
    """Every tag that may hold an OS image, those that the names tell first."""
    try:
        named = [t for s in (stream, streams.RHEL_9) for t in streams.os_tags(version, s)]
    except ValueError:
        named = []  # a version that is none
    return list(
        dict.fromkeys(t for t in (*named, *streams.candidates(payload)) if t in payload.tags)
    )


def _minor_of(version: str) -> tuple[int, int] | None:
    try:
        return mco.minor_of(version)
    except ValueError:
        return None


def _order(release: Release) -> tuple[bool, semver.Version]:
    return graph.order(release.version)
