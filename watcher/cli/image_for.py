"""`relayer image-for`: which image a release names, as `oc adm release info --image-for` says it.

Printed verbatim, mirrors not considered. Which release: by digest, by tag, or by its version, which
the cluster and then the update graph are asked for.
"""

import platform
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from watcher.cli import output, reach
from watcher.cli.exits import Code, NotFound, Usage
from watcher.cli.output import Format, say, tell
from watcher.cli.reach import Flags, Reach
from watcher.clients.registry import Platform, read_payload
from watcher.clients.registry.payload import ReleasePayload
from watcher.core.facts import Digest, Malformed, Pullspec, Repository, split_tag

if TYPE_CHECKING:
    from watcher.core.images import Payload

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


def question(first: str, second: str, *, stream: str, filter_by_os: str, flags: Flags) -> Question:
    """Return what is asked; one argument alone is the release if it looks like one."""
    if first and not second and _is_release(first):
        first, second = "", first
    try:
        re.compile(filter_by_os)
    except re.error as error:
        raise Usage(f"--filter-by-os: {error}") from error
    return Question(
        tag=first, release=second, stream=stream, filter_by_os=filter_by_os, flags=flags
    )


def _is_release(text: str) -> bool:
    return "/" in text or bool(_VERSION.fullmatch(text))


async def image_for(asked: Question, form: Format) -> Code:
    """Print the image; with JSON also what is known about it and its release."""
    needs = not asked.release or bool(_VERSION.fullmatch(asked.release))
    async with reach.opened(asked.flags, needs_cluster=needs) as at:
        release = await _release(asked, at)
        payload = await read_payload(at.client, release, wanted=_wanted(asked.filter_by_os))
        tag, stream = await _tag(asked, at, payload)
        image = payload.images.get(tag)
        if image is None:
            shown = output.clean(tag)
            raise NotFound(f'no image tag "{shown}" exists in the release image {payload.image}')
        _check(image, tag)
        if form is Format.JSON:
            from watcher.cli import image_details

            output.as_json(await image_details.of(at, payload, tag=tag, stream=stream, image=image))
        else:
            say(image)
    return Code.OK


def _check(image: str, tag: str) -> None:
    """A pullspec goes into scripts: what is none is not printed."""
    name, at, digest = image.partition("@")
    try:
        Repository(split_tag(name)[0])
        if at:
            Digest(digest)
        else:
            tell(f"the release names {tag} by tag, which may move: {image}")
    except Malformed as error:
        raise NotFound(f"tag {tag} of the release names no image: {error}") from error


# --- which release -------------------------------------------------------------------------------


async def _release(asked: Question, at: Reach) -> Pullspec:
    text = asked.release
    if not text:
        version = at.view.cluster_version if at.view else None
        if version is None:
            raise NotFound(f"{at.name} has no ClusterVersion `version`; name a release")
        return _pullspec(version.desired_image)
    if "@" in text:
        return _pullspec(text)
    if "/" in text:
        try:
            name, tag = split_tag(text)
            place = Repository(name), tag or "latest"
        except Malformed as error:
            raise Usage(str(error)) from error
        manifest = await at.client.manifest(place)
        return place[0].at(manifest.digest)
    if not _VERSION.fullmatch(text):
        raise Usage(f"{text} is no release: give a pullspec (…@sha256:… or …:tag) or a version")
    from watcher.cli import releases

    return _pullspec(await releases.image_of(at, text.removeprefix("v"), _architecture(asked)))


def _pullspec(text: str) -> Pullspec:
    try:
        return Pullspec.parse(text)
    except Malformed as error:
        raise Usage(str(error)) from error


def _wanted(filter_by_os: str) -> "Any":
    if filter_by_os:
        pattern = re.compile(filter_by_os)
        return lambda offered: bool(pattern.search(str(offered)))
    mine = Platform("linux", _machine())
    return lambda offered: (offered.os, offered.architecture) == (mine.os, mine.architecture)


def _machine() -> str:
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


def _architecture(asked: Question) -> str:
    """For the update graph: what the filter names, where it names one."""
    found = re.search(r"amd64|arm64|ppc64le|s390x|multi", asked.filter_by_os)
    return found[0] if found else ""


# --- which tag -----------------------------------------------------------------------------------


async def _tag(asked: Question, at: Reach, payload: ReleasePayload) -> tuple[str, str]:
    """The tag and the stream it is of; a tag that was named is of whatever stream it likes."""
    if asked.tag and not asked.stream:
        return asked.tag, ""
    from watcher.clients.images import payload_of
    from watcher.core import release, streams

    whole = payload_of(payload)
    default = release.default_stream(at.view.cluster_version if at.view else None)
    if at.view is None:
        default = streams.built_in_default("", payload.version)
    elif at.view.os_image_stream and at.view.os_image_stream.default_stream:
        default = at.view.os_image_stream.default_stream
    stream = asked.stream or default
    if asked.tag:
        return asked.tag, stream
    if not asked.stream and (named := streams.named(whole, payload.version, stream)):
        return named, stream
    labels = await _labels(at, whole)
    chosen = streams.choose(whole, labels, version=payload.version, stream=stream)
    if not isinstance(chosen, str):
        raise NotFound(chosen.because)
    return chosen, stream


async def _labels(at: Reach, payload: "Payload") -> dict[str, dict[str, str]]:
    """Of every image that may be the OS of some stream: its labels decide."""
    from watcher.core import streams

    found: dict[str, dict[str, str]] = {}
    for tag in streams.candidates(payload):
        top = await at.client.manifest(_pullspec(payload.tags[tag]))
        if top.is_index:
            top = await at.client.child(top, top.entries[0].descriptor)
        found[tag] = (await at.client.config_of(top)).labels
    return found
