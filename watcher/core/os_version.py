"""Versions of the OS image (`machine-os`): what they tell, and when it was built.

Three grammars are in use, all with the time of the build in UTC (openshift/os docs/faq.md):

- ``416.94.202409040013-0``: OpenShift 4.16 on RHEL 9.4; OKD has ``418.9.202504300632-0``.
- ``9.6.20251201-1``: RHEL 9.6, from 4.19 on; OKD has ``9.0.20250515-0`` for CentOS Stream 9.
- ``39.20240210.3.0``: Fedora CoreOS, in OKD up to 4.15.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from watcher.core.images import VERSION

VERSIONS = "io.openshift.build.versions"
"""Annotation of a payload's tag, and label of its image: ``machine-os=…,kubernetes=…``."""
MACHINE_OS = "machine-os"
_LONGEST = 64
"""Characters of any component's version; real ones have under 40."""
_MOST = 4096
"""Characters of the annotation that are looked at; a real one has under 200."""

_OPENSHIFT = re.compile(r"([4-9])([0-9]{1,2})\.([0-9]{1,3})\.([0-9]{12}|[0-9]{8})[-.]([0-9]{1,6})")
_ENTERPRISE = re.compile(r"([1-3]?[0-9])\.([0-9]{1,2})\.([0-9]{12}|[0-9]{8})-([0-9]{1,6})")
_FEDORA = re.compile(r"([1-9][0-9])\.([0-9]{8})\.([0-9]{1,6})\.([0-9]{1,6})")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")


class Grammar(StrEnum):
    OPENSHIFT = "openshift"
    """``416.94.202409040013-0``"""
    ENTERPRISE = "enterprise"
    """``9.6.20251201-1``"""
    FEDORA = "fedora"
    """``39.20240210.3.0``"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsVersion:
    text: str
    grammar: Grammar
    ocp_minor: tuple[int, int] | None
    """Of the OpenShift release it was made for; None where the grammar does not say it."""
    rhel: str
    """``9.4``; ``9`` where the minor is not said; of Fedora CoreOS the release of Fedora."""
    built_at: datetime
    """In UTC; to the day or to the minute, as the version says it."""
    revision: tuple[int, ...]
    """The numbers after the time."""

    @property
    def line(self) -> str:
        """What later versions are made in: ``el9``, ``el10`` or ``fedora``."""
        is_fedora = self.grammar is Grammar.FEDORA
        return "fedora" if is_fedora else f"el{self.rhel.partition('.')[0]}"


def parse(text: str) -> OsVersion | None:
    """Read a version of any of the grammars; None for everything else."""
    for pattern, read in ((_OPENSHIFT, _openshift), (_ENTERPRISE, _enterprise), (_FEDORA, _fedora)):
        if found := pattern.fullmatch(text):
            try:
                return read(text, *found.groups())
            except ValueError:
                return None  # a thirteenth month
    return None


def _openshift(
    text: str, major: str, minor: str, rhel: str, stamp: str, revision: str
) -> OsVersion:
    return OsVersion(
        text=text,
        grammar=Grammar.OPENSHIFT,
        ocp_minor=(int(major), int(minor)),
        rhel=_rhel(rhel),
        built_at=_time(stamp),
        revision=(int(revision),),
    )


def _rhel(digits: str) -> str:
    """``94`` → ``9.4``, ``102`` → ``10.2``, ``9`` → ``9``."""
    major = digits[:2] if digits.startswith("1") and len(digits) > 1 else digits[:1]
    minor = digits[len(major) :]
    return f"{major}.{minor}" if minor else major


def _enterprise(text: str, major: str, minor: str, stamp: str, revision: str) -> OsVersion:
    return OsVersion(
        text=text,
        grammar=Grammar.ENTERPRISE,
        ocp_minor=None,
        rhel=f"{major}.{minor}",
        built_at=_time(stamp),
        revision=(int(revision),),
    )


def _fedora(text: str, release: str, stamp: str, *revision: str) -> OsVersion:
    return OsVersion(
        text=text,
        grammar=Grammar.FEDORA,
        ocp_minor=None,
        rhel=release,
        built_at=_time(stamp),
        revision=tuple(map(int, revision)),
    )


def _time(stamp: str) -> datetime:
    """Read yyyymmdd or yyyymmddHHMM; raise ValueError."""
    hour, minute = (int(stamp[8:10]), int(stamp[10:12])) if len(stamp) > 8 else (0, 0)
    return datetime(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]), hour, minute, tzinfo=UTC)


def is_older(version: OsVersion, *, than: OsVersion) -> bool | None:
    """Whether it comes before another of its grammar and line; None for those of another.

    Within these the build's time decides, and then the revision.
    """
    if (version.grammar, version.line) != (than.grammar, than.line):
        return None
    return (version.built_at, version.revision) < (than.built_at, than.revision)


def days_between(older: OsVersion, newer: OsVersion) -> int | None:
    """Whole days from one build to the next, negative if the first is the later one.

    None between lines (RHEL 9 and 10, Fedora): their builds have nothing to do with each other.
    The time means the same in both grammars of one line, so an upgrade to 4.19 still counts.
    """
    if older.line != newer.line:
        return None
    # Of dates: some versions say the minute and some do not.
    return (newer.built_at.date() - older.built_at.date()).days


def versions_of(text: str) -> Mapping[str, str]:
    """Read ``key=version,key=version``; what is malformed is left out, the first of a key counts.

    As oc pkg/cli/admin/release/annotations.go writes it.
    """
    found: dict[str, str] = {}
    for part in text[:_MOST].split(","):
        key, equals, version = part.strip().partition("=")
        if equals and key and len(version) <= _LONGEST and _WORD.fullmatch(version):
            found.setdefault(key, version)
    return found


def machine_os_of(annotations: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Return the version of an OS image, given its payload tag's annotations and its own labels.

    The annotation of this very tag, never of the whole payload: a release of two streams has two
    versions, and the lesser one is of the other stream. 4.12 has it on machine-os-content only,
    not on rhel-coreos-8, so then the image's labels say it. Empty if nobody does.
    """
    said = versions_of(annotations.get(VERSIONS, "")).get(MACHINE_OS, "")
    if said:
        return said
    own = labels.get(VERSION, "")
    inherited = versions_of(labels.get(VERSIONS, "")).get(MACHINE_OS, "")
    # A layer may set the version label to its own; the other one is OpenShift's alone.
    for text in (own, inherited):
        if parse(text):
            return text
    return inherited
