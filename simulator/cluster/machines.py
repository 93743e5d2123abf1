"""One node and its machine-config daemon: cordon, drain, rebase, reboot, uncordon.

Read in openshift/machine-config-operator, ``pkg/daemon``: the image is pulled after the drain, so
a node whose image cannot be pulled stays cordoned while it is Degraded. While it reboots, its
state annotation still says Working; ``post-config-action`` says Rebooting.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.apiserver.kinds import MACHINE_CONFIGS, NODES
from simulator.cluster import objects, pools
from simulator.cluster.world import CONTROLLER, DAEMON, KUBELET, Document, World, annotations

Pull = Callable[[str], Awaitable[object]]
"""Asked with the pullspec when a node rebases; raising, or answering False, is a failed pull."""

_PULL_LIMIT_SECONDS = 20.0
"""Of real time: a registry that hangs must not stop the simulated time for ever."""


_NO_CONFIG = 'machineconfigs.machineconfiguration.openshift.io "{}" not found'


@dataclass(slots=True)
class Trouble:
    """A failure waiting for its node."""

    node: str
    """A name, ``first`` (the first node that gets there) or ``any``."""
    image: str
    """Only when rebasing to this image; empty: whatever it is, and then that one only."""
    stage: str
    """``prepare`` (before the drain), ``rebase`` (after it), ``boot`` (never comes back)."""
    reason: str
    pool: str = ""

    def meets(self, node: str, pool: str, image: str, stage: str) -> bool:
        """True if it strikes here; it then stays with this node and image."""
        if (
            stage != self.stage
            or self.node not in (node, "first", "any")
            or self.image not in ("", image)
            or self.pool not in ("", pool)
        ):
            return False
        self.node = "any" if self.node == "any" else node
        self.image = image
        return True


@dataclass(slots=True)
class Machine:
    """A node that follows its ``desiredConfig``."""

    world: World
    name: str
    running: str
    """The image it is booted into."""
    pull: Pull
    info: Callable[[str, Document], Document]
    """Image and old nodeInfo → what the node reports when it runs that image."""
    troubles: list[Trouble]
    pool: str = ""
    reboots: int = 0
    busy: bool = field(default=False, init=False)
    _failed_at: str = field(default="", init=False)
    _target: str = field(default="", init=False)
    """The config being applied. Someone may ask for another one meanwhile: that comes after."""
    _staged: str = field(default="", init=False)
    """The image that the next boot runs."""

    def wake(self, node: pools.NodeState) -> None:
        """Look whether there is something to do. A failed one waits for another target."""
        if self.busy or node.done or (node.failing and node.desired == self._failed_at):
            return
        self._soon(0.5, self._begin)

    def _soon(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        async def due() -> None:
            if self.world.store.find(NODES, self.name):  # it may have been deleted meanwhile
                await work()

        self.busy = True
        self.world.clock.after(seconds, due)

    def _node(self) -> dict[str, str]:
        node = self.world.store.get(NODES, self.name)
        notes: dict[str, str] = node.object["metadata"]["annotations"]
        return notes

    def _annotate(self, by: str, notes: dict[str, str]) -> None:
        self.world.edit(NODES, self.name, lambda node: annotations(node).update(notes), by)

    def _config(self, name: str) -> Any:
        found = self.world.store.find(MACHINE_CONFIGS, name)
        return found.object["spec"] if found else None

    async def _begin(self) -> None:
        notes = self._node()
        desired = notes[pools.DESIRED]
        if desired == notes[pools.CURRENT]:
            return self._finish(desired)  # taken back before anything was staged: no reboot
        self._target = desired
        if notes[pools.STATE] not in ("Degraded", "Unreconcilable"):
            self._annotate(DAEMON, {pools.STATE: "Working"})
        config = self._config(desired)
        if config is None:
            return self._fail(desired, _NO_CONFIG.format(desired))
        if trouble := self._struck("prepare", config["osImageURL"]):
            return self._fail(desired, trouble)
        drain = f"drain-{desired}"
        if notes.get(pools.APPLIED_DRAIN) == drain:
            return await self._rebase()
        self._annotate(DAEMON, {pools.DESIRED_DRAIN: drain})
        self._cordon(True)
        self._soon(self.world.timings.drain, self._drained)

    def _struck(self, stage: str, image: str) -> str:
        for trouble in self.troubles:
            if trouble.meets(self.name, self.pool, image, stage):
                return trouble.reason or "simulated failure"
        return ""

    def _cordon(self, cordoned: bool) -> None:
        def change(node: Document) -> None:
            node["spec"].pop("unschedulable", None)
            node["spec"].pop("taints", None)
            if cordoned:
                taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
                node["spec"] |= {"unschedulable": True, "taints": [taint]}

        self.world.edit(NODES, self.name, change, CONTROLLER)

    async def _drained(self) -> None:
        self._annotate(CONTROLLER, {pools.APPLIED_DRAIN: self._node()[pools.DESIRED_DRAIN]})
        await self._rebase()

    async def _rebase(self) -> None:
        desired = self._target
        config = self._config(desired)
        if config is None:
            return self._fail(desired, _NO_CONFIG.format(desired))
        image = config["osImageURL"]
        if image != self.running:
            failure = self._struck("rebase", image) or await self._pull_failure(image)
            if failure:
                why = f"failed to update OS to {image} after retries: {failure}"
                return self._fail(desired, why)
        self._staged = image
        self._soon(self.world.timings.rebase, self._reboot)

    async def _pull_failure(self, image: str) -> str:
        try:
            async with asyncio.timeout(_PULL_LIMIT_SECONDS):
                answer = await self.pull(image)
        except Exception as error:  # whatever the hook raises is what the node reports
            return f"{type(error).__name__}: {error}"[:500]
        return "the registry does not have it" if answer is False else ""

    def _fail(self, desired: str, reason: str) -> None:
        self._failed_at, self.busy = desired, False
        self._annotate(DAEMON, {pools.STATE: "Degraded", pools.REASON: reason[:2000]})
        self.world.clock.after(self.world.timings.retry, self._retry)

    async def _retry(self) -> None:
        found = self.world.store.find(NODES, self.name)
        if found and not self.busy and pools.NodeState.of(found.object).failing:
            self.busy = True
            await self._begin()

    async def _reboot(self) -> None:
        self._annotate(DAEMON, {pools.POST_CONFIG_ACTION: "Rebooting"})
        self._report(ready=False)
        self.running = self._staged
        self.reboots += 1
        if not self._struck("boot", self.running):
            self._soon(self.world.timings.reboot, self._booted)

    async def _booted(self) -> None:
        self._report(ready=True)
        self._annotate(DAEMON, {pools.POST_CONFIG_ACTION: ""})
        self._finish(self._target)

    def _report(self, *, ready: bool) -> None:
        def change(node: Document) -> None:
            status, now = node["status"], self.world.stamp()
            others = [c for c in status["conditions"] if c["type"] != "Ready"]
            status["conditions"] = [*others, objects.condition("Ready", ready, now=now)]
            if ready:
                status["nodeInfo"] = self.info(self.running, status["nodeInfo"])

        self.world.edit(NODES, self.name, change, KUBELET, status=True)

    def _finish(self, config: str) -> None:
        uncordon = f"uncordon-{config}"
        self._annotate(DAEMON, {pools.DESIRED_DRAIN: uncordon})
        self._cordon(False)
        self._annotate(CONTROLLER, {pools.APPLIED_DRAIN: uncordon})
        self.busy, self._failed_at = False, ""
        done = {pools.CURRENT: config, pools.STATE: "Done", pools.REASON: ""}
        self._annotate(DAEMON, done)
