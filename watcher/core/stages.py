"""Where a cluster stands on its way between releases, as people are told it.

`release.release_state` decides what the service does; this tells the whole story for findings,
alerts and pages, and the two agree on what is completed. Rules: cluster-version-operator
pkg/cvo/status.go (conditions and history), pkg/cvo/sync_worker.go (ReleaseAccepted, equalDigest).
Images are compared by digest: one version can have several (single and multi architecture).
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from watcher.core import mco
from watcher.core.cluster import ClusterVersion, Condition, HistoryEntry
from watcher.core.facts import Malformed, Pullspec
from watcher.core.facts import same_image as same_image

COMPLETED, PARTIAL = "Completed", "Partial"
_WORKING = re.compile(r"Working towards [^\s:]+: (.+)", re.DOTALL)
_DONE = re.compile(r"([0-9]{1,6}) of ([0-9]{1,6}) done")
_LONGEST = 300
"""Characters of a condition's message in a sentence; the CVO's own may have thousands."""


class StageKind(StrEnum):
    REQUESTED = "requested"
    """Somebody asked for another release, and the version operator has not answered yet."""
    NOT_ACCEPTED = "not-accepted"
    """It has answered: it has not (yet) been able to take that release."""
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    FAILING = "failing"
    """It says of itself that it fails, on the way or after it."""
    UNKNOWN = "unknown"
    """The ClusterVersion cannot be read, or names no release by version and digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeen:
    kind: StageKind
    sentence: str
    version: str = ""
    """The release completed last, as `oc get clusterversion` shows it; if none was (a cluster being
    installed), the one it works towards."""
    image: str = ""
    target_version: str = ""
    """The release asked for or worked towards; empty when completed. May be empty for a request by
    image alone."""
    target_image: str = ""
    """Empty for a request by version alone."""
    completed: bool = False
    """history[0] is what status.desired names, and Completed; also while another is asked for."""
    reason: str = ""
    """Of the condition that says not-accepted or failing, e.g. VerifyPayloadVersion."""
    progress: str = ""
    """What the version operator says of its work: ``761 of 890 done (85% complete)``."""
    done: int | None = None
    total: int | None = None
    """Manifests applied and to be applied."""
    since: datetime | None = None
    """When the condition that says so last changed; None: nobody says."""
    superseded: tuple[HistoryEntry, ...] = ()
    """Releases begun and given up, newest first. Such an entry has a completionTime too."""
    same_version_other_image: bool = False
    """From and to have one version and two images: to multi architecture, or between nightlies."""


def stage_of(cv: ClusterVersion | None) -> StageSeen:
    """Return the one stage that a ClusterVersion is in. Conditions of unknown types are ignored."""
    if cv is None:
        return StageSeen(kind=StageKind.UNKNOWN, sentence="the ClusterVersion could not be read")
    if problem := _unreadable(cv):
        return StageSeen(kind=StageKind.UNKNOWN, sentence=problem, superseded=_superseded(cv))
    answer, failing = _condition(cv, "ReleaseAccepted"), _condition(cv, "Failing")
    # Right after an edit the answer is still about what was asked for before.
    answered = cv.meta.generation == cv.observed_generation and answer.status in (
        "False",
        "Unknown",
    )
    # A request by version for another architecture of the same version is seen by this alone.
    unseen = answered and not cv.requested_image and bool(cv.requested_version)
    if _differs(cv) or unseen:
        return _asked(cv, answer if answered else None)
    if failing.status == "True":
        return _failing(cv, failing)
    if is_completed(cv):
        return _seen(cv, StageKind.COMPLETED, f"{cv.desired_version} is completed", "Progressing")
    return _in_progress(cv)


def is_completed(cv: ClusterVersion) -> bool:
    """Whether what the version operator works towards is there. A time proves nothing: one that
    was given up has a completionTime as well."""
    newest = cv.history[0] if cv.history else None
    return (
        newest is not None
        and newest.state == COMPLETED
        and same_image(newest.image, cv.desired_image)
    )


def line(text: str, *, limit: int = _LONGEST) -> str:
    """Text from a cluster made fit for a sentence: printable, one line, not long."""
    shown = "".join(char if char.isprintable() else " " for char in text[: limit * 4])
    one = " ".join(shown.split())
    return one if len(one) <= limit else one[: limit - 1] + "…"


def _unreadable(cv: ClusterVersion) -> str:
    try:
        mco.minor_of(cv.desired_version)
        Pullspec(cv.desired_image)
    except Malformed as error:
        return f"status.desired: {line(str(error))}"
    except ValueError:
        return f"status.desired: not a version: {line(cv.desired_version, limit=100)!r}"
    return ""


def _condition(cv: ClusterVersion, kind: str) -> Condition:
    absent = Condition(type=kind, status="")
    return next((c for c in cv.conditions if c.type == kind), absent)


