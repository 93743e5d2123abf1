"""`relayer image-for`: which image a release names, as `oc adm release info --image-for` says it.

Printed verbatim, mirrors not considered. Which release: by digest, by tag, or by its version, which
the cluster and then the update graph are asked for.
"""

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.cli import output, reach
from watcher.cli.exits import Code, NotFound, Usage
from watcher.cli.output import Format, say, tell
from watcher.cli.reach import Flags, Need, Reach
from watcher.clients.registry import BadContent, Platform, RegistrySettings, read_payload
from watcher.clients.registry.errors import clean
from watcher.clients.registry.payload import ReleasePayload
from watcher.core.facts import Digest, Malformed, Pullspec, Repository, split_tag
from watcher.errors import Refused

if TYPE_CHECKING:
    from watcher.core.images import Payload

Wanted = Callable[[Platform], bool]
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_VERSION = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+([-+].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    tag: str = ""
    """Empty: the OS image."""
    release: str = ""
    """Empty: the cluster's."""
    stream: str = ""
    filter_by_os: str = ""
    """A regular expression for os/architecture[/variant], as in `oc`."""
    flags: Flags = field(default_factory=Flags)

    @property
    def cluster(self) -> Need:
        """What for a cluster is asked."""
        if not self.release:
            return Need.ANSWER
        return Need.HELP if _VERSION.fullmatch(self.release) else Need.NOTHING


def question(first: str, second: str, *, stream: str, filter_by_os: str, flags: Flags) -> Question:
    """Return what is asked; one argument alone is the release if it looks like one."""
    if first and not second and _is_release(first):
        first, second = "", first
    if first and stream:
        raise Usage("--stream chooses among OS images; with a TAG there is nothing to choose")
    try:
        re.compile(filter_by_os)
    except re.error as error:
        raise Usage(f"--filter-by-os: {error}") from error
    return Question(
        tag=first, release=second, stream=stream, filter_by_os=filter_by_os, flags=flags
    )


def _is_release(text: str) -> bool:
    return "/" in text or bool(_VERSION.fullmatch(text))


async def image_for(
    asked: Question, form: Format, *, patience: RegistrySettings | None = None
) -> Code:
    """Print the image; with JSON also what is known about it and its release."""
    wanted = _wanted(asked.filter_by_os)
    async with reach.opened(asked.flags, cluster=asked.cluster, patience=patience) as at:
        payload = await read_payload(at.client, await _release(asked, at), wanted=wanted)
        tag, stream = await _tag(asked, at, payload, wanted)
        image = payload.images.get(tag)
        if image is None:
            raise NotFound(f'no image tag "{tag}" exists in the release image {payload.image}')
        _check(image, tag, payload)
        if form.is_data:
            from watcher.cli import image_details

            details = await image_details.of(
                at, payload, tag=tag, stream=stream, image=image, wanted=wanted
            )
            output.data(details, form)
        else:
            say(image)
    return Code.OK


def _check(image: str, tag: str, payload: ReleasePayload) -> None:
    """A pullspec goes into scripts: what is none is not printed."""
    name, at, digest = image.partition("@")
    try:
        Repository(split_tag(name)[0])
        if at:
            Digest(digest)
    except Malformed as error:
        raise BadContent(f"tag {clean(tag)} of {payload.image}: {clean(error)}") from error
    if not at:
        tell(f"the release names {clean(tag)} by tag, which may move: {clean(image, limit=500)}")


# --- which release -------------------------------------------------------------------------------


async def _release(asked: Question, at: Reach) -> Pullspec:
    text = asked.release
    if not text:
        version = at.view.cluster_version if at.view else None
        if version is None:
            raise NotFound(f"{at.name} has no ClusterVersion `version`; name a release")
        return await _named_by(f"cluster {at.name}", version.desired_image, at)
    if _VERSION.fullmatch(text):
        from watcher.cli import releases

        who, image = await releases.image_of(at, text.removeprefix("v"), _architecture(asked))
        return await _named_by(who, image, at)
    if "/" not in text:
        raise Usage(f"{text} is no release: give a pullspec (…@sha256:… or …:tag) or a version")
    try:
        return await reach.resolved(text, at.client)
    except Malformed as error:
        raise Usage(str(error)) from error


async def _named_by(who: str, image: str, at: Reach) -> Pullspec:
    try:
        return await reach.resolved(image, at.client)
    except Malformed as error:
        raise Refused(f"{who} names a release image that is none: {clean(error)}") from error


def _wanted(filter_by_os: str) -> Wanted:
    if filter_by_os:
        pattern = re.compile(filter_by_os)
        return lambda offered: bool(pattern.search(str(offered)))
    machine = platform.machine()
    mine = ("linux", _MACHINES.get(machine, machine))
    return lambda offered: (offered.os, offered.architecture) == mine


def _architecture(asked: Question) -> str:
    """For the update graph: what the filter names, where it names one."""
    found = re.search(r"amd64|arm64|ppc64le|s390x|multi", asked.filter_by_os)
    return found[0] if found else ""


# --- which tag -----------------------------------------------------------------------------------


async def _tag(
    asked: Question, at: Reach, payload: ReleasePayload, wanted: Wanted
) -> tuple[str, str]:
    """The tag and the stream it is of; a tag that was named is of whatever stream it likes."""
    if asked.tag:
        return asked.tag, ""
    from watcher.clients.images import payload_of
    from watcher.core import mco, streams

    try:
        minor = mco.minor_of(payload.version)
    except ValueError as error:
        said = f"{payload.image} calls itself {clean(payload.version)!r}, which is no version"
        raise BadContent(f"{said}, so its OS image cannot be found: name a TAG") from error
    whole, stream = payload_of(payload), asked.stream or _default_stream(at, payload.version)
    if not asked.stream and (named := streams.named(whole, payload.version, stream)):
        return named, stream
    asks = minor >= streams.FIRST_LAYERABLE
    labels = await _labels(at, whole, wanted) if asks else {}
    chosen = streams.choose(whole, labels, version=payload.version, stream=stream)
    if not isinstance(chosen, str):
        raise NotFound(clean(chosen.because, limit=500))
    return chosen, stream


def _default_stream(at: Reach, version: str) -> str:
    """The cluster's; without one MCO's built-in default. OKD has one stream only."""
    from watcher.core import release, streams

    if at.view is None or streams.is_okd(version):
        return streams.built_in_default("", version)
    said = at.view.os_image_stream
    if said and said.default_stream:
        return said.default_stream
    return release.default_stream(at.view.cluster_version)


async def _labels(at: Reach, payload: "Payload", wanted: Wanted) -> dict[str, dict[str, str]]:
    """Of every image that may be the OS of some stream: its labels decide."""
    from watcher.cli import image_details
    from watcher.core import streams

    found: dict[str, dict[str, str]] = {}
    for tag in streams.candidates(payload):
        try:
            image = await reach.resolved(payload.tags[tag], at.client)
        except Malformed as error:
            raise BadContent(f"tag {clean(tag)} of {payload.image}: {clean(error)}") from error
        _, manifest = await image_details.manifests(at, image, wanted)
        found[tag] = (await at.client.config_of(manifest)).labels
    return found
