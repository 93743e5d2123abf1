"""Payloads and image facts as small JSON values, for the store; and back."""

from collections.abc import Mapping
from typing import Any

from watcher.core.facts import Digest, Pullspec
from watcher.core.images import ImageFacts, Payload

FORM = 1
"""Another number is another form: such a record is read anew from the registry."""


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


def payload(said: Mapping[str, Any]) -> Payload:
    """Return the payload; raise ValueError, KeyError or TypeError for another form."""
    _check_form(said)
    return Payload(
        image=Pullspec(said["image"]),
        version=said["version"],
        tags=said["tags"],
        annotations=said["annotations"],
        metadata=said["metadata"],
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


def facts(said: Mapping[str, Any]) -> ImageFacts:
    """Return the facts; raise ValueError, KeyError or TypeError for another form."""
    _check_form(said)
    return ImageFacts(
        image=Pullspec(said["image"]),
        manifest_digest=Digest(said["manifest_digest"]),
        os=said["os"],
        architecture=said["architecture"],
        diff_ids=tuple(map(Digest, said["diff_ids"])),
        labels=said["labels"],
        annotations=said["annotations"],
        created=said["created"],
        platforms=tuple(said["platforms"]),
    )


def _check_form(said: Mapping[str, Any]) -> None:
    if said["form"] != FORM:
        raise ValueError(f"form {said['form']}")
