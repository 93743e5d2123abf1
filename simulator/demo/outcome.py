"""How the story ended: Relayer's word, checked against what the simulated world really is.

An update that says it is done proves nothing here. Asked are the nodes (which image are they booted
into?), the registry (is it there, with that digest?) and the audit trail (who agreed?).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.demo.slack import DemoSlack
from simulator.demo.world import CLUSTER, POOL, DemoWorld
from watcher.bootstrap import App
from watcher.core.build import Build, BuildState
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry

DONE, ROLLED_BACK = UpdateState.DONE.value, UpdateState.ROLLED_BACK.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    result: str
    """State of the newest update; `failed` where the world is not as that state says."""
    updates: tuple[Mapping[str, Any], ...]
    audit: tuple[AuditEntry, ...]
    problems: tuple[str, ...]
    """Why this is not how the story should have ended."""
    slack: Mapping[str, Any] | None = None
    """What was said in Slack, in figures; None without one."""

    def summary(self) -> dict[str, Any]:
        """The last line of `--json`."""
        said: dict[str, Any] = {
            "result": self.result,
            "updates": list(self.updates),
            "audit": len(self.audit),
        }
        said |= {"slack": dict(self.slack)} if self.slack is not None else {}
        return said | ({"problems": list(self.problems)} if self.problems else {})


async def judged(
    app: App,
    world: DemoWorld,
    *,
    failing: bool,
    image_before: str,
    slack: DemoSlack | None = None,
) -> Outcome:
    """Ask everybody. `failing`: the pool was meant to be put back to `image_before`."""
    history = await app.store.history(CLUSTER, POOL, 100)
    updates = [stored.job for stored in history if isinstance(stored.job, Update)]
    audit = tuple(await app.store.audit())
    running = world.running()
    problems: list[str] = []
    lies: list[str] = []
    if not updates:
        problems.append("there was no update")
    for update in updates:
        wanted = ROLLED_BACK if failing else DONE
        if update.state != wanted:
            why = f": {update.ended_because}" if update.ended_because else ""
            problems.append(f"update {update.id} is {update.state}, not {wanted}{why}")
        build = (await app.store.get(update.build)).job if update.build else None
        if update.state in (DONE, ROLLED_BACK):
            lies += _build_lies(update, build if isinstance(build, Build) else None, world)
            lies += _audit_lies(update, audit)
        if update.state == DONE:
            lies += _running_lies(running, str(update.image), world.override())
        elif update.state == ROLLED_BACK:
            lies += _running_lies(running, image_before, world.override())
            if world.cluster.pool(POOL)["spec"].get("paused"):
                lies.append("the pool is still paused")
        if slack is not None:
            lies += slack.lies(update.id, update.state)
            lies += _decision_lies(update, audit, slack)
    result = "failed" if lies or not updates else str(updates[0].state)
    return Outcome(
        result=result,
        updates=tuple(_told(update, audit, running) for update in updates),
        audit=audit,
        problems=tuple(problems + lies),
        slack=slack.summary() if slack else None,
    )


def _running_lies(running: Mapping[str, str], image: str, override: str) -> list[str]:
    lies = [
        f"node {node} runs {really}, not {image}"
        for node, really in running.items()
        if really != image
    ]
    if override != image:
        lies.append(f"the MachineConfig says {override or 'nothing'}, not {image}")
    return lies


def _build_lies(update: Update, build: Build | None, world: DemoWorld) -> list[str]:
    lies = []
    if build is None or build.state is not BuildState.READY or build.image != update.image:
        lies.append(f"update {update.id} has an image that no build was verified to have made")
    if update.image is None or not world.holds(update.image):
        lies.append(f"the registry does not hold {update.image}")
    if update.target.base != world.new.os_image:
        lies.append(f"its base is {update.target.base}, not that of {world.new.version}")
    return lies


def _audit_lies(update: Update, audit: Sequence[AuditEntry]) -> list[str]:
    events = [entry.event for entry in audit if entry.job == update.id]
    wanted = ["Proposed", "Voted", "Approved", "Applied"]
    wanted += ["RolledOut", "Soaked"] if update.state == DONE else ["WentWrong", "RolledBack"]
    missing = [event for event in wanted if event not in events]
    return [f"the audit trail of {update.id} lacks {', '.join(missing)}"] if missing else []


def _decision_lies(update: Update, audit: Sequence[AuditEntry], slack: DemoSlack) -> list[str]:
    """Whoever may not decide was turned away, and it is on record."""
    turned_away = [e.by for e in audit if e.job == update.id and e.event == "ApproveDeclined"]
    return [] if turned_away == [slack.refused()] else [f"declined were {turned_away}"]


def _told(
    update: Update, audit: Sequence[AuditEntry], running: Mapping[str, str]
) -> dict[str, Any]:
    voters = [e.by for e in audit if e.job == update.id and e.event == "Voted"]
    return {
        "cluster": update.cluster,
        "pool": update.pool,
        "state": str(update.state),
        "base": str(update.target.base),
        "image": str(update.image or ""),
        "signature": update.background.signature,
        "approved_by": ", ".join(dict.fromkeys(voters)),
        "nodes": {
            "total": len(running),
            "updated": sum(image == update.image for image in running.values()),
        },
        "seconds": round((update.changed_at - update.created_at).total_seconds(), 2),
    }
