"""From JSON to facts, and from answers to errors: all without a connection."""

import json
import ssl
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from watcher.clients.kube import errors, http1, kinds, wire
from watcher.clients.kube.kinds import Kind
from watcher.core.cluster import Condition, HistoryEntry, OfferedUpdate, Requirement, Risk
from watcher.core.facts import Malformed
from watcher.ports import Conflict, FieldConflict, Refused, Transient

REQUEST = errors.Request(cluster="east", verb="list", group="g.io", resource="things")


def read(kind: Kind[Any], thing: dict[str, Any]) -> Any:
    return kind.convert(msgspec.json.decode(json.dumps(thing), type=kind.struct))


def version(spec: dict[str, Any] | None = None, **status: Any) -> Any:
    desired = {"version": "4.18.3", "image": "i3", **status.pop("desired", {})}
    thing = {"metadata": {"name": "version"}, "spec": spec or {}}
    return read(kinds.CLUSTER_VERSION, {**thing, "status": {"desired": desired, **status}})


def test_a_cluster_version_tells_what_it_is_offered() -> None:
    seen = version(
        {"channel": "stable-4.18", "upstream": "https://graph.example.com"},
        desired={"architecture": "Multi", "channels": None},
        availableUpdates=[
            {"version": "4.18.4", "image": "i4", "channels": ["stable-4.18"], "url": "https://e"},
            {"version": "4.18.5", "image": "i5", "channels": None},
        ],
        conditionalUpdates=[
            {
                "release": {"version": "4.18.6", "image": "i6"},
                "risks": [
                    {
                        "name": "A",
                        "message": "m",
                        "url": "https://a",
                        "matchingRules": [{"type": "PromQL", "promql": {"promql": "up"}}],
                    },
                    {"name": "B", "matchingRules": [{"type": "Always"}]},
                    {"name": "C", "message": None, "url": None, "matchingRules": None},
                ],
                "conditions": [
                    {"type": "Other", "status": "True"},
                    {"type": "Recommended", "status": "False", "reason": "R"},
                ],
            },
            {
                "release": {"version": "4.18.7", "image": "i7"},
                "risks": None,
                "conditions": [{"type": "Recommended", "status": "True"}],
            },
            {"release": {"version": "4.18.8", "image": "i8"}, "risks": [], "conditions": None},
        ],
    )
    assert (seen.channel, seen.upstream) == ("stable-4.18", "https://graph.example.com")
    assert seen.architecture == "Multi"
    assert seen.offered == (
        OfferedUpdate(version="4.18.4", image="i4", channels=("stable-4.18",), url="https://e"),
        OfferedUpdate(version="4.18.5", image="i5"),
        OfferedUpdate(
            version="4.18.6",
            image="i6",
            risks=(
                Risk(name="A", message="m", url="https://a", promql="up"),
                Risk(name="B", always=True),
                Risk(name="C"),
            ),
            recommended=False,
            why="R",
        ),
        OfferedUpdate(version="4.18.7", image="i7"),
        OfferedUpdate(version="4.18.8", image="i8", recommended=False, is_evaluated=False),
    )


def test_a_cluster_version_that_is_offered_nothing_may_say_null() -> None:
    seen = version(
        {"channel": None, "upstream": None, "signatureStores": None},
        desired={"architecture": None, "url": None},
        availableUpdates=None,
        conditionalUpdates=None,
    )
    assert (seen.channel, seen.upstream, seen.architecture) == ("", "", "")
    assert seen.offered == version().offered == ()


def test_signature_stores_that_are_not_named_are_not_no_stores() -> None:
    assert version().signature_stores is None
    assert version({"signatureStores": []}).signature_stores == ()
    stores = [{"url": "https://a"}, {"url": "https://b", "ca": {"name": "x"}}]
    assert version({"signatureStores": stores}).signature_stores == ("https://a", "https://b")


def test_a_cluster_version_tells_what_it_works_towards() -> None:
    seen = read(
        kinds.CLUSTER_VERSION,
        {
            "metadata": {"name": "version", "uid": "u", "resourceVersion": "7", "generation": 4},
            "spec": {"clusterID": "x", "desiredUpdate": {"version": "4.18.4", "image": "i4"}},
            "status": {
                "desired": {"version": "4.18.3", "image": "i3", "channels": ["stable-4.18"]},
                "observedGeneration": 3,
                "availableUpdates": None,
                "history": [
                    {"state": "Partial", "version": "4.18.3", "image": "i3", "completionTime": None}
                ],
                "conditions": [
                    {
                        "type": "Progressing",
                        "status": "True",
                        "lastTransitionTime": "2026-11-21T12:00:00Z",
                        "message": "Working towards 4.18.3",
                    }
                ],
            },
        },
    )
    assert (seen.desired_version, seen.desired_image) == ("4.18.3", "i3")
    assert (seen.requested_version, seen.requested_image) == ("4.18.4", "i4")
    assert seen.history == (HistoryEntry(state="Partial", version="4.18.3", image="i3"),)
    assert seen.conditions == (
        Condition(
            type="Progressing",
            status="True",
            message="Working towards 4.18.3",
            last_transition=datetime(2026, 11, 21, 12, tzinfo=UTC),
        ),
    )
    assert (seen.meta.generation, seen.observed_generation) == (4, 3)


