"""The machine-config controller: rendering pools and sending nodes to what was rendered.

Both halves are level-triggered: a change only marks the pool, and after the MCO's own delay the
pool is looked at as it then is.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from simulator.apiserver.kinds import MACHINE_CONFIGS, NODES, OS_CONFIGS, OS_IMAGE_STREAMS, POOLS
from simulator.cluster import objects, pools
from simulator.cluster.membership import Membership
from simulator.cluster.render import Rendered, RenderError, Rules, render
from simulator.cluster.specs import Release
from simulator.cluster.world import CONTROLLER, Document, World, annotations


class Marks:
    """Pools to look at soon: several changes within the delay are one look."""

    def __init__(self, world: World, delay: float, look: Callable[[str], Awaitable[None]]) -> None:
        self._world = world
        self._delay = delay
        self._look = look
        self._marked: set[str] = set()

    def mark(self, pool: str) -> None:
        if pool not in self._marked:
            self._marked.add(pool)
            self._world.clock.after(self._delay, lambda: self._due(pool))

    async def _due(self, pool: str) -> None:
        self._marked.discard(pool)
        await self._look(pool)


class RenderController:
    """Keeps ``spec.configuration`` of the pools what their MachineConfigs make of it."""

    def __init__(self, world: World, members: Membership, release: Release) -> None:
        self._world = world
        self._members = members
        self.release = release
        """The level of the machine-config operator: behind the ClusterVersion in an upgrade."""
        self.marks = Marks(world, world.timings.render_delay, self.sync)

    async def sync(self, name: str) -> None:
        """Render one pool now."""
        found = self._world.store.find(POOLS, name)
        if found is None:
            return
        try:
            rendered = self.render(found.object)
        except RenderError as error:
            message = f"Failed to render configuration for pool {name}: {error}"
            return self._say(name, failure=message)
        self._store(rendered, found.object)
        self._say(name, failure="")

    def render(self, pool: Any) -> Rendered:
        """Raise RenderError."""
        name, release, stream = pool["metadata"]["name"], self.release, self.stream_of(pool)
        if stream and stream not in release.streams:
            raise RenderError(f"could not get OSImageStream {stream!r} for pool {name}")
        selected = self._members.pools[name].configs
        configs = [v.object for v in self._world.store.all(MACHINE_CONFIGS) if selected(v.labels)]
        return render(
            name,
            configs,
            base=release.base(stream),
            base_extensions=release.os_extensions,
            rules=Rules.of(release.minor),
            stream_named=bool(pool["spec"].get("osImageStream")),
        )

    def stream_of(self, pool: Any) -> str:
        """The stream a pool follows: its own, the worker's, the default. Empty without streams."""
        if not self.release.streams:
            return ""
        worker = self._world.store.find(POOLS, "worker")
        named = (
            [pool] if pool["metadata"]["name"] == "master" or not worker else [pool, worker.object]
        )
        for one in named:
            if stream := (one["spec"].get("osImageStream") or {}).get("name"):
                return str(stream)
        served = self._world.store.find(OS_IMAGE_STREAMS, "cluster")
        return str(served.object["status"]["defaultStream"]) if served else ""

    def _store(self, rendered: Rendered, pool: Any) -> None:
        config = objects.rendered_config(rendered, pool, self.release)
        self._world.ensure(MACHINE_CONFIGS, config, CONTROLLER)
        self.aim(pool["metadata"]["name"], rendered)

    def aim(self, name: str, rendered: Rendered) -> None:
        """Make it the configuration that the pool shall reach."""

        def change(document: Document) -> None:
            document["spec"]["configuration"] = objects.configuration(rendered)

        self._world.edit(POOLS, name, change, CONTROLLER)

    def _say(self, name: str, *, failure: str) -> None:
        def change(document: Document) -> None:
            status = document.setdefault("status", {})
            status["conditions"] = pools.with_condition(
                status.get("conditions") or (),
                "RenderDegraded",
                bool(failure),
                now=self._world.stamp(),
                message=failure,
            )

        self._world.edit(POOLS, name, change, CONTROLLER, status=True)


class NodeController:
    """Sends nodes to their pool's configuration, few at a time, and writes the pool's status."""

    def __init__(self, world: World, members: Membership) -> None:
        self._world = world
        self._members = members
        self.marks = Marks(world, world.timings.update_delay, self.sync)

    async def sync(self, name: str) -> None:
        """Look at one pool now."""
        found = self._world.store.find(POOLS, name)
        target = ((found.object["spec"].get("configuration") or {}).get("name")) if found else ""
        if found is None or not target:
            return
        spec, os_config = found.object["spec"], self._os_config(name)
        if not spec.get("paused") and not os_config:
            self._send(self._members.nodes(name), target, spec.get("maxUnavailable"))
        self.write_status(name, os_config=os_config)

    def _send(self, nodes: list[pools.NodeState], target: str, limit: int | str | None) -> None:
        try:
            allowed = pools.max_unavailable(limit, len(nodes))
        except ValueError:
            return  # not a number: the real controller reports an error and sends nobody

        def change(node: Document) -> None:
            notes = annotations(node)
            notes[pools.DESIRED] = target
            notes.pop(pools.DESIRED_IMAGE, None)

        for node in pools.candidates(nodes, target, allowed):
            self._world.edit(NODES, node.name, change, CONTROLLER)

    def _os_config(self, pool: str) -> str:
        """The name of the MachineOSConfig that owns the pool, or empty."""
        for version in self._world.store.all(OS_CONFIGS):
            spec = version.object.get("spec") or {}
            if (spec.get("machineConfigPool") or {}).get("name") == pool:
                return version.key[1]
        return ""

    def write_status(self, name: str, *, os_config: str = "") -> None:
        nodes, now = self._members.nodes(name), self._world.stamp()

        def change(pool: Document) -> None:
            pool["status"] = pools.status(pool, nodes, os_config=os_config, now=now)

        self._world.edit(POOLS, name, change, CONTROLLER, status=True)
