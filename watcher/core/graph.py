"""The update graph: which releases there are in a channel, and how far behind one of them is.

Format and rules: openshift/cincinnati docs/design/cincinnati.md and openshift.md; how a cluster
reads it: cluster-version-operator pkg/cincinnati. The graph has no times; see `lag`.
What it says of images is never trusted: a release is what its signature says it is.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import semver

from watcher.core.cluster import ClusterVersion, Risk
from watcher.core.facts import Digest, Malformed

PUBLIC = "https://api.openshift.com/api/upgrades_info/v1/graph"
"""Red Hat's update service: cluster-version-operator pkg/cvo/availableupdates.go."""
CHANNELS = "io.openshift.upgrades.graph.release.channels"
MANIFEST = "io.openshift.upgrades.graph.release.manifestref"
UNKNOWN_RISK = "unknown"
_MIB = 1024 * 1024
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class OverLimit(Malformed):
    """The graph is larger than we read; the message names the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that is read of one graph."""

    size: int = 10 * _MIB
    """Bytes. Those of one channel have under 2 MiB."""
    nodes: int = 20_000
    """All releases there ever were are about two thousand."""
    edges: int = 200_000
    """Unconditional and conditional ones, each kind."""
    parts: int = 500_000
    """Objects and lists in the text, counted before anything is made of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A release."""

    version: str
    payload: str
    """Pullspec of the release image, as the graph has it."""
    channels: tuple[str, ...] = ()
    url: str = ""
    manifest: str = ""
    """Digest of the release image by another name, for graphs whose payload is by tag."""

    @property
    def digest(self) -> Digest | None:
        """Of the release image; None where the graph does not say it."""
        for text in (self.payload.partition("@")[2], self.manifest):
            try:
                return Digest(text)
            except Malformed:
                continue
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A release that one may go to."""

    node: Node
    risks: tuple[Risk, ...] = ()
    """Empty: recommended to everybody."""


class Graph:
    """The graph of a channel and an architecture; `parse_graph` makes it."""

    def __init__(
        self,
        nodes: Sequence[Node] = (),
        edges: Iterable[tuple[int, int]] = (),
        conditional: Iterable[tuple[str, str, tuple[Risk, ...]]] = (),
    ) -> None:
        """`edges`: from and to, as indexes; `conditional`: versions, and the edge's risks."""
        self.nodes = tuple(nodes)
        self._by_version: dict[str, Node] = {}
        self._by_digest: dict[Digest, Node] = {}
        for node in self.nodes:  # the first of two is kept: there should not be two
            self._by_version.setdefault(node.version, node)
            if digest := node.digest:
                self._by_digest.setdefault(digest, node)
        self._targets: dict[str, dict[str, None]] = {}
        for start, end in edges:
            self._targets.setdefault(self.nodes[start].version, {})[self.nodes[end].version] = None
        self._risky: dict[str, dict[str, tuple[Risk, ...]]] = {}
        for from_version, to_version, risks in conditional:
            there = self._risky.setdefault(from_version, {})
            there[to_version] = there.get(to_version, ()) + risks

    def node(self, version: str) -> Node | None:
        return self._by_version.get(version)

    def node_of(self, payload: Digest) -> Node | None:
        """The release of this release image."""
        return self._by_digest.get(payload)

    def channels(self, version: str) -> tuple[str, ...]:
        """Every channel the release is in; empty for one that is not in this graph."""
        node = self.node(version)
        return node.channels if node else ()

    def recommended(self, version: str) -> tuple[Offer, ...]:
        """Releases one may go to without condition, newest first."""
        # Where an edge is declared twice the condition counts, as for the version operator.
        risky = self._risky.get(version, {})
        return self._offers((to, ()) for to in self._targets.get(version, {}) if to not in risky)

    def conditional(self, version: str) -> tuple[Offer, ...]:
        """Releases one may go to unless a risk applies, newest first, with the risks."""
        return self._offers(self._risky.get(version, {}).items())

    def _offers(self, targets: Iterable[tuple[str, tuple[Risk, ...]]]) -> tuple[Offer, ...]:
        found = [
            Offer(node=self._by_version[to], risks=risks)
            for to, risks in targets
            if to in self._by_version
        ]
        return tuple(sorted(found, key=lambda offer: order(offer.node.version), reverse=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenGraph:
    """A graph as somebody has it, and whether it is the newest."""

    graph: Graph
    age_seconds: float = 0.0
    """Since it was read."""
    stale_because: str = ""
    """Why there is no newer one; empty: it is fresh."""


def service_of(cv: ClusterVersion | None, configured: str = "") -> str:
    """Return the update service to ask: the configured one, the cluster's, else the public one."""
    return configured or (cv.upstream if cv else "") or PUBLIC


def architecture_of(cv: ClusterVersion | None, nodes: Collection[str] = ()) -> str:
    """Return the service's `arch`: ``multi`` for such a payload, else what the nodes are."""
    if cv is not None and cv.architecture.lower() == "multi":
        return "multi"
    named = sorted({_ARCHITECTURES.get(node, node) for node in nodes if node})
    return named[0] if named else "amd64"


def offered_to(cv: ClusterVersion) -> tuple[Offer, ...]:
    """Return what a cluster says it may go to, newest first: all there is offline.

    Risks are told where one of them applies to it, or it does not know.
    """
    offers = []
    for update in cv.offered:
        told = () if update.recommended else update.risks or (Risk(name=UNKNOWN_RISK),)
        risks = tuple(
            replace(r, name=_line(r.name), message=_line(r.message, 1000), url=_line(r.url, 500))
            for r in told
        )
        node = Node(
            version=update.version, payload=update.image, channels=update.channels, url=update.url
        )
        offers.append(Offer(node=node, risks=risks))
    return tuple(sorted(offers, key=lambda offer: order(offer.node.version), reverse=True))


def order(version: str) -> tuple[bool, semver.Version]:
    """Return a key to sort versions by; what is no version comes first."""
    parsed = semver_of(version)
    return parsed is not None, semver.Version(0) if parsed is None else parsed


def semver_of(version: str) -> semver.Version | None:
    """None for what is no version."""
    try:
        return semver.Version.parse(version)
    except (ValueError, TypeError):
        return None


# --- reading -------------------------------------------------------------------------------------


class _Node(msgspec.Struct):
    version: str
    payload: str = ""
    metadata: dict[str, Any] | None = None


class _Edge(msgspec.Struct, rename={"start": "from", "end": "to"}):
    start: str
    end: str


class _PromQL(msgspec.Struct):
    promql: str = ""


class _Rule(msgspec.Struct):
    type: str = ""
    promql: _PromQL | None = None


class _Risk(msgspec.Struct):
    name: str
    message: str = ""
    url: str = ""
    rules: list[_Rule] | None = msgspec.field(default=None, name="matchingRules")


class _Conditional(msgspec.Struct):
    edges: list[_Edge] | None = None
    risks: list[_Risk] | None = None


class _Graph(msgspec.Struct):
    nodes: list[_Node] | None
    edges: list[tuple[int, int]] | None = None
    conditional: list[_Conditional] | None = msgspec.field(default=None, name="conditionalEdges")
    version: int | None = None


def parse_graph(raw: bytes, limit: Limits | None = None) -> Graph:
    """Read the service's answer; raise OverLimit, or Malformed for what is no graph.

    Fields we do not know are ignored; a node, edge or index that is wrong is not.
    """
    limit = limit or Limits()
    if len(raw) > limit.size:
        raise OverLimit(f"the update graph is larger than {limit.size} bytes")
    if raw.count(b"{") + raw.count(b"[") > limit.parts:
        raise OverLimit(f"the update graph has more than {limit.parts} objects and lists")
    try:
        said = msgspec.json.decode(raw, type=_Graph)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"this is no update graph: {_line(error)}") from error
    if said.version not in (None, 1):
        raise Malformed(f"update graph of version {_line(said.version)}: only 1 is known")
    nodes, edges, blocks = said.nodes or [], said.edges or [], said.conditional or []
    _within(len(nodes), limit.nodes, "nodes")
    _within(len(edges), limit.edges, "edges")
    _within(sum(len(b.edges or ()) for b in blocks), limit.edges, "conditional edges")
    for edge in edges:
        for index in edge:
            if not 0 <= index < len(nodes):
                raise Malformed(
                    f"the update graph has an edge to node {_line(index)} of {len(nodes)}"
                )
    return Graph([_node(n) for n in nodes], edges, _conditional(blocks))


def _within(number: int, limit: int, what: str) -> None:
    if number > limit:
        raise OverLimit(f"the update graph has more than {limit} {what}")


def _node(said: _Node) -> Node:
    # Values of other types than text are none of ours.
    metadata = {k: v for k, v in (said.metadata or {}).items() if isinstance(v, str)}
    channels = (_line(c) for c in metadata.get(CHANNELS, "").split(","))
    return Node(
        version=_line(said.version),
        payload=_line(said.payload, 500),
        channels=tuple(c for c in channels if c),
        url=_line(metadata.get("url", ""), 500),
        manifest=metadata.get(MANIFEST, "")[:100],
    )


def _conditional(
    blocks: Iterable[_Conditional],
) -> Iterable[tuple[str, str, tuple[Risk, ...]]]:
    for block in blocks:
        risks = tuple(map(_risk, block.risks or ()))
        if not risks:  # a condition nobody tells: it is not recommended, and not without risk
            risks = (Risk(name=UNKNOWN_RISK),)
        for edge in block.edges or ():
            yield _line(edge.start), _line(edge.end), risks


def _risk(said: _Risk) -> Risk:
    rules = said.rules or []
    queries = (rule.promql.promql for rule in rules if rule.promql and rule.type == "PromQL")
    return Risk(
        name=_line(said.name),
        message=_line(said.message, 1000),
        url=_line(said.url, 500),
        always=any(rule.type == "Always" for rule in rules),
        promql=next(queries, "")[:4000],
    )


def _line(text: object, limit: int = 200) -> str:
    """Text from outside made fit for a message."""
    shown = "".join(c if c.isprintable() else " " for c in str(text)[:limit])
    return " ".join(shown.split())
