"""The node controller's judgement about a pool: who is next, and what the status says. Pure.

Read in openshift/machine-config-operator, ``pkg/controller/node`` and ``LayeredNodeState``.
One consequence matters to whoever rolls back: a node that degrades *after* it was drained is
cordoned, so it is unavailable, so with ``maxUnavailable: 1`` nobody is retargeted, itself
included, until a person (or Relayer) uncordons it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.cluster.render import MCO

CURRENT = f"{MCO}/currentConfig"
DESIRED = f"{MCO}/desiredConfig"
DESIRED_IMAGE = f"{MCO}/desiredImage"
STATE = f"{MCO}/state"
REASON = f"{MCO}/reason"
DESIRED_DRAIN = f"{MCO}/desiredDrain"
APPLIED_DRAIN = f"{MCO}/lastAppliedDrain"
POST_CONFIG_ACTION = f"{MCO}/post-config-action"

_FAILED = ("Degraded", "Unreconcilable")
_READY_WHEN = {"Ready": "True", "DiskPressure": "False", "NetworkUnavailable": "False"}

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeState:
    """The little of a Node that decisions need."""

    name: str
    created: str
    zone: str
    ready: bool
    """Could take work: conditions are good and it is not cordoned."""
    current: str
    desired: str
    desired_image: str
    state: str
    reason: str

    @classmethod
    def of(cls, node: Object) -> "NodeState":
        metadata = node["metadata"]
        notes = metadata.get("annotations") or {}
        conditions = (node.get("status") or {}).get("conditions") or ()
        return cls(
            name=metadata["name"],
            created=metadata["creationTimestamp"],
            zone=(metadata.get("labels") or {}).get("topology.kubernetes.io/zone", ""),
            ready=not (node.get("spec") or {}).get("unschedulable")
            and all(c["status"] == _READY_WHEN.get(c["type"], c["status"]) for c in conditions),
            current=notes.get(CURRENT, ""),
            desired=notes.get(DESIRED, ""),
            desired_image=notes.get(DESIRED_IMAGE, ""),
            state=notes.get(STATE, ""),
            reason=notes.get(REASON, ""),
        )

    @property
    def done(self) -> bool:
        return bool(self.current) and self.current == self.desired and self.state == "Done"

    @property
    def failing(self) -> bool:
        """Its daemon has given up on the desired config for now."""
        return self.current != self.desired and self.state in _FAILED

    @property
    def unavailable(self) -> bool:
        """Counts against maxUnavailable. One that fails but takes work may be retargeted."""
        return not self.ready or not (self.done or self.failing)

    def is_updated(self, target: str) -> bool:
        return self.done and self.desired == target and not self.desired_image


def max_unavailable(value: int | str | None, nodes: int) -> int:
    """1 if unset or 0; a percentage is of the nodes, rounded down."""
    if isinstance(value, str) and value.endswith("%"):
        value = int(value[:-1]) * nodes // 100
    return int(value or 0) or 1


def candidates(nodes: Sequence[NodeState], target: str, limit: int) -> list[NodeState]:
    """The nodes to send to the target now, within the limit of unavailable ones."""
    capacity = limit - sum(node.unavailable for node in nodes)

    def aimed(node: NodeState) -> bool:
        return node.desired == target and not node.desired_image

    # Those that fail at this very target may yet succeed, so their place stays taken.
    capacity -= sum(aimed(node) and node.failing for node in nodes)
    free = [node for node in nodes if not aimed(node) and node.ready]
    free.sort(key=lambda node: (node.zone == "", node.zone, node.created, node.name))
    return free[: max(0, capacity)]


def status(pool: Object, nodes: Sequence[NodeState], *, os_config: str, now: str) -> dict[str, Any]:
    """The status of a pool; ``os_config`` is the MachineOSConfig that owns it, if any."""
    spec, old = pool["spec"], pool.get("status") or {}
    target = spec["configuration"]["name"]
    updated = [node for node in nodes if node.is_updated(target)]
    ready = [node for node in updated if node.ready]
    unavailable = sum(node.unavailable for node in nodes)
    degraded = [node for node in nodes if node.state in _FAILED]
    all_updated = len(ready) == len(nodes) and unavailable == 0 and not os_config
    conditions = _Conditions(old.get("conditions") or (), now)
    _say_progress(conditions, spec, all_updated=all_updated, os_config=os_config)
    _say_degraded(conditions, degraded)
    return {
        **old,
        "observedGeneration": pool["metadata"]["generation"],
        "configuration": spec["configuration"] if all_updated else old.get("configuration", {}),
        "machineCount": len(nodes),
        "updatedMachineCount": len(updated),
        "readyMachineCount": len(ready),
        "unavailableMachineCount": unavailable,
        "degradedMachineCount": len(degraded),
        "conditions": conditions.entries,
    }


def _say_progress(
    conditions: "_Conditions", spec: Object, *, all_updated: bool, os_config: str
) -> None:
    line = f"MachineConfig {spec['configuration']['name']}"
    if all_updated:
        conditions.set("Updated", True, message=f"All nodes are updated with {line}")
        conditions.set("Updating", False)
        return
    conditions.set("Updated", False)
    if os_config:
        paused = "Pool is paused; waiting" if spec.get("paused") else "Pool is waiting"
        message = f"{paused} for a new OS image build to start (mosc: {os_config})"
        conditions.set("Updating", True, message=message)
    elif spec.get("paused"):
        conditions.set("Updating", False, message=f"Pool is paused; will not update to {line}")
    else:
        conditions.set("Updating", True, message=f"All nodes are updating to {line}")


def _say_degraded(conditions: "_Conditions", degraded: Sequence[NodeState]) -> None:
    message = ", ".join(f'Node {node.name} is reporting: "{node.reason}"' for node in degraded)
    reason = f"{len(degraded)} nodes are reporting degraded status on sync" if degraded else ""
    conditions.set("NodeDegraded", bool(degraded), reason=reason, message=message)
    render = conditions.is_true("RenderDegraded")
    conditions.set("Degraded", bool(degraded) or render, message=message)


def with_condition(
    old: Iterable[Object],
    kind: str,
    value: bool | str,
    *,
    now: str,
    reason: str = "",
    message: str = "",
) -> list[dict[str, Any]]:
    """The conditions with one of them set; its time moves only when its status does."""
    conditions = _Conditions(old, now)
    conditions.set(kind, value, reason=reason, message=message)
    return conditions.entries


class _Conditions:
    def __init__(self, old: Iterable[Object], now: str) -> None:
        self.entries = [dict(entry) for entry in old]
        self._now = now

    def is_true(self, kind: str) -> bool:
        return any(e["type"] == kind and e["status"] == "True" for e in self.entries)

    def set(self, kind: str, value: bool | str, *, reason: str = "", message: str = "") -> None:
        entry = {"type": kind, "status": str(value), "reason": reason, "message": message}
        for index, old in enumerate(self.entries):
            if old["type"] == kind:
                same = old["status"] == entry["status"]
                time = old["lastTransitionTime"] if same else self._now
                self.entries[index] = {**entry, "lastTransitionTime": time}
                return
        self.entries.append({**entry, "lastTransitionTime": self._now})
