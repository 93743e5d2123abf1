"""Findings, a filled store and a read scrape, for the tests of figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.facts import INFRA, PROD, T0, an_update, seconds
from watcher.core.build import Build, BuildState
from watcher.core.cluster import ClusterView
from watcher.core.facts import NO_CLUSTER, ClusterName, PoolName
from watcher.core.jobs import Job
from watcher.core.lag import Lag
from watcher.core.stages import StageKind, StageSeen
from watcher.core.state import Block, Finding, Flag, Nodes, Raised, State, Surveyed
from watcher.core.update_events import UpdateState as S
from watcher.metrics import Metrics
from watcher.ports import Change, Store


def a_finding(**said: Any) -> Finding:
    """Two releases behind, unless something else is said."""
    usual: dict[str, Any] = {
        "cluster": PROD,
        "pool": INFRA,
        "state": State.BEHIND,
        "sentence": "its base is that of 4.18.1, the cluster's is that of 4.18.3",
        "lag": Lag(releases=2, minors=0, days=30),
        "nodes": Nodes(total=6, updated=4, degraded=1),
        "observed_at": T0,
    }
    return Finding(**(usual | said))


def a_surveyed(*findings: Finding, **said: Any) -> Surveyed:
    usual: dict[str, Any] = {
        "cluster": PROD,
        "stage": StageSeen(kind=StageKind.COMPLETED, sentence="", version="4.18.3"),
        "version": "4.18.3",
        "findings": findings,
        "observed_at": T0,
    }
    return Surveyed(**(usual | said))


def a_fleet(pools: int, clusters: int = 10) -> list[Surveyed]:
    """So many pools with all that can be said of one."""
    flags = (Raised(flag=Flag.PAUSED, since=T0), Raised(flag=Flag.UNPULLABLE))
    blocks = (Block(target="4.19", why="kubelets"), Block(target="certificates", why="paused"))
    names = [ClusterName(f"cluster-{number}") for number in range(clusters)]
    return [
        a_surveyed(
            *(
                a_finding(cluster=name, pool=PoolName(f"pool-{n}"), flags=flags, blocks=blocks)
                for n in range(pools // clusters)
            ),
            cluster=name,
        )
        for name in names
    ]


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a monitoring has of one answer."""

    text: str
    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]
    kinds: Mapping[str, str]
    """Family → type; a counter's without `_total`, as the parser has it."""

    @classmethod
    def of(cls, text: bytes) -> "Scrape":
        read = text.decode()
        families = list(text_string_to_metric_families(read))
        rows = [
            ((sample.name, frozenset(sample.labels.items())), sample.value)
            for family in families
            for sample in family.samples
        ]
        assert len(rows) == len(dict(rows)), "a series is told twice"
        return cls(read, dict(rows), {family.name: family.type for family in families})

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))

    def having(self, name: str) -> dict[tuple[str, ...], float]:
        """Values of a figure by the values of its labels, by the labels' names."""
        return {
            tuple(value for _, value in sorted(labels)): found
            for (one, labels), found in self.samples.items()
            if one == name
        }


async def scrape(
    store: Store,
    *,
    metrics: Metrics | None = None,
    clusters: Iterable[str] = (),
    surveyed: Sequence[Surveyed] = (),
    now: datetime = T0,
) -> Scrape:
    watched = {ClusterName(name): Unwatched() for name in clusters}
    made = metrics or Metrics()
    return Scrape.of(await made.text(store, watched, surveyed=surveyed, now=now))


class Unwatched:
    """A cluster without watches."""

    @property
    def reflectors(self) -> Mapping[str, Any]:
        return {}


def never_seen() -> Surveyed:
    """A cluster that was never read."""
    return Surveyed.of(
        ClusterView(cluster=PROD, observed_at=datetime.min.replace(tzinfo=T0.tzinfo))
    )


def a_build(id_: str, state: BuildState, at: datetime = T0, recipe: str = "gpu") -> Build:
    update = an_update()
    return Build(
        id=id_,
        key=id_,
        base=update.target.base,
        base_version="4.18.3",
        recipe=recipe,
        recipe_digest=update.target.recipe_digest,
        target=update.target.base.repository,
        platforms=("linux/amd64",),
        created_at=at - seconds(90),
        changed_at=at,
        state=state,
        cluster=NO_CLUSTER,
    )


async def put(store: Store, *jobs: Job) -> None:
    for job in jobs:
        due = None if job.is_ended else 0.0
        await store.commit([Change(job=job, expected=0, due_in_seconds=due)], [])


async def everything(store: Store) -> tuple[Metrics, Scrape]:
    """A scrape with each figure there is."""
    metrics = Metrics()
    waiting = an_update(state=S.AWAITING_APPROVAL)
    rolling = an_update(id="u-2", pool=PoolName("gpu"), state=S.ROLLING_OUT)
    await put(store, waiting, rolling)
    at = T0.isoformat()
    view = {"cluster": "prod", "pool": "infra", "decision": "Hold", "at": at}
    await store.put_view("pool:prod/infra", view)
    await store.keep("notices", {"notices": [notice("held:1")]})
    await scrape(store, metrics=metrics)
    times = ((str(S.WAITING_FOR_BUILD), T0), (str(S.REJECTED), T0 + seconds(60)))
    gone = an_update(id="u-3", pool=PoolName("old"), state=S.REJECTED, times=times)
    await put(store, gone, a_build("b-1", BuildState.FAILED))
    metrics.stepped(waiting)
    metrics.observe_step(waiting, 2.0)
    metrics.retried(waiting)
    metrics.declined("http")
    for told in (metrics.delivered, metrics.edited, metrics.failed):
        told("slack")
    metrics.paused("slack", 3.0)
    metrics.api_called("prod", "list", "ok")
    metrics.registry_called("quay.io", "login")
    metrics.slack_called("chat.postMessage", "limited")
    flags = (Raised(flag=Flag.PAUSED, since=T0),)
    blocks = (Block(target="certificates", why="paused", until=T0 + seconds(86400)),)
    seen = a_surveyed(a_finding(flags=flags, blocks=blocks))
    text = await metrics.text(store, {PROD: Watched()}, surveyed=[seen], now=T0)
    return metrics, Scrape.of(text)


class Watched:
    @property
    def reflectors(self) -> dict[str, Any]:
        return {"Node": Watch(T0 - seconds(7)), "MachineConfig": Watch(None)}


class Watch:
    def __init__(self, synced_at: datetime | None) -> None:
        self.synced_at = synced_at


def notice(cause: str, **said: Any) -> dict[str, Any]:
    return {"cause": cause, "severity": "warning", "to": "slack:C1", "over_at": None, **said}
