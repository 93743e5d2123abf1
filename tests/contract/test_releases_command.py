"""`relayer releases`: what a cluster is offered, and at which risk."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver.kinds import CLUSTER_VERSIONS
from tests.facts import release_image
from tests.release_world import Site, Sites, nobody_at_home, relayer, sites
from watcher.core.facts import Pullspec

RISK = {
    "name": "LostNetwork",
    "message": "Nodes with \x1b[1mold\x1b[0m cards\nlose their network.",
    "url": "https://issues.example.com/1",
    "matchingRules": [{"type": "PromQL", "promql": {"promql": "up"}}],
}
ALWAYS = {
    "name": "SlowBoot",
    "message": "Boots slowly.",
    "url": "https://issues.example.com/2",
    "matchingRules": [{"type": "Always"}],
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


@pytest.fixture
async def clusters(tmp_path: Path) -> AsyncIterator[Sites]:
    async with sites(tmp_path) as opened:
        yield opened


def update(version: str) -> dict[str, Any]:
    return {"version": version, "image": str(release_image(version))}


def conditional(version: str, status: str, *risks: Any) -> dict[str, Any]:
    said = {
        "type": "Recommended",
        "status": status,
        "reason": "Because",
        "message": "as it was found",
        "lastTransitionTime": "2026-11-01T00:00:00Z",
    }
    return {"release": update(version), "risks": list(risks), "conditions": [said]}


async def offered(clusters: Sites, available: Any, conditionals: Any) -> Site:
    site = await clusters.open(Pullspec(release_image("4.16.3")))
    said = {"availableUpdates": available, "conditionalUpdates": conditionals}
    site.edit(CLUSTER_VERSIONS, "version", status=True, **said)
    return site


async def test_risks_are_told_with_whom_they_concern_and_whether_they_apply_here(
    clusters: Sites,
) -> None:
    site = await offered(
        clusters,
        [update("4.16.4"), update("4.16.10")],
        [
            conditional("4.17.1", "False", RISK, ALWAYS),
            conditional("4.17.2", "Unknown", RISK),
            conditional("4.17.0", "True", RISK),
        ],
    )
    out = (await relayer("releases", "--kubeconfig", site.kubeconfig)).out
    assert [line.split() for line in out.splitlines()[:6]] == [
        ["VERSION", "RECOMMENDED", "APPLIES", "HERE", "RISKS"],
        ["4.17.2", "under", "conditions", "not", "known", "LostNetwork"],
        ["4.17.1", "under", "conditions", "yes", "LostNetwork,", "SlowBoot"],
        ["4.17.0", "yes", "no", "LostNetwork"],
        ["4.16.10", "yes", "-", "-"],
        ["4.16.4", "yes", "-", "-"],
    ]
    assert "LostNetwork (4.17.2, 4.17.1, 4.17.0); concerns clusters that a query finds" in out
    assert "SlowBoot (4.17.1); concerns every cluster" in out
    assert "https://issues.example.com/1" in out
    assert "\x1b" not in out
    said = (await relayer("releases", "-o", "json", "--kubeconfig", site.kubeconfig)).json()
    assert (said["cluster"], len(said["releases"])) == ("kubeconfig", 5)
    assert said["releases"][1] == {
        **update("4.17.1"),
        "url": None,
        "recommended": False,
        "applies": "yes",
        "why": "as it was found",
        "risks": [
            {
                "name": "LostNetwork",
                "message": "Nodes with [1mold [0m cards lose their network.",
                "url": "https://issues.example.com/1",
                "concerns": "clusters that a query finds",
            },
            {
                "name": "SlowBoot",
                "message": "Boots slowly.",
                "url": "https://issues.example.com/2",
                "concerns": "every cluster",
            },
        ],
    }


async def test_a_condition_that_nobody_names_is_a_risk_all_the_same(clusters: Sites) -> None:
    site = await offered(clusters, None, [conditional("4.17.1", "False")])
    out = (await relayer("releases", "--kubeconfig", site.kubeconfig)).out
    assert "unknown (4.17.1); concerns not told" in out


async def test_a_cluster_that_is_offered_nothing_says_so(clusters: Sites) -> None:
    site = await offered(clusters, None, None)
    out = (await relayer("releases", "--kubeconfig", site.kubeconfig)).out
    assert "is offered nothing" in out
    said = (await relayer("releases", "-o", "json", "--kubeconfig", site.kubeconfig)).json()
    assert said["releases"] == []
