"""Where an image may be had besides where its name says: OpenShift's mirror sets.

Rules: api config/v1 types_image_digest_mirror_set.go; runtime-utils pkg/registries (how the MCO
turns them into registries.conf); containers-registries.conf(5) for how a name is matched.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from watcher.core.facts import Malformed, Repository

_WILDCARD = "*."


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

    @classmethod
    def read(
        cls,
        source: str,
        mirrors: Iterable[str],
        *,
        by_digest: bool = True,
        never_contact_source: bool = False,
    ) -> Self | None:
        """Return the rule as it was written; None where it names no mirror, since then the MCO
        leaves out its policy too. Raise Malformed for a name that no node could use either."""
        named = tuple(mirrors)
        if all(mirror == source for mirror in named):
            return None
        domain = source.removeprefix(_WILDCARD)
        if source == domain:
            _check(source, "source")
        elif set(domain) & set("/:@*"):
            raise Malformed(f"a wildcard has neither port nor path: {source[:200]!r}")
        else:
            _check(domain, "source")
        for mirror in named:
            _check(mirror, "mirror")
        return cls(
            source=source,
            mirrors=named,
            by_digest=by_digest,
            never_contact_source=never_contact_source,
        )


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Every rule that holds at one place: a cluster's, and those from files."""

    rules: tuple[MirrorRule, ...] = ()

    def places(self, repository: Repository, *, by_digest: bool) -> tuple[Repository, ...]:
        """Return where to look, in order: mirrors first, the source last unless that is forbidden.

        Empty only where the source is forbidden and no mirror is named that may be asked.
        """
        if not self.rules:
            return (repository,)
        named = [*self._mirrored(repository, by_digest=by_digest), repository]
        # As for nodes, a mirror counts as blocked where a rule about it says so, like any name.
        return tuple(place for place in dict.fromkeys(named) if not self._is_forbidden(place))

    def _mirrored(self, repository: Repository, *, by_digest: bool) -> Iterator[Repository]:
        for rule in self._about(repository):
            if rule.by_digest != by_digest:
                continue
            rest = repository[_matched(rule.source, repository) :]
            for mirror in rule.mirrors:
                try:
                    yield Repository(mirror + rest)
                except Malformed:
                    continue  # a mere host, named as the mirror of one whole repository

    def _is_forbidden(self, repository: Repository) -> bool:
        return any(rule.never_contact_source for rule in self._about(repository))

    def _about(self, repository: Repository) -> list[MirrorRule]:
        """The rules of the one source that counts: the longest that matches.

        The others do not, even if none of these is for this way to pull: registries.conf has one
        entry for a source, with its mirrors for digests and those for tags.
        """
        fitting = [rule for rule in self.rules if _matched(rule.source, repository)]
        chosen = max((rule.source for rule in fitting), key=_rank, default="")
        return [rule for rule in fitting if rule.source == chosen]

    @classmethod
    def joined(cls, *sets: Iterable[MirrorRule]) -> Self:
        """Return the rules of all, each once, in order."""
        return cls(tuple(dict.fromkeys(rule for rules in sets for rule in rules)))


def _rank(source: str) -> tuple[int, bool]:
    """The wildcard's two characters count in its length; of two that are as long it loses."""
    return len(source), not source.startswith(_WILDCARD)


def _matched(source: str, repository: Repository) -> int:
    """How many characters of `repository` the source stands for; 0: it does not match."""
    if source.startswith(_WILDCARD):
        name = repository.host.partition(":")[0]
        # What a mirror replaces is the whole name of the host, not only the domain.
        return len(name) if name.endswith(source[1:]) else 0
    is_it = repository == source or repository.startswith(f"{source}/")
    return len(source) if source and is_it else 0


def _check(name: str, what: str) -> None:
    """Raise Malformed unless it is ``host[:port][/path]``."""
    try:
        Repository(name if "/" in name else f"{name}/any")
    except Malformed:
        raise Malformed(f"not a {what} of a mirror set: {name[:200]!r}") from None