def test_a_cluster_version_without_a_desired_release_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"status\.desired"):
        read(kinds.CLUSTER_VERSION, {"metadata": {"name": "version"}})


def test_a_pool_is_read_whole() -> None:
    seen = read(
        kinds.POOL,
        {
            "metadata": {"name": "infra", "labels": {"a": "b"}},
            "spec": {
                "paused": True,
                "maxUnavailable": "10%",
                "machineConfigSelector": {
                    "matchExpressions": [
                        {"key": "role", "operator": "In", "values": ["worker", "infra"]},
                        {"key": "x", "operator": "Exists"},
                    ]
                },
                "nodeSelector": {"matchLabels": {"node-role.kubernetes.io/infra": ""}},
                "osImageStream": {"name": "rhel-10"},
                "configuration": {"name": "rendered-2", "source": [{"name": "00-worker"}]},
            },
            "status": {
                "observedGeneration": 5,
                "configuration": {"name": "rendered-1"},
                "machineCount": 5,
                "updatedMachineCount": 4,
                "readyMachineCount": 3,
                "unavailableMachineCount": 2,
                "degradedMachineCount": 1,
            },
        },
    )
    assert (seen.name, seen.paused, seen.max_unavailable) == ("infra", True, "10%")
    assert seen.machine_config_selector.match_expressions == (
        Requirement(key="role", operator="In", values=("worker", "infra")),
        Requirement(key="x", operator="Exists"),
    )
    assert seen.node_selector.match_labels == {"node-role.kubernetes.io/infra": ""}
    assert seen.os_image_stream == "rhel-10"
    assert (seen.spec_configuration, seen.status_configuration) == ("rendered-2", "rendered-1")
    assert seen.spec_sources == ("00-worker",)
    counts = (
        seen.machine_count,
        seen.updated_count,
        seen.ready_count,
        seen.unavailable_count,
        seen.degraded_count,
    )
    assert counts == (5, 4, 3, 2, 1)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (3, "3"), ("25%", "25%"), (None, "1")])
def test_max_unavailable_is_a_number_a_share_or_missing(value: Any, text: str) -> None:
    thing = {"metadata": {"name": "p"}, "spec": {"maxUnavailable": value}}
    assert read(kinds.POOL, thing).max_unavailable == text


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda k: k.title)
def test_null_lists_are_empty_ones(kind: Kind[Any]) -> None:
    thing = {
        "metadata": {"name": "x", "labels": None, "annotations": None},
        "spec": {"extensions": None},
        "status": {
            "desired": {"image": "i"},
            "conditions": None,
            "history": None,
            "availableStreams": None,
        },
        "data": {"releaseVersion": "1", "baseOSContainerImage": "i"},
    }
    read(kind, thing)


def test_of_a_machine_config_no_body_is_kept() -> None:
    body = "z" * 10_000
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    seen = read(
        kinds.MACHINE_CONFIG,
        {
            "metadata": {"name": "m", "annotations": {applied: body, "relayer.io/base": "b"}},
            "spec": {
                "config": {"storage": {"files": [{"contents": {"source": body}}]}},
                "osImageURL": "image",
                "extensions": ["usbguard"],
                "kernelType": "realtime",
            },
        },
    )
    assert (seen.os_image_url, seen.kernel_type) == ("image", "realtime")
    assert seen.extensions == ("usbguard",)
    assert seen.meta.annotations == {"relayer.io/base": "b"}
    assert len(repr(seen)) < 500


def test_of_a_node_only_the_annotations_of_the_operator_are_kept() -> None:
    def a_node(version: str) -> Any:
        mco = "machineconfiguration.openshift.io/"
        return read(
            kinds.NODE,
            {
                "metadata": {
                    "name": "n0",
                    "resourceVersion": version,
                    "annotations": {mco + "state": "Done", "k8s.ovn.org/node": "…"},
                },
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [
                        {"type": "Ready", "status": "True", "lastHeartbeatTime": version}
                    ],
                    "nodeInfo": {
                        "architecture": "arm64",
                        "osImage": "RHCOS",
                        "kubeletVersion": "v1",
                    },
                },
            },
        )

    seen = a_node("1")
    assert seen.meta.annotations == {"machineconfiguration.openshift.io/state": "Done"}
    assert (seen.ready, seen.unschedulable, seen.architecture) == (True, True, "arm64")
    assert seen == a_node("2"), "a heartbeat changes nothing"


