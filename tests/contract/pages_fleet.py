"""The fleet of `pages_site`: five clusters, of which one is out of sight and one was never read."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.contract.pages_story import STATES
from tests.facts import a_version, base_image, image
from watcher.core.facts import ClusterName, PoolName
from watcher.core.lag import Lag, Source
from watcher.core.stages import stage_of
from watcher.core.state import Block, Finding, Flag, Nodes, Override, Raised, State, Surveyed

PROD, EDGE, STAGING, LAB, NEW = map(ClusterName, ("prod", "edge-oslo", "staging", "lab", "new-dc"))


def a_finding(cluster: str, pool: str, state: State, **said: Any) -> Finding:
    """Of the newest release unless `said` is otherwise."""
    default: dict[str, Any] = {
        "sentence": STATES[state],
        "base_expected": str(base_image("4.18.23")),
        "base_actual": str(base_image("4.18.23")),
        "base_source": "our labels",
        "nodes": Nodes(total=3, updated=3),
        "evidence": {
            "release": "4.18.23 is completed",
            "base": "payload, stream rhel-9",
            "lineage": "our labels",
            "recipe": "gpu",
            "conditions": "Updated",
        },
    }
    return Finding(
        cluster=ClusterName(cluster), pool=PoolName(pool), state=state, **{**default, **said}
    )


def ours(pool: str) -> Override:
    return Override(
        machineconfig=f"99-{pool}-relayer-osimage", image=str(image(f"{pool} 1")), by="relayer"
    )


def behind(releases: int, days: int, minors: int = 0) -> dict[str, Any]:
    return {
        "lag": Lag(minors=minors, releases=releases, days=days, said_by=Source.GRAPH),
        "base_actual": str(base_image("4.18.21")),
    }


def fleet_of(now: datetime) -> list[Surveyed]:
    """Every state is there."""
    next_minor = Block(target="next minor", why="its kubelets would be two minors behind")
    certificates = Block(target="certificates", why="paused: the signer ends in 19 days")
    prod = [
        a_finding("prod", "infra", State.BEHIND, override=ours("infra"), **behind(2, 16)),
        a_finding("prod", "gpu-a100", State.BEHIND, override=ours("gpu-a100"), **behind(2, 16)),
        a_finding("prod", "master", State.STOCK, base_source=""),
        a_finding(
            "prod",
            "worker",
            State.CURRENT,
            override=ours("worker"),
            nodes=Nodes(total=42, updated=42),
        ),
        a_finding(
            "prod",
            "storage",
            State.BLOCKED,
            override=ours("storage"),
            flags=(
                Raised(
                    flag=Flag.DEGRADED,
                    since=now - timedelta(hours=3),
                    said="node prod-storage-2 failed to drain",
                ),
            ),
            nodes=Nodes(total=6, updated=2, degraded=1),
            blocks=(next_minor,),
            **behind(3, 41, 1),
        ),
        a_finding(
            "prod",
            "telco",
            State.TAGGED,
            flags=(Raised(flag=Flag.TAG_MOVED, said="the tag means another image now"),),
        ),
        a_finding("prod", "legacy-fips", State.FOREIGN, nodes=Nodes(total=8, updated=8)),
    ]
    edge = [
        a_finding(
            "edge-oslo",
            "worker",
            State.BEHIND,
            override=ours("worker"),
            nodes=Nodes(total=12, updated=7),
            **behind(1, 7),
        ),
        a_finding("edge-oslo", "realtime", State.RECIPE_CHANGED, override=ours("realtime")),
        a_finding(
            "edge-oslo",
            "camera",
            State.BLOCKED,
            flags=(Raised(flag=Flag.PAUSED, since=now - timedelta(days=34)),),
            blocks=(certificates,),
            **behind(4, 52),
        ),
        a_finding("edge-oslo", "prebuilt", State.PREBUILT_FROZEN),
        a_finding("edge-oslo", "spare", State.EMPTY, nodes=Nodes()),
    ]
    staging = [
        a_finding("staging", "worker", State.AHEAD, override=ours("worker")),
        a_finding("staging", "infra", State.CURRENT, override=ours("infra")),
        a_finding("staging", "ocl", State.IMAGE_MODE),
        a_finding("staging", "first", State.MISSING),
        a_finding("staging", "lost", State.UNKNOWN_LINEAGE, base_actual="", base_source="nobody"),
        a_finding("staging", "shadow", State.SHADOWED),
        a_finding("staging", "broken", State.UNREADABLE, base_expected="", base_actual=""),
        a_finding(
            "staging",
            "mixed",
            State.CURRENT,
            override=ours("mixed"),
            flags=(Raised(flag=Flag.MIXED_NODES, said="two nodes have another image"),),
        ),
    ]
    lab = [
        a_finding("lab", "worker", State.CURRENT),
        a_finding("lab", "infra", State.BEHIND, **behind(1, 7)),
    ]
    away = "watch of MachineConfigPools: the API server does not answer (connect timeout)"
    return [
        surveyed(PROD, now, prod),
        surveyed(EDGE, now, edge, version="4.18.22"),
        surveyed(STAGING, now, staging, version="4.18.24", completed=False),
        surveyed(LAB, now - timedelta(minutes=47), lab, problems=(away,)),
        Surveyed(cluster=NEW, stage=stage_of(None), observed_at=datetime.min.replace(tzinfo=UTC)),
    ]


def surveyed(
    cluster: str,
    at: datetime,
    findings: Sequence[Finding],
    *,
    version: str = "4.18.23",
    completed: bool = True,
    problems: tuple[str, ...] = (),
) -> Surveyed:
    """One cluster as it was found at a moment."""
    cv = a_version(version, completed=completed, before="4.18.21")
    return Surveyed(
        cluster=ClusterName(cluster),
        stage=stage_of(cv),
        version=version,
        release=str(cv.desired_image),
        findings=tuple(
            replace(one, observed_at=at) for one in sorted(findings, key=lambda f: f.pool)
        ),
        problems=problems,
        observed_at=at,
        asked_at=at,
    )
