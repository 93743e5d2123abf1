"""The update graph: read strictly and within limits; what it says, and how far behind one is."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import a_version, digest, release_image
from watcher.core import lag as lags
from watcher.core import os_version
from watcher.core.cluster import HistoryEntry, OfferedUpdate, Risk
from watcher.core.facts import Malformed
from watcher.core.graph import (
    CHANNELS,
    MANIFEST,
    Graph,
    Limits,
    OverLimit,
    architecture_of,
    offered_to,
    parse_graph,
)
from watcher.core.lag import Lag, Source, lag

SAMPLE = Path(__file__).parents[2].parent / "shared/samples/cincinnati-graph-amd64-stable-4.13.json"
VERSIONS = ("4.15.9", "4.16.1", "4.16.3", "4.16.2", "4.16.10", "4.17.0-rc.1", "4.17.0", "4.17.1")


def node(version: str, **metadata: Any) -> dict[str, Any]:
    return {"version": version, "payload": str(release_image(version)), "metadata": metadata}


def risk(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    said = {"name": name, "message": f"{name} happens", "url": f"https://risks.example/{name}"}
    return {**said, "matchingRules": list(rules)}


ALWAYS = {"type": "Always"}
PROMQL = {"type": "PromQL", "promql": {"promql": "group(cluster_version)"}}


def edge(start: str, end: str) -> dict[str, str]:
    return {"from": start, "to": end}


def said(*versions: str, **more: Any) -> dict[str, Any]:
    return {"version": 1, "nodes": [node(v) for v in versions or VERSIONS], "edges": [], **more}


def read(graph: Any, limit: Limits | None = None) -> Graph:
    return parse_graph(json.dumps(graph).encode(), limit)


# --- what it says --------------------------------------------------------------------------------


def test_a_release_is_found_by_version_and_by_its_image() -> None:
    graph = read(said())
    found = graph.node("4.16.3")
    assert found is not None
    assert found.payload == release_image("4.16.3")
    assert graph.node_of(release_image("4.16.3").digest) is found
    assert graph.node("4.99.0") is None
    assert graph.node_of(digest("another")) is None


def test_a_release_whose_payload_is_by_tag_is_found_by_its_manifest() -> None:
    by_tag = {**node("4.16.3", **{MANIFEST: digest("m")}), "payload": "quay.example/release:4.16.3"}
    found = read({"nodes": [by_tag]}).node_of(digest("m"))
    assert found is not None
    assert found.version == "4.16.3"


def test_channels_and_advisory() -> None:
    listed = node("4.16.3", **{CHANNELS: "stable-4.16, eus-4.16,,", "url": "https://errata/1"})
    graph = read({"nodes": [listed]})
    assert graph.channels("4.16.3") == ("stable-4.16", "eus-4.16")
    assert graph.channels("4.99.0") == ()
    found = graph.node("4.16.3")
    assert found is not None
    assert found.url == "https://errata/1"


def test_recommended_updates_newest_first() -> None:
    graph = read(said(edges=[[1, 3], [1, 4], [1, 2], [0, 1]]))
    assert [offer.node.version for offer in graph.recommended("4.16.1")] == [
        "4.16.10",
        "4.16.3",
        "4.16.2",
    ]
    assert graph.recommended("4.17.1") == ()


def test_conditional_updates_have_their_risks() -> None:
    blocks = [
        {"edges": [edge("4.16.1", "4.16.3")], "risks": [risk("A", ALWAYS), risk("B", PROMQL)]},
        {"edges": [edge("4.16.1", "4.16.10")], "risks": [risk("B", PROMQL)]},
        {"edges": [edge("4.16.1", "4.16.99")], "risks": [risk("A", ALWAYS)]},  # not in this channel
    ]
    offers = read(said(conditionalEdges=blocks)).conditional("4.16.1")
    assert [(o.node.version, [r.name for r in o.risks]) for o in offers] == [
        ("4.16.10", ["B"]),
        ("4.16.3", ["A", "B"]),
    ]
    a, b = offers[1].risks
    assert (a.always, a.promql) == (True, "")
    assert (a.message, a.url) == ("A happens", "https://risks.example/A")
    assert (b.always, b.promql) == (False, "group(cluster_version)")


def test_an_edge_that_is_also_conditional_is_not_recommended() -> None:
    block = {"edges": [edge("4.16.1", "4.16.3")], "risks": [risk("A", ALWAYS)]}
    graph = read(said(edges=[[1, 2], [1, 3]], conditionalEdges=[block]))
    assert [o.node.version for o in graph.recommended("4.16.1")] == ["4.16.2"]


def test_risks_of_an_edge_in_several_blocks_are_put_together() -> None:
    blocks = [{"edges": [edge("4.16.1", "4.16.3")], "risks": [risk(n, ALWAYS)]} for n in "AB"]
    (offer,) = read(said(conditionalEdges=blocks)).conditional("4.16.1")
    assert [r.name for r in offer.risks] == ["A", "B"]


def test_a_condition_without_a_risk_is_still_one() -> None:
    block = {"edges": [edge("4.16.1", "4.16.3")], "risks": []}
    graph = read(said(edges=[[1, 2]], conditionalEdges=[block]))
    (offer,) = graph.conditional("4.16.1")
    assert offer.risks
    assert graph.recommended("4.16.1") == ()


def test_offline_the_cluster_says_where_one_may_go() -> None:
    def update(version: str, **said: Any) -> OfferedUpdate:
        return OfferedUpdate(version=version, image=release_image(version), **said)

    cv = a_version(
        offered=(
            update("4.16.4"),
            update("4.16.10", risks=(Risk(name="A"), Risk(name="B")), recommended=False),
            update("4.16.9", recommended=False),
            update("4.16.8", risks=(Risk(name="A"),)),  # which does not apply to this cluster
        )
    )
    assert [(o.node.version, [r.name for r in o.risks]) for o in offered_to(cv)] == [
        ("4.16.10", ["A", "B"]),
        ("4.16.9", ["unknown"]),
        ("4.16.8", []),
        ("4.16.4", []),
    ]


# --- reading -------------------------------------------------------------------------------------


def test_what_is_not_known_is_ignored() -> None:
    graph = read({**said(), "future": {"x": [1]}, "nodes": [{**node("4.16.3", x=[1]), "y": 2}]})
    assert graph.node("4.16.3") is not None


@pytest.mark.parametrize("empty", [{"nodes": []}, {"nodes": None, "edges": None}])
def test_an_empty_graph(empty: dict[str, Any]) -> None:
    assert read(empty).nodes == ()


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        ([], "no update graph"),
        ({}, "no update graph"),
        ({"nodes": {}}, "no update graph"),
        ({"nodes": [{"payload": "x"}]}, "no update graph"),
        ({"nodes": [{"version": 4}]}, "no update graph"),
        ({**said(), "version": 2}, "of version 2"),
        (said(edges=[[0]]), "no update graph"),
        (said(edges=[[0, 1, 2]]), "no update graph"),
        (said(edges=[[0, 1.5]]), "no update graph"),
        (said(edges=[[0, len(VERSIONS)]]), f"to node {len(VERSIONS)} of {len(VERSIONS)}"),
        (said(edges=[[-1, 0]]), "to node -1 of"),
        (said(conditionalEdges=[{"edges": [{"from": "x"}]}]), "no update graph"),
    ],
)
def test_what_is_no_graph_is_malformed(graph: Any, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        read(graph)


DEEP = b'{"nodes":[{"version":"4.16.1","metadata":{"x":' + b"[" * 100_000


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>", b"\xff\xfe", b"[" * 100_000, DEEP, b'{"nodes":[]'],
    ids=["nothing", "a page", "no text", "lists", "deep metadata", "cut off"],
)
def test_bytes_that_are_no_graph_are_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_graph(raw)


CONDITIONAL = [{"edges": [edge("a", "b")] * 4, "risks": [risk("A", ALWAYS)]}]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (Limits(size=100), "larger than 100 bytes"),
        (Limits(nodes=7), "more than 7 nodes"),
        (Limits(edges=3), "more than 3 edges"),
        (Limits(parts=30), "more than 30 objects and lists"),
    ],
)
def test_a_graph_beyond_a_limit_names_it(limit: Limits, told: str) -> None:
    graph = said(edges=[[0, 1]] * 4, conditionalEdges=CONDITIONAL)
    with pytest.raises(OverLimit, match=told):
        read(graph, limit)


def test_conditional_edges_have_a_limit_too() -> None:
    with pytest.raises(OverLimit, match="more than 3 conditional edges"):
        read(said(conditionalEdges=CONDITIONAL), Limits(edges=3))


def test_a_graph_at_its_limits_is_read() -> None:
    graph = said(edges=[[0, 1]] * 4, conditionalEdges=CONDITIONAL)
    size = len(json.dumps(graph).encode())
    read(graph, Limits(size=size, nodes=8, edges=4))


def test_texts_are_made_fit_for_messages() -> None:
    bad = {**risk("A\x1b[2J\nB" + "x" * 500, ALWAYS), "message": "\u202eevil\0" + "m" * 5000}
    block = {"edges": [edge("4.16.1", "4.16.3")], "risks": [bad]}
    (offer,) = read(said(conditionalEdges=[block])).conditional("4.16.1")
    found = offer.risks[0]
    assert found.name.startswith("A [2J B")
    assert found.name.isprintable()
    assert found.message.isprintable()
    assert len(found.name) <= 200
    assert len(found.message) <= 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("nodes", "edges", "version", "from", "to", "risks", "payload", "x")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=100)
@given(
    nodes=st.lists(JSON | st.builds(node, st.text(max_size=12)), max_size=4),
    edges=JSON | st.lists(st.lists(st.integers(-1, 4), min_size=2, max_size=2), max_size=4),
    conditional=JSON,
)
def test_any_json_is_a_graph_or_malformed(nodes: Any, edges: Any, conditional: Any) -> None:
    told, graph = "", Graph()
    try:
        graph = read({"nodes": nodes, "edges": edges, "conditionalEdges": conditional})
    except Malformed as error:
        told = str(error)
    assert told.isprintable()
    assert len(told) < 400
    for one in graph.nodes:
        graph.recommended(one.version)
        lag(one.version, graph=graph)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_graph_or_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_graph(raw)


# --- how far behind ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "behind", "minors", "releases"),
    [
        ("4.16.1", "", 0, 3),  # 2, 3 and 10, which is newer than 3
        ("4.16.10", "", 0, 0),
        ("4.16.1", "4.16.3", 0, 2),
        ("4.16.3", "4.16.1", 0, 0),  # gone back
        ("4.16.10", "4.17.1", 1, 2),  # the rc is nobody's update
        ("4.17.0-rc.1", "", 0, 2),  # whoever runs an rc is behind by what followed
        ("4.15.9", "4.17.0", 2, 1),
        ("4.16.1", "4.16.11", 0, 4),  # not in the channel, and still a release
        ("4.14.1", "", 0, None),  # a minor that the channel does not have
        ("5.0.0", "", 0, None),
        ("nonsense", "", None, None),
        ("4.16.1", "nonsense", None, None),
    ],
)
def test_releases_behind_by_the_graph(
    version: str, behind: str, minors: int | None, releases: int | None
) -> None:
    found = lag(version, behind=behind, graph=read(said()), cluster_version=a_version())
    assert (found.minors, found.releases) == (minors, releases)
    assert found.said_by is (Source.NOBODY if releases is None else Source.GRAPH)


def test_releases_of_every_minor() -> None:
    assert lags.by_minor("4.16.2", VERSIONS) == {"4.16": 2, "4.17": 2}
    assert lags.newest("4.16.2", VERSIONS) == "4.16.10"
    assert lags.newest("4.18.0", VERSIONS) == "4.18.0"
    assert lags.newest("nonsense", VERSIONS) == "nonsense"


@pytest.mark.parametrize("graph", [None, Graph()], ids=["offline", "an empty graph"])
def test_offline_the_cluster_says_what_it_knows(graph: Graph | None) -> None:
    had = tuple(
        HistoryEntry(state="Completed", version=v, image=release_image(v))
        for v in ("4.16.3", "4.16.1", "4.15.9")
    )
    offered = (OfferedUpdate(version="4.16.10", image=release_image("4.16.10")),)
    cv = a_version("4.16.3", history=had, offered=offered)
    assert lag("4.16.1", graph=graph, cluster_version=cv) == Lag(
        minors=0, releases=2, said_by=Source.CLUSTER
    )
    assert lag("4.16.1", behind="4.16.3", graph=graph, cluster_version=cv).releases == 1
    assert lag("4.16.1", graph=graph) == Lag(minors=0)


def test_days_are_from_build_to_build() -> None:
    old = os_version.parse("416.94.202409040013-0")
    new = os_version.parse("416.94.202409142359-0")
    assert old is not None
    assert new is not None
    assert lag("4.16.1", built=(old, new)).days == 10
    assert lag("4.16.1", built=(new, old)).days == 0
    assert lag("4.16.1", built=("2024-09-04T00:00:00Z", new)).days == 10
    assert lag("4.16.1", built=("2024-09-01T00:00:00+00:00", "2024-09-04T00:00:00Z")).days == 3


@pytest.mark.parametrize(
    "unknown", ["", "yesterday", "1970-01-01T00:00:00Z", "2024-09-04T00:00:00"]
)
def test_days_nobody_knows(unknown: str) -> None:
    assert lag("4.16.1", built=(unknown, "2024-09-04T00:00:00Z")).days is None


def test_days_between_lines_are_not_counted() -> None:
    nine, ten = os_version.parse("9.6.20251201-1"), os_version.parse("10.2.20251231-0")
    assert nine is not None
    assert ten is not None
    assert lag("4.22.0", built=(nine, ten)).days is None


@pytest.mark.parametrize(
    ("cluster", "nodes", "asked"),
    [
        ("Multi", ("amd64",), "multi"),
        ("", ("arm64",), "arm64"),
        ("", ("x86_64",), "amd64"),
        ("", ("aarch64",), "arm64"),
        ("", ("s390x", ""), "s390x"),
        ("", (), "amd64"),
    ],
)
def test_the_architecture_asked_for(cluster: str, nodes: tuple[str, ...], asked: str) -> None:
    assert architecture_of(a_version(architecture=cluster), nodes) == asked
    assert architecture_of(None, nodes or ("amd64",)) == (asked if not cluster else "amd64")


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the sample is not here")
def test_a_real_graph() -> None:
    graph = parse_graph(SAMPLE.read_bytes())
    assert len(graph.nodes) == 98
    assert sum(len(graph.recommended(n.version)) for n in graph.nodes) > 1000
    assert "stable-4.13" in graph.channels("4.13.30")
    names = {r.name for o in graph.conditional("4.13.30") for r in o.risks}
    assert names == {"CephCapDropPanic", "HighNodeStatusReportFrequency"}
    assert lag("4.13.30", graph=graph) == Lag(minors=0, releases=13, said_by=Source.GRAPH)
    for one in graph.nodes:
        assert one.digest is not None
        assert graph.node_of(one.digest) is one