def _differs(cv: ClusterVersion) -> bool:
    """Whether the request is seen to be for something else; an image counts before a version."""
    if cv.requested_image:
        return not same_image(cv.requested_image, cv.desired_image)
    return bool(cv.requested_version) and cv.requested_version != cv.desired_version


def _superseded(cv: ClusterVersion) -> tuple[HistoryEntry, ...]:
    return tuple(
        entry
        for place, entry in enumerate(cv.history)
        if entry.state == PARTIAL and not (place == 0 and same_image(entry.image, cv.desired_image))
    )


def _before(cv: ClusterVersion) -> HistoryEntry | None:
    """The release that was completed last before the desired one."""
    others = (h for h in cv.history if not same_image(h.image, cv.desired_image))
    return next((h for h in others if h.state == COMPLETED), None)


def _seen(
    cv: ClusterVersion,
    kind: StageKind,
    sentence: str,
    said_by: str,
    *,
    reason: str = "",
    progress: str = "",
) -> StageSeen:
    """One who goes to the desired release, or is there; a request then says otherwise."""
    completed, before = is_completed(cv), _before(cv)
    last = next((entry for entry in cv.history if entry.state == COMPLETED), None)
    counted = _DONE.search(progress)
    return StageSeen(
        kind=kind,
        sentence=sentence,
        version=last.version if last else cv.desired_version,
        image=last.image if last else cv.desired_image,
        target_version="" if completed else cv.desired_version,
        target_image="" if completed else cv.desired_image,
        completed=completed,
        reason=line(reason, limit=100),
        progress=progress,
        done=int(counted[1]) if counted else None,
        total=int(counted[2]) if counted else None,
        since=_condition(cv, said_by).last_transition,
        superseded=_superseded(cv),
        same_version_other_image=before is not None and before.version == cv.desired_version,
    )


def _asked(cv: ClusterVersion, answer: Condition | None) -> StageSeen:
    wanted = line(cv.requested_version or cv.requested_image, limit=200)
    has_same_version = cv.requested_version == cv.desired_version
    if has_same_version:
        wanted = f"another image of {wanted}"
    if answer is None:
        kind, sentence = StageKind.REQUESTED, f"{wanted} was asked for, and has no answer yet"
    else:
        kind = StageKind.NOT_ACCEPTED
        by = f" ({line(answer.reason, limit=100)})" if answer.reason else ""
        told = f": {line(answer.message)}" if answer.message else ""
        sentence = f"{wanted} was asked for and is not accepted{by}{told}"
    failing = _condition(cv, "Failing")
    if failing.status == "True":
        sentence += f"; {cv.desired_version} is failing{_told(failing)}"
    elif not is_completed(cv):
        sentence += f"; {cv.desired_version} is not completed"
    return replace(
        _seen(cv, kind, sentence, "ReleaseAccepted"),
        target_version=cv.requested_version,
        target_image=cv.requested_image,
        reason=line(answer.reason, limit=100) if answer else "",
        since=answer.last_transition if answer else None,
        same_version_other_image=has_same_version,
    )


def _told(condition: Condition) -> str:
    by = f" ({line(condition.reason, limit=100)})" if condition.reason else ""
    return by + (f": {line(condition.message)}" if condition.message else "")


def _progress(cv: ClusterVersion) -> str:
    progressing = _condition(cv, "Progressing")
    if progressing.status != "True":
        return ""
    working = _WORKING.match(progressing.message)
    return line(working[1] if working else progressing.message)


def _failing(cv: ClusterVersion, failing: Condition) -> StageSeen:
    if is_completed(cv):
        way = f"{cv.desired_version} is completed and failing"
    else:
        way = f"{_way(cv)} is failing"
    progress = "" if is_completed(cv) else _progress(cv)
    return _seen(
        cv,
        StageKind.FAILING,
        way + _told(failing),
        "Failing",
        reason=failing.reason,
        progress=progress,
    )


def _in_progress(cv: ClusterVersion) -> StageSeen:
    progress, failing = _progress(cv), _condition(cv, "Failing")
    sentence = _way(cv) + (f": {progress}" if progress else "")
    if failing.status == "Unknown" and (failing.reason or failing.message):
        # That an operator takes longer than it should is no failure.
        slow = failing.reason == "SlowClusterOperator"
        sentence += ("; slow" if slow else "; it may be failing") + _told(failing)
    for entry in _superseded(cv)[:1]:
        sentence += f"; {line(entry.version, limit=100)} was begun before and given up"
    return _seen(cv, StageKind.IN_PROGRESS, sentence, "Progressing", progress=progress)


def _way(cv: ClusterVersion) -> str:
    before = _before(cv)
    if before is None:
        return f"the installation of {cv.desired_version}"
    if before.version == cv.desired_version:
        return f"the change to another image of {cv.desired_version}"
    return f"the upgrade from {line(before.version, limit=100)} to {cv.desired_version}"
