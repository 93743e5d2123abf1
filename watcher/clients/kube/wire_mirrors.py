"""Mirror sets from the API's JSON: three kinds, one meaning.

api config/v1 types_image_digest_mirror_set.go and types_image_tag_mirror_set.go, operator/v1alpha1
types_image_content_source_policy.go.
"""

from collections.abc import Iterable

from watcher.clients.kube.wire import MetaWire, Wire
from watcher.core.mirrors import MirrorRule

_NEVER = "NeverContactSource"


class MirrorEntry(Wire, frozen=True):
    source: str = ""
    mirrors: list[str] | None = None
    mirror_source_policy: str | None = None
    """Not in an ImageContentSourcePolicy."""


class DigestMirrorSpec(Wire, frozen=True):
    image_digest_mirrors: list[MirrorEntry] | None = None


class DigestMirrorSetWire(Wire, frozen=True):
    metadata: MetaWire
    spec: DigestMirrorSpec | None = None


class TagMirrorSpec(Wire, frozen=True):
    image_tag_mirrors: list[MirrorEntry] | None = None


class TagMirrorSetWire(Wire, frozen=True):
    metadata: MetaWire
    spec: TagMirrorSpec | None = None


class ContentSourceEntry(Wire, frozen=True):
    source: str = ""
    mirrors: list[str] | None = None


class ContentSourceSpec(Wire, frozen=True):
    repository_digest_mirrors: list[ContentSourceEntry] | None = None


class ContentSourcePolicyWire(Wire, frozen=True):
    metadata: MetaWire
    spec: ContentSourceSpec | None = None


MirrorSetWire = DigestMirrorSetWire | TagMirrorSetWire | ContentSourcePolicyWire


def mirror_rules(wire: MirrorSetWire) -> tuple[MirrorRule, ...]:
    """The rules of one object, in order.

    Raise Malformed if one entry cannot be used: the MCO takes nothing of such a set either.
    """
    match wire:
        case DigestMirrorSetWire(spec=spec):
            return _rules(spec.image_digest_mirrors if spec else (), by_digest=True)
        case TagMirrorSetWire(spec=spec):
            return _rules(spec.image_tag_mirrors if spec else (), by_digest=False)
        case ContentSourcePolicyWire(spec=spec):
            return _rules(spec.repository_digest_mirrors if spec else (), by_digest=True)


def _rules(
    entries: Iterable[MirrorEntry | ContentSourceEntry] | None, *, by_digest: bool
) -> tuple[MirrorRule, ...]:
    found = [
        MirrorRule.read(
            entry.source,
            entry.mirrors or (),
            by_digest=by_digest,
            never_contact_source=isinstance(entry, MirrorEntry)
            and entry.mirror_source_policy == _NEVER,
        )
        for entry in entries or ()
    ]
    return tuple(rule for rule in found if rule)