@pytest.mark.parametrize("data", [None, {}, {"releaseVersion": "1"}])
def test_the_base_image_needs_its_release(data: Any) -> None:
    with pytest.raises(Malformed, match="releaseVersion"):
        read(kinds.OS_IMAGE_URLS, {"metadata": {"name": "x"}, "data": data})


def test_streams_and_owners_are_read() -> None:
    stream = read(
        kinds.OS_IMAGE_STREAM,
        {
            "metadata": {"name": "cluster"},
            "status": {
                "defaultStream": "rhel-9",
                "availableStreams": [
                    {"name": "rhel-9", "osImage": "i9", "osExtensionsImage": "e9"},
                    {"name": "rhel-10", "osImage": "i10"},
                ],
            },
        },
    )
    assert (stream.default_stream, stream.images) == ("rhel-9", {"rhel-9": "i9", "rhel-10": "i10"})
    owner = {"metadata": {"name": "x"}, "spec": {"machineConfigPool": {"name": "infra"}}}
    assert read(kinds.MACHINE_OS_CONFIG, owner).pool == "infra"


def test_every_kind_that_is_watched_has_its_rights() -> None:
    rules = {(group, resource): verbs for group, resource, verbs in kinds.RBAC_RULES}
    for kind in kinds.KINDS:
        assert {"get", "list", "watch"} <= set(rules[kind.group, kind.resource])


def status(code: int, *causes: dict[str, str], **details: Any) -> bytes:
    body = {"kind": "Status", "code": code, "message": "because", "reason": "R"}
    return json.dumps({**body, "details": {"causes": list(causes), **details}}).encode()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Refused),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (408, Transient),
        (409, Conflict),
        (410, errors.Gone),
        (413, Refused),
        (422, Refused),
        (429, Transient),
        (500, Transient),
        (502, Transient),
        (503, Transient),
        (504, Transient),
    ],
)
def test_an_answer_becomes_the_error_that_says_what_to_do(
    code: int, error: type[Exception]
) -> None:
    for body in (status(code), b"", b"<html>", b"\xff", b"[]"):
        found = errors.from_answer(REQUEST, status=code, body=body)
        assert type(found) is error
        assert "cluster east: list things.g.io" in str(found)


def test_a_field_conflict_names_managers_and_fields() -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "field": f".spec.f{n}",
            "message": 'conflict with "argocd"',
        }
        for n in range(7)
    ]
    found = errors.from_answer(REQUEST, status=409, body=status(409, *causes))
    assert isinstance(found, FieldConflict)
    assert '.spec.f0 (conflict with "argocd")' in str(found)
    assert "and 2 more" in str(found)
    assert "not forced" in str(found)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("12", 12.0), ("", None), ("Wed, 21 Oct", None), ("-1", None), ("9999999999", None)],
)
def test_retry_after_is_seconds(header: str, seconds: float | None) -> None:
    found = errors.from_answer(REQUEST, status=429, body=b"", retry_after=header)
    assert isinstance(found, Transient)
    assert found.retry_after_seconds == seconds


def test_retry_after_in_the_details_counts_too() -> None:
    found = errors.from_answer(REQUEST, status=500, body=status(500, retryAfterSeconds=3))
    assert isinstance(found, Transient)
    assert found.retry_after_seconds == 3.0


def test_text_from_outside_is_bounded_and_on_one_line() -> None:
    body = json.dumps({"message": "a\r\nb\x1b[31m" + "c" * 5000}).encode()
    text = str(errors.from_answer(REQUEST, status=422, body=body))
    assert len(text) < 400
    assert text.isprintable()


def test_a_watch_of_versions_to_come_needs_a_new_list() -> None:
    body = status(504, {"reason": "ResourceVersionTooLarge"})
    assert isinstance(errors.from_answer(REQUEST, status=504, body=body), errors.Gone)


@pytest.mark.parametrize(
    ("cause", "error", "says"),
    [
        (TimeoutError(), Transient, "no answer"),
        (ConnectionRefusedError(), Transient, "refuses connections"),
        (ssl.SSLError("handshake"), Transient, "TLS"),
        (ConnectionResetError("reset"), Transient, "reset"),
        (http1.BrokenAnswer("cut"), Transient, "cut"),
        (ssl.SSLCertVerificationError("bad"), Refused, "CA"),
    ],
)
def test_no_answer_becomes_the_error_that_says_what_to_do(
    cause: Exception, error: type[Exception], says: str
) -> None:
    found = errors.unreachable(REQUEST, cause, url="https://api")
    assert type(found) is error
    assert says in str(found)


def test_an_event_skips_what_we_do_not_use() -> None:
    line = b'{"type":"ADDED","object":{"metadata":{"name":"p","managedFields":[{}]},"x":1}}'
    event = msgspec.json.decode(line, type=wire.Event[wire.PoolWire])
    assert event.object.metadata.name == "p"
