"""How long it takes to say again where every pool stands: after one node event, and of everything.

500 pools, 5,000 nodes (a fifth of them in one pool) and 5,000 MachineConfigs, of which each pool
has one override and rendered ones. What an event must cost at least is one finding; a full pass,
one for each pool: `full_over_findings` is how much more it costs.
"""

import gc
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from tests.facts import (
    PROD,
    T0,
    a_base,
    a_lineage,
    a_machine_config,
    a_node,
    a_pool,
    a_release,
    a_version,
    conditions,
    generated,
    image,
)
from watcher.core import mco
from watcher.core.cluster import CertExpiry, ClusterView, MachineConfig, Node, Pool
from watcher.core.facts import PoolName
from watcher.core.lag import Lag
from watcher.core.state import State
from watcher.core.survey import Known, Survey

POOLS, NODES, MACHINE_CONFIGS = 500, 5_000, 5_000
LARGE_POOL = 1_000
EVENTS, FULL_PASSES = 1_000, 15
MINE, THEIRS = str(image("mine")), str(image("theirs"))


def run() -> dict[str, Any]:
    """Milliseconds; events one after another, each with the view that it leads to."""
    view, known = fleet(), KNOWN
    first = [_took(lambda: Survey(PROD).of(view, known, now=T0)) for _ in range(FULL_PASSES)]
    survey = Survey(PROD)
    found = survey.of(view, known, now=T0)
    events = _events(survey, view, known)
    again = [_again(survey, view, known, number) for number in range(FULL_PASSES)]
    one = _one_finding(view, known)
    events.sort()
    return {
        "states": len({one.state for one in found}),
        "behind": sum(one.state is State.BEHIND for one in found),
        "event_median_milliseconds": round(statistics.median(events), 3),
        "event_p99_milliseconds": round(events[int(len(events) * 0.99)], 3),
        "event_slowest_milliseconds": round(events[-1], 3),
        "full_pass_milliseconds": round(statistics.median(first), 1),
        "full_pass_slowest_milliseconds": round(max(first), 1),
        "full_again_milliseconds": round(statistics.median(again), 1),
        "one_finding_milliseconds": round(one, 4),
        "full_over_findings": round(statistics.median(first) / (one * POOLS), 2),
    }


def _events(survey: Survey, view: ClusterView, known: Known) -> list[float]:
    """As kubelets and the machine-config daemon cause them: any node, sometimes to another pool."""
    draw, took = random.Random(4), []
    names = list(view.nodes)
    for number in range(EVENTS):
        name = draw.choice(names)
        before = view.nodes[name]
        now = replace(before, os_image=f"RHCOS {number}", ready=number % 7 != 0)
        if number % 50 == 0:
            now = _node(name, f"pool-{draw.randrange(POOLS - 2)}")
        view = replace(view, nodes={**view.nodes, name: now})
        took.append(_took(partial(survey.of, view, known, now=T0, nodes=(name,))))
    assert survey.of(view, known, now=T0) == Survey(PROD).of(view, known, now=T0)
    return took


def _again(survey: Survey, view: ClusterView, known: Known, number: int) -> float:
    """A full pass where one pool moved since the last one."""
    moved = a_pool("pool-7", nodes=8, updated_count=number % 8)
    view = replace(
        view,
        observed_at=T0 + timedelta(seconds=number),
        pools={**view.pools, "pool-7": moved},
    )
    return _took(lambda: survey.of(view, known, now=T0 + timedelta(seconds=number)))


def _one_finding(view: ClusterView, known: Known) -> float:
    """A cluster of one pool of its average size."""
    some = {name: node for name, node in view.nodes.items() if "pool-3" in _roles(node)}
    name = mco.override_name(PoolName("pool-3"))
    alone = replace(
        view,
        pools={"pool-3": view.pools["pool-3"]},
        machine_configs={name: view.machine_configs[name]},
        nodes=some,
    )
    took = [_took(lambda: Survey(PROD).of(alone, known, now=T0)) for _ in range(200)]
    return statistics.median(took)


def _roles(node: Node) -> set[str]:
    """Those that a node's labels give it."""
    return {label.rpartition("/")[2] for label in node.meta.labels}


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


# --- the fleet -----------------------------------------------------------------------------------


KNOWN = Known(
    release=a_release(),
    bases={"rhel-9": a_base()},
    lineages={MINE: a_lineage(), THEIRS: a_lineage("4.16.1")},
    lags={f"pool-{n}": Lag(releases=n % 5, minors=0) for n in range(POOLS)},
)


def fleet() -> ClusterView:
    """One large cluster: most pools in step, a tenth behind, some paused or degraded."""
    custom = [f"pool-{n}" for n in range(POOLS - 2)]
    per_pool = (NODES - LARGE_POOL - 5) // len(custom)
    pools = {"master": a_pool("master", nodes=5), "worker": a_pool("worker", nodes=LARGE_POOL)}
    pools |= {name: _pool(number, name, per_pool) for number, name in enumerate(custom)}
    nodes = {f"master-{n}": _node(f"master-{n}", "master") for n in range(5)}
    for number in range(NODES - LARGE_POOL - 5):
        name = f"node-{number}"
        nodes[name] = _node(name, custom[number % len(custom)])
    nodes |= {f"worker-{n}": _node(f"worker-{n}") for n in range(LARGE_POOL)}
    mcs = [
        a_machine_config(
            mco.override_name(PoolName(name)), name, THEIRS if number % 10 == 0 else MINE
        )
        for number, name in enumerate(custom)
    ]
    mcs += [a_machine_config(f"50-worker-{n}", "worker") for n in range(20)]
    left = MACHINE_CONFIGS - len(mcs)
    mcs += [_rendered(custom[n % len(custom)], n // len(custom)) for n in range(left)]
    return ClusterView(
        cluster=PROD,
        observed_at=T0,
        cluster_version=a_version(),
        pools=pools,
        machine_configs={mc.meta.name: mc for mc in mcs},
        nodes=nodes,
    )


def _pool(number: int, name: str, nodes: int) -> Pool:
    if number % 20 == 3:
        signer = CertExpiry(
            bundle="b",
            subject="CN=kube-apiserver-to-kubelet-signer",
            expiry=T0 + timedelta(days=90),
        )
        return a_pool(name, nodes=nodes, paused=True, cert_expiries=(signer,))
    if number % 20 == 5:
        bad = conditions(Updated="False", Updating="True", Degraded="True:node is degraded")
        return a_pool(name, nodes=nodes, conditions=bad, updated_count=1, degraded_count=1)
    return a_pool(name, nodes=nodes)


def _node(name: str, *roles: str) -> Node:
    has = f"rendered-{(roles or ('worker',))[0]}-1"
    made = a_node(name, *(roles if roles == ("master",) else ("worker", *roles)), has=has)
    os = "Red Hat Enterprise Linux CoreOS 416.94.202407081958-0"
    return replace(made, kubelet_version="v1.29.6+aba1e8d", os_image=os)


def _rendered(pool: str, number: int) -> MachineConfig:
    return generated(f"rendered-{pool}-{number}", "", str(a_base().image))


if __name__ == "__main__":
    gc.collect()
    print(json.dumps(run(), indent=2))
