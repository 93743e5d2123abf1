"""The stage of any ClusterVersion beside plain rules, and beside what the service decides by."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import T0, release_image
from tests.unit.test_stages import MIRRORED, MULTI
from watcher.core.cluster import ClusterVersion, Condition, HistoryEntry, Meta
from watcher.core.facts import Malformed
from watcher.core.release import Stage, release_state
from watcher.core.stages import StageKind, StageSeen, is_completed, same_image, stage_of

VERSIONS = ("4.16.1", "4.16.3", "4.17.0")
IMAGES = (*(str(release_image(v)) for v in VERSIONS), MULTI, MIRRORED)
maybe = st.sampled_from
condition = st.builds(
    Condition,
    type=maybe(["ReleaseAccepted", "Failing", "Progressing", "Available", "Upgradeable", "Odd"]),
    status=maybe(["True", "False", "Unknown", ""]),
    reason=maybe(["", "RetrievePayload", "SlowClusterOperator"]),
    message=maybe(
        ["", "Working towards 4.16.3: 7 of 9 done (77% complete)", "a\nb", "n of m done"]
    ),
    last_transition=maybe([None, T0]),
)
history = st.lists(
    st.builds(
        HistoryEntry,
        state=maybe(["Completed", "Partial"]),
        version=maybe(VERSIONS),
        image=maybe(IMAGES),
    ),
    max_size=4,
)
cluster_versions = st.builds(
    ClusterVersion,
    meta=st.builds(Meta, name=st.just("version"), generation=maybe([3, 4])),
    desired_version=maybe([*VERSIONS, *VERSIONS, "", "soon"]),
    desired_image=maybe([*IMAGES, *IMAGES, "", "quay.io/x/y:tag"]),
    requested_version=maybe(["", "", *VERSIONS]),
    requested_image=maybe(["", "", "", *IMAGES, "quay.io/x/y:tag"]),
    history=history.map(tuple),
    conditions=st.lists(condition, max_size=5).map(tuple),
    observed_generation=maybe([3, 4]),
)


def plainly(cv: ClusterVersion) -> set[StageKind]:
    """Each state by its own condition, asked alone: exactly one may hold."""

    def status(kind: str) -> str:
        return [*(c.status for c in cv.conditions if c.type == kind), ""][0]

    def key(image: str) -> str:
        return image.split("@")[-1]

    known = cv.desired_version in VERSIONS and "@sha256:" in cv.desired_image
    newest = cv.history[0] if cv.history else None
    completed = (
        newest is not None
        and key(newest.image) == key(cv.desired_image)
        and newest.state == "Completed"
    )
    if cv.requested_image != "":
        other = key(cv.requested_image) != key(cv.desired_image)
    else:
        other = cv.requested_version not in ("", cv.desired_version)
    answered = status("ReleaseAccepted") in ("False", "Unknown")
    answered = answered and cv.meta.generation == cv.observed_generation
    hidden = answered and cv.requested_version != "" and cv.requested_image == ""
    asked = other or hidden
    failing = status("Failing") == "True"
    states = {
        StageKind.UNKNOWN: not known,
        StageKind.NOT_ACCEPTED: known and asked and answered,
        StageKind.REQUESTED: known and asked and not answered,
        StageKind.FAILING: known and not asked and failing,
        StageKind.COMPLETED: known and not asked and not failing and completed,
        StageKind.IN_PROGRESS: known and not asked and not failing and not completed,
    }
    return {kind for kind, holds in states.items() if holds}


@settings(max_examples=100)
@given(cv=cluster_versions)
def test_any_cluster_version_is_in_exactly_the_stage_of_the_plain_rules(
    cv: ClusterVersion,
) -> None:
    expected = plainly(cv)
    assert len(expected) == 1
    assert {stage_of(cv).kind} == expected


@settings(max_examples=100)
@given(cv=cluster_versions)
def test_what_is_told_of_it_holds_together(cv: ClusterVersion) -> None:
    seen = stage_of(cv)
    assert seen.sentence
    assert seen.sentence.isprintable()
    assert all(entry.state == "Partial" for entry in seen.superseded)
    if seen.kind is StageKind.UNKNOWN:
        assert seen == StageSeen(kind=seen.kind, sentence=seen.sentence, superseded=seen.superseded)
        return
    assert seen.completed is is_completed(cv)
    assert bool(seen.target_version or seen.target_image) is not (
        seen.kind in (StageKind.COMPLETED, StageKind.FAILING) and seen.completed
    )
    if not is_completed(cv):
        newest = cv.history[:1] if cv.history and cv.history[0].state == "Partial" else ()
        current = newest and same_image(newest[0].image, cv.desired_image)
        partial = [e for e in cv.history if e.state == "Partial"]
        assert len(seen.superseded) == len(partial) - (1 if current else 0)


@settings(max_examples=100)
@given(cv=cluster_versions)
def test_it_agrees_with_what_the_service_decides_by(cv: ClusterVersion) -> None:
    """The same releases are readable, and the same ones are completed.

    Both compare images alike here (see the next test): mirrored names are put back first.
    """
    plain = _without_mirrors(cv)
    seen = stage_of(plain)
    try:
        decided = release_state(plain)
    except Malformed:
        assert seen.kind is StageKind.UNKNOWN
        return
    assert seen.kind is not StageKind.UNKNOWN
    assert seen.completed is decided.completed
    asked = seen.kind in (StageKind.REQUESTED, StageKind.NOT_ACCEPTED)
    match decided.stage:
        case Stage.REQUESTED:
            assert asked
        case Stage.COMPLETED:
            # Another architecture of the version, which release_state cannot see.
            assert seen.completed
            assert not asked or seen.same_version_other_image
        case _:
            assert not seen.completed
            assert not asked or seen.same_version_other_image


def _without_mirrors(cv: ClusterVersion) -> ClusterVersion:
    def name(image: str) -> str:
        return str(release_image("4.16.3")) if image == MIRRORED else image

    return replace(
        cv,
        desired_image=name(cv.desired_image),
        requested_image=name(cv.requested_image),
        history=tuple(replace(e, image=name(e.image)) for e in cv.history),
    )


@settings(max_examples=100)
@given(cv=cluster_versions)
def test_a_name_of_the_repository_changes_no_stage(cv: ClusterVersion) -> None:
    seen, plain = stage_of(cv), stage_of(_without_mirrors(cv))
    assert (seen.kind, seen.completed) == (plain.kind, plain.completed)
    assert seen.same_version_other_image == plain.same_version_other_image
    assert len(seen.superseded) == len(plain.superseded)
