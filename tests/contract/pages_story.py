"""What has happened in the fleet of `pages_site`: updates in every stage, freezes, looks."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.facts import (
    a_build,
    a_target,
    a_vote,
    an_update,
    approved,
    base_image,
    image,
)
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.approval import ApprovalRules
from watcher.core.build import BuildState
from watcher.core.facts import ClusterName, PoolName
from watcher.core.jobs import Job
from watcher.core.silences import Silence
from watcher.core.state import State
from watcher.core.timing import Freeze
from watcher.core.update import Background, Policy, Update
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry, Change

STATES = {
    State.STOCK: "no override: it follows the release",
    State.CURRENT: "its base is that of 4.18.23, and its recipe is as it is now",
    State.BEHIND: "its base is of 4.18.21, the release's is of 4.18.23",
    State.AHEAD: "its base is of 4.18.25, newer than the control plane's 4.18.24",
    State.RECIPE_CHANGED: "the base is right; recipe gpu is another now",
    State.UNKNOWN_LINEAGE: "nobody knows the base of its image: no labels, no known layers",
    State.TAGGED: "50-telco names its image by tag: registry.example.com/telco/os:latest",
    State.MISSING: "recipe gpu is configured, and there is no override yet",
    State.SHADOWED: "99-shadow-relayer-osimage is there, and 99-zz-vendor decides",
    State.FOREIGN: "60-fips-osimage decides, and it is not ours",
    State.IMAGE_MODE: "MachineOSConfig ocl builds its image on the cluster",
    State.PREBUILT_FROZEN: "10-prebuiltimage-osimageurl-prebuilt decides, which nobody may edit",
    State.BLOCKED: "a node is degraded; its base is of 4.18.20, the release's is of 4.18.23",
    State.EMPTY: "no nodes",
    State.UNREADABLE: "the base of the release cannot be read: registry.example.com answers 503",
}
RULES = ApprovalRules(quorum=2, approvers=("token:ann", "token:bob", "person:Kari Nordmann"))
WAITING = "u-infra-4-18-23"
ROLLING = "u-edge-4-18-22"
LOG = [
    "STEP 1/4: FROM quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:8f1c…",
    "STEP 2/4: COPY kernel/ /tmp/kernel/",
    "STEP 3/4: RUN rpm-ostree override replace /tmp/kernel/*.rpm",
    "Inactive requests: kernel-rt (already provided)",
    "STEP 4/4: RUN ostree container commit",
]


def at(cluster: str, pool: str, **said: Any) -> Update:
    """An update to 4.18.23 of a pool."""
    default: dict[str, Any] = {
        "cluster": ClusterName(cluster),
        "pool": PoolName(pool),
        "target": a_target("4.18.23"),
        "policy": Policy(approval=RULES),
        "because": "its base is of 4.18.21, and the cluster completed 4.18.23",
        "image": image(f"{pool} 2"),
        "background": Background(
            nodes=3,
            estimate_seconds=2700,
            os_version="418.94.202611041200-0",
            signature="its signature is good",
            from_image=str(image(f"{pool} 1")),
            from_release="4.18.21",
            from_base=str(base_image("4.18.21")),
            from_recipe="gpu",
            from_os_version="418.94.202609041200-0",
            complaints=("RL012 line 3: rpm-ostree cleanup is missing",),
        ),
    }
    return an_update(**{**default, **said})


def _now(update: Update, now: datetime, hours: float) -> Update:
    """Moved to `hours` ago."""
    then = now - timedelta(hours=hours)
    return replace(update, created_at=then - timedelta(hours=1), changed_at=then)


def _updates(now: datetime) -> list[Update]:
    asked = now + timedelta(hours=22)
    waiting = at("prod", "infra", id=WAITING, state=UpdateState.AWAITING_APPROVAL, expires_at=asked)
    voted = replace(waiting, votes=(a_vote(waiting, "token:ann", now - timedelta(minutes=9)),))
    until = now + timedelta(days=6)
    rolling = at("edge-oslo", "worker", id=ROLLING, state=UpdateState.ROLLING_OUT)
    scheduled = at("edge-oslo", "realtime", id="u-rt-1", state=UpdateState.SCHEDULED)
    first = at("staging", "first", id="u-first-1", state=UpdateState.WAITING_FOR_BUILD, image=None)
    old = [
        ("prod", "worker", UpdateState.DONE, ""),
        ("prod", "infra", UpdateState.DONE, ""),
        ("prod", "gpu-a100", UpdateState.REJECTED, "rejected by token:bob: not before the fair"),
        ("prod", "storage", UpdateState.STUCK, "undoing failed: the pool is paused by somebody"),
        ("staging", "infra", UpdateState.ROLLED_BACK, "node staging-infra-1 did not come back"),
        ("staging", "worker", UpdateState.EXPIRED, "nobody acted on it in time"),
        ("edge-oslo", "camera", UpdateState.FAILED, "recipe gpu: line 4 cannot be read"),
    ]
    ended = [
        _now(at(c, p, id=f"u-old-{n}", state=s, ended_because=why), now, 30.0 + 20 * n)
        for n, (c, p, s, why) in enumerate(old)
    ]
    return [
        _now(voted, now, 2),
        _now(
            at(
                "prod",
                "gpu-a100",
                id="u-gpu-1",
                state=UpdateState.AWAITING_APPROVAL,
                expires_at=asked,
            ),
            now,
            1,
        ),
        _now(approved(rolling, by="token:ann", at=now - timedelta(hours=3)), now, 0.7),
        replace(_now(approved(scheduled, by="token:bob", at=now), now, 1), expires_at=until),
        _now(replace(first, build="b-2"), now, 0.1),
        *ended,
    ]


def nodes(updated: int, total: int = 12) -> dict[str, object]:
    """The progress of a rollout of which so many nodes are done."""
    word = {0: "Working", 1: "Rebooting"}
    rows = [
        {
            "name": f"edge-oslo-worker-{n}.example.com",
            "state": word.get(n - updated, "Done") if n >= updated else "Done",
            "updated": n < updated,
            "ready": n - updated != 1,
            "reason": "",
        }
        for n in range(total)
    ]
    said = f"{updated} of {total} nodes run it"
    return {"phase": "rolling", "waiting": said, "updated": updated, "total": total, "nodes": rows}


async def tell(store: MemoryStore, now: datetime) -> None:
    """Put it all into the store."""
    builds = [
        a_build(state=BuildState.READY, image=image("infra 2"), created_at=now, changed_at=now),
        a_build(id="b-2", key="k2", state=BuildState.BUILDING, created_at=now, changed_at=now),
    ]
    jobs: list[Job] = [*builds, *_updates(now)]
    for job in jobs:
        said = AuditEntry(
            at=job.created_at,
            job=job.id,
            event="Proposed",
            by="relayer",
            state=str(job.state),
            cluster=getattr(job, "cluster", ""),
            pool=getattr(job, "pool", ""),
        )
        await store.commit([Change(job=job, expected=0)], [said])
    await store.set_progress(ROLLING, nodes(7))
    opens = (now + timedelta(hours=9)).isoformat()
    await store.set_progress("u-rt-1", {"scheduled_for": opens, "waiting": "its window is closed"})
    await store.set_progress("b-2", {"waiting": "building: step 3 of 4"})
    for build in ("b-1", "b-2"):
        await store.add_log(build, LOG)
    for place, decision, because, unmet in LOOKS:
        cluster, _, pool = place.partition("/")
        await store.put_view(
            f"pool:{place}",
            {
                "cluster": cluster,
                "pool": pool,
                "at": now.isoformat(),
                "decision": decision,
                "because": because,
                "release": "4.18.23",
                "nodes": 3,
                "paused": False,
                "image": "",
                "update": "",
                "unmet": unmet,
                "expected_base": "",
                "expected_release": "4.18.23",
            },
        )
    held = Freeze(
        scope="edge-oslo/realtime",
        by="token:bob",
        because="a customer's demo",
        at=now - timedelta(hours=5),
        until=now + timedelta(hours=20),
    )
    wide = replace(held, scope="staging", because="the lab moves house", by="token:ann")
    for freeze in (held, wide):
        await store.freeze(freeze, _by(freeze.by, "Frozen", freeze.scope, now))
    silence = Silence(
        id="s-1",
        scope="lab",
        rule="unseen",
        by="token:ann",
        because="its switch is replaced",
        at=now,
        until=now + timedelta(hours=6),
    )
    await store.silence(silence, _by("token:ann", "Silenced", "lab", now))
    declined = _by("token:eve", "ApproveDeclined", "prod/infra", now)
    await store.audit_only(replace(declined, detail="token:eve is no approver of this pool"))


def _by(who: str, event: str, scope: str, now: datetime) -> AuditEntry:
    cluster, _, pool = scope.partition("/")
    return AuditEntry(
        at=now, job="", event=event, by=who, state="", cluster=cluster, pool=pool, surface="http"
    )


LOOKS: tuple[tuple[str, str, str, list[str]], ...] = (
    (
        "prod/infra",
        "Rebuild",
        "its base is of 4.18.21, and the cluster completed 4.18.23",
        ["it waits for 1 more approval", "the window tue, thu 22:00 Europe/Oslo is closed"],
    ),
    ("prod/worker", "InStep", "it runs recipe gpu on the base of 4.18.23", []),
    ("prod/storage", "Hold", "the last update is stuck; ask for a rebuild when it is well", []),
    ("edge-oslo/worker", "Rebuild", "an update is under way", []),
    ("edge-oslo/realtime", "Rebuild", "recipe gpu has changed", ["it is held by token:bob"]),
)
