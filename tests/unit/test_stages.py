"""Where a cluster stands between releases: each state, and any of them beside plain rules."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.facts import T0, a_version, digest, release_image
from watcher.clients.kube.wire_version import ClusterVersionWire, cluster_version
from watcher.core.cluster import ClusterVersion, Condition, HistoryEntry, Meta
from watcher.core.stages import (
    StageKind,
    line,
    same_image,
    stage_of,
)

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"
MULTI = f"quay.io/openshift-release-dev/ocp-release@{digest('4.16.3 for many architectures')}"
MIRRORED = f"mirror.example.com/ocp/release@{release_image('4.16.3').digest}"


def entry(version: str, state: str, image: str = "") -> HistoryEntry:
    return HistoryEntry(state=state, version=version, image=image or release_image(version))


def said(kind: str, status: str, reason: str = "", message: str = "") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition=T0)


WORKING = said(
    "Progressing", "True", message="Working towards 4.16.3: 80 of 900 done (8% complete)"
)
IDLE = said("Progressing", "False", message="Cluster version is 4.16.1")
REFUSED = said("ReleaseAccepted", "False", "VerifyPayloadVersion", "the signature is\nmissing")
WAITS = said("ReleaseAccepted", "Unknown", "RetrievePayload", "Retrieving payload")
ACCEPTED = said("ReleaseAccepted", "True", "PayloadLoaded", "Payload loaded")
FAILING = said("Failing", "True", "ClusterOperatorsDegraded", "etcd is degraded")
SLOW = said("Failing", "Unknown", "SlowClusterOperator", "waiting on network over 30 minutes")
EDITED = Meta(name="version", generation=4)
NEW: dict[str, Any] = {"requested_version": "4.17.0"}


@pytest.mark.parametrize(
    ("given_", "kind", "sentence"),
    [
        ({}, "completed", "4.16.3 is completed"),
        ({"conditions": (ACCEPTED,)}, "completed", "4.16.3 is completed"),
        (
            {"completed": False, "conditions": (WORKING, ACCEPTED)},
            "in-progress",
            "the upgrade from 4.16.1 to 4.16.3: 80 of 900 done (8% complete)",
        ),
        ({"history": ()}, "in-progress", "the installation of 4.16.3"),
        # What it says while it does not progress is of the release before.
        (
            {"completed": False, "conditions": (IDLE,)},
            "in-progress",
            "the upgrade from 4.16.1 to 4.16.3",
        ),
        (NEW, "requested", "4.17.0 was asked for, and has no answer yet"),
        (
            {**NEW, "conditions": (ACCEPTED,)},
            "requested",
            "4.17.0 was asked for, and has no answer yet",
        ),
        (
            {**NEW, "conditions": (REFUSED,)},
            "not-accepted",
            "4.17.0 was asked for and is not accepted (VerifyPayloadVersion): "
            "the signature is missing",
        ),
        (
            {**NEW, "conditions": (WAITS,)},
            "not-accepted",
            "4.17.0 was asked for and is not accepted (RetrievePayload): Retrieving payload",
        ),
        # The refusal is of what was asked for before the edit.
        (
            {**NEW, "conditions": (REFUSED,), "meta": EDITED, "observed_generation": 3},
            "requested",
            "4.17.0 was asked for, and has no answer yet",
        ),
        (
            {**NEW, "completed": False, "conditions": (WORKING,)},
            "requested",
            "4.17.0 was asked for, and has no answer yet; 4.16.3 is not completed",
        ),
        (
            {**NEW, "completed": False, "conditions": (FAILING,)},
            "requested",
            "4.17.0 was asked for, and has no answer yet; "
            "4.16.3 is failing (ClusterOperatorsDegraded): etcd is degraded",
        ),
        (
            {"completed": False, "conditions": (WORKING, FAILING)},
            "failing",
            "the upgrade from 4.16.1 to 4.16.3 is failing (ClusterOperatorsDegraded): "
            "etcd is degraded",
        ),
        (
            {"conditions": (FAILING,)},
            "failing",
            "4.16.3 is completed and failing (ClusterOperatorsDegraded): etcd is degraded",
        ),
        (
            {"completed": False, "conditions": (WORKING, SLOW)},
            "in-progress",
            "the upgrade from 4.16.1 to 4.16.3: 80 of 900 done (8% complete); "
            "slow (SlowClusterOperator): waiting on network over 30 minutes",
        ),
        ({"conditions": (SLOW,)}, "completed", "4.16.3 is completed"),
        ({"desired_image": "quay.io/x/y:latest"}, "unknown", None),
        ({"desired_image": ""}, "unknown", None),
        ({"desired_version": "soon"}, "unknown", "status.desired: not a version: 'soon'"),
    ],
)
def test_the_stage_and_its_sentence(
    given_: dict[str, Any], kind: str, sentence: str | None
) -> None:
    seen = stage_of(a_version(**given_))
    assert seen.kind == kind
    assert sentence is None or seen.sentence == sentence


def test_a_cluster_version_that_could_not_be_read_is_unknown() -> None:
    assert stage_of(None).kind is StageKind.UNKNOWN


def test_from_and_to() -> None:
    way = stage_of(a_version(completed=False, conditions=(WORKING,)))
    assert (way.version, way.image) == ("4.16.1", release_image("4.16.1"))
    assert (way.target_version, way.target_image) == ("4.16.3", release_image("4.16.3"))
    assert (way.done, way.total, way.since) == (80, 900, T0)
    there = stage_of(a_version())
    assert (there.version, there.image) == ("4.16.3", release_image("4.16.3"))
    assert (there.target_version, there.target_image, there.done) == ("", "", None)
    asked = stage_of(a_version(**NEW, conditions=(REFUSED,)))
    assert (asked.version, asked.target_version, asked.target_image) == ("4.16.3", "4.17.0", "")
    assert (asked.reason, asked.completed) == ("VerifyPayloadVersion", True)
    new = stage_of(a_version(history=(entry("4.16.3", "Partial"),)))
    assert (new.version, new.target_version, new.completed) == ("4.16.3", "4.16.3", False)


def test_since_when_is_said_by_the_condition_that_says_it() -> None:
    hours = {name: T0 + timedelta(hours=n) for n, name in enumerate(("Progressing", "Failing"), 1)}
    both = tuple(replace(c, last_transition=hours[c.type]) for c in (WORKING, FAILING))
    assert stage_of(a_version(completed=False, conditions=both)).since == hours["Failing"]
    assert stage_of(a_version(conditions=both[:1])).since == hours["Progressing"]
    assert stage_of(a_version(**NEW, conditions=(*both, WAITS))).since == T0
    assert stage_of(a_version(**NEW, conditions=(*both, ACCEPTED))).since is None


def test_one_that_was_given_up_is_told() -> None:
    """Its entry is Partial, and has a completionTime as those that are completed do."""
    given_up = entry("4.16.2", "Partial")
    history = (entry("4.16.3", "Partial"), given_up, entry("4.16.1", "Completed"))
    seen = stage_of(a_version(history=history))
    assert seen.superseded == (given_up,)
    assert seen.sentence.endswith("; 4.16.2 was begun before and given up")
    assert stage_of(a_version(history=history[1:])).superseded == (given_up,)
    done = stage_of(a_version(history=(entry("4.16.3", "Completed"), *history[1:])))
    assert (done.kind, done.superseded) == (StageKind.COMPLETED, (given_up,))


def test_a_release_opened_again_is_in_progress_again() -> None:
    again = a_version(history=(entry("4.16.3", "Partial"), entry("4.16.3", "Completed")))
    assert stage_of(again).kind is StageKind.IN_PROGRESS


def test_the_same_version_with_another_image_is_another_release() -> None:
    moving = a_version(
        desired_image=MULTI,
        history=(entry("4.16.3", "Partial", MULTI), entry("4.16.3", "Completed")),
        conditions=(WORKING,),
    )
    seen = stage_of(moving)
    assert (seen.kind, seen.same_version_other_image) == (StageKind.IN_PROGRESS, True)
    assert seen.sentence.startswith("the change to another image of 4.16.3: 80 of 900")
    assert (seen.image, seen.target_image) == (release_image("4.16.3"), MULTI)
    behind = a_version(desired_image=MULTI, history=(entry("4.16.3", "Completed"),))
    assert stage_of(behind).kind is StageKind.IN_PROGRESS
    asked = stage_of(a_version(requested_version="4.16.3", requested_image=MULTI))
    assert (asked.kind, asked.same_version_other_image) == (StageKind.REQUESTED, True)
    assert not stage_of(a_version()).same_version_other_image
    assert not stage_of(a_version(completed=False)).same_version_other_image


def test_another_architecture_of_the_same_version_is_seen_by_the_answer_alone() -> None:
    """Only spec.desiredUpdate.architecture differs, and the version operator could not take it."""
    seen = stage_of(a_version(requested_version="4.16.3", conditions=(WAITS,)))
    assert (seen.kind, seen.same_version_other_image) == (StageKind.NOT_ACCEPTED, True)
    assert seen.sentence.startswith("another image of 4.16.3 was asked for and is not accepted")
    # Asked for by its image it is not another one, whatever the answer.
    by_image = a_version(requested_image=release_image("4.16.3"), conditions=(WAITS,))
    assert stage_of(by_image).kind is StageKind.COMPLETED
    assert stage_of(a_version(conditions=(WAITS,))).kind is StageKind.COMPLETED


def test_an_image_is_the_same_in_every_repository() -> None:
    """As the version operator compares them (equalDigest): the mirror has the same release."""
    seen = stage_of(a_version(requested_image=MIRRORED))
    assert seen.kind is StageKind.COMPLETED
    assert same_image(MIRRORED, release_image("4.16.3"))
    assert not same_image(MIRRORED, MULTI)
    assert not same_image("quay.io/a/b:1", "quay.io/a/c:1")
    assert same_image("quay.io/a/b:1", "quay.io/a/b:1")
    assert same_image("", "")


def test_unknown_conditions_change_nothing() -> None:
    plain = a_version(completed=False, conditions=(WORKING,))
    more = (said("Tired", "True", "Reason", "message"), said("ReleaseTasted", "False"), WORKING)
    assert stage_of(replace(plain, conditions=more)) == stage_of(plain)


def test_text_from_a_cluster_is_made_fit_for_a_line() -> None:
    text = "one\n\x1b[31mtwo\x00\u202ethree " + "x" * 100_000
    assert line(text, limit=20) == "one [31mtwo three x…"
    message = replace(WORKING, message="Working towards 4.16.3: \x1b]0;title\x07" + "y" * 50_000)
    seen = stage_of(a_version(completed=False, conditions=(message,)))
    assert seen.sentence.isprintable()
    assert len(seen.sentence) < 600


# --- as the API writes them ----------------------------------------------------------------------


def read(document: dict[str, Any]) -> ClusterVersion:
    return cluster_version(msgspec.convert(document, ClusterVersionWire, strict=False))


def test_nulls_are_nothing() -> None:
    desired = {"version": "4.16.3", "image": release_image("4.16.3"), "channels": None}
    status = {"desired": desired, "history": None, "conditions": None, "availableUpdates": None}
    cv = read({"metadata": {"name": "version"}, "spec": {"desiredUpdate": None}, "status": status})
    assert stage_of(cv).kind is StageKind.IN_PROGRESS


def sample(name: str) -> ClusterVersion:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("the samples are not here")
    document = yaml.safe_load(path.read_bytes())
    return read(document["items"][0] if "items" in document else document)


@pytest.mark.parametrize(
    ("name", "kind", "version", "target", "told"),
    [
        ("oc-not-upgrading-cv.yaml", "completed", "4.14.1", "", "4.14.1 is completed"),
        (
            "oc-4.14.1-degraded-cv.yaml",
            "failing",
            "4.14.0-rc.3",
            "4.14.1",
            "etcd, kube-apiserver are degraded",
        ),
        (
            "oc-4.14.1-paused-worker-pool-cv.yaml",
            "in-progress",
            "4.14.0",
            "4.14.1",
            "139 of 859 done (16% complete), waiting on kube-scheduler",
        ),
        (
            "oc-recommend-4.16.27-degraded-monitoring-cv.yaml",
            "failing",
            "4.16.27",
            "",
            "4.16.27 is completed and failing (ClusterOperatorNotAvailable)",
        ),
        (
            "oc-to-multi-arch-cv.yaml",
            "in-progress",
            "4.18.0-ec.3",
            "4.18.0-ec.3",
            "another image of 4.18.0-ec.3: 761 of 890 done (85% complete), waiting on",
        ),
    ],
)
def test_real_ones(name: str, kind: str, version: str, target: str, told: str) -> None:
    seen = stage_of(sample(name))
    assert (seen.kind, seen.version, seen.target_version) == (kind, version, target)
    assert told in seen.sentence
    assert seen.same_version_other_image is (name == "oc-to-multi-arch-cv.yaml")
