"""Where an image may be had besides where its name says: OpenShift's mirror sets.

Rules: api config/v1 types_image_digest_mirror_set.go; runtime-utils pkg/registries (how the MCO
turns them into registries.conf); containers-registries.conf(5) for how a name is matched.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from watcher.core.facts import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorRule:
    """One entry of an ImageDigestMirrorSet, ImageTagMirrorSet or ImageContentSourcePolicy."""

    source: str
    """``host[:port][/path]``, or ``*.domain`` for every host below it."""
    mirrors: tuple[str, ...]
    """``host[:port][/path]``, to be tried in this order."""
    by_digest: bool = True
    """Counts for pulls by digest (IDMS, ICSP); False: for pulls by tag (ITMS)."""
    never_contact_source: bool = False
    """mirrorSourcePolicy NeverContactSource."""


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Every rule that holds at one place: a cluster's, and those from files."""

    rules: tuple[MirrorRule, ...] = ()

    def places(self, repository: Repository, *, by_digest: bool) -> tuple[Repository, ...]:
        """Return where to look, in order: mirrors first, the source last unless that is forbidden.

        Never empty unless the source is forbidden and no mirror is named.
        """
        raise NotImplementedError

    @classmethod
    def joined(cls, *sets: Iterable[MirrorRule]) -> Self:
        """Return the rules of all, each once, in order."""
        return cls(tuple(dict.fromkeys(rule for rules in sets for rule in rules)))
