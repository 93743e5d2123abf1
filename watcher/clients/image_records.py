"""Payloads and image facts as small JSON values, for the store; and back.

What comes back is read strictly: a record that is damaged, or of another image or release of ours,
is no record.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from watcher.core.facts import Digest, Pullspec
from watcher.core.images import ImageFacts, Payload

FORM = 1
"""Another number is another form: such a record is read anew from the registry."""


class _Record(msgspec.Struct):
    form: int
    image: str


class _Payload(_Record):
    version: str
    tags: dict[str, str]
    annotations: dict[str, dict[str, str]]
    metadata: dict[str, str]


class _Facts(_Record):
    manifest_digest: str
    os: str
    architecture: str
    diff_ids: list[str]
    labels: dict[str, str]
    annotations: dict[str, str]
    created: str
    platforms: list[str]


R = TypeVar("R", bound=_Record)


def of_payload(payload: Payload) -> dict[str, object]:
    """Return what `payload` reads."""
    return {
        "form": FORM,
        "image": payload.image,
        "version": payload.version,
        "tags": dict(payload.tags),
        "annotations": {tag: dict(said) for tag, said in payload.annotations.items()},
        "metadata": dict(payload.metadata),
    }


def payload(said: Mapping[str, object], *, image: Pullspec) -> Payload:
    """Return the payload of this release; raise ValueError for any other record."""
    seen = _read(said, _Payload, image)
    return Payload(
        image=image,
        version=seen.version,
        tags=seen.tags,
        annotations=seen.annotations,
        metadata=seen.metadata,
    )


def of_facts(facts: ImageFacts) -> dict[str, object]:
    """Return what `facts` reads."""
    return {
        "form": FORM,
        "image": facts.image,
        "manifest_digest": facts.manifest_digest,
        "os": facts.os,
        "architecture": facts.architecture,
        "diff_ids": list(facts.diff_ids),
        "labels": dict(facts.labels),
        "annotations": dict(facts.annotations),
        "created": facts.created,
        "platforms": list(facts.platforms),
    }


def facts(said: Mapping[str, object], *, image: Pullspec, architecture: str) -> ImageFacts:
    """Return the facts of this image for this architecture; raise ValueError for any other."""
    seen = _read(said, _Facts, image)
    if seen.architecture != architecture:
        raise ValueError("a record of another architecture")
    return ImageFacts(
        image=image,
        manifest_digest=Digest(seen.manifest_digest),
        os=seen.os,
        architecture=architecture,
        diff_ids=tuple(map(Digest, seen.diff_ids)),
        labels=seen.labels,
        annotations=seen.annotations,
        created=seen.created,
        platforms=tuple(seen.platforms),
    )


def _read(said: Mapping[str, object], kind: type[R], image: Pullspec) -> R:
    try:
        seen = msgspec.convert(dict(said), kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if (seen.form, seen.image) != (FORM, image):
        raise ValueError("a record of another form or image")
    return seen
