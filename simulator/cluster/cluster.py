"""A simulated cluster: the objects, and the controllers and nodes that live on them.

It writes into the store of an :class:`ApiServer` as controllers do, and reacts to whatever anyone
else writes there over HTTP: a MachineConfig, a paused pool, an uncordon, a requested release.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from simulator.apiserver import kinds
from simulator.apiserver.kinds import Kind
from simulator.apiserver.server import ApiServer
from simulator.apiserver.store import Version
from simulator.cluster import objects
from simulator.cluster.clock import SimClock
from simulator.cluster.controllers import NodeController, RenderController
from simulator.cluster.machines import Machine, Pull, Trouble
from simulator.cluster.membership import Membership
from simulator.cluster.pools import NodeState
from simulator.cluster.render import RenderError
from simulator.cluster.specs import DEFAULT_TIMINGS, PoolSpec, Release, Timings
from simulator.cluster.upgrade import VersionOperator
from simulator.cluster.world import (
    CONTROLLER,
    KUBELET,
    MCO_NAMESPACE,
    OPERATOR,
    PERSON,
    VERSION_OPERATOR,
    Document,
    World,
)
from simulator.signing import Signer

_DEFAULT_POOLS = (PoolSpec(name="master"), PoolSpec(name="worker"))


async def _always_there(image: str) -> bool:
    return True


class SimulatedCluster:
    """Made by :meth:`create`; moves by :meth:`advance` (virtual time) or :meth:`run`."""

    def __init__(
        self,
        api: ApiServer,
        release: Release,
        *,
        clock: SimClock,
        timings: Timings,
        pull: Pull,
        signer: Signer | None = None,
    ) -> None:
        self.world = World(api, clock, timings)
        self._signer = signer
        self.machines: dict[str, Machine] = {}
        self._pull = pull
        self._kubelets: dict[str, str] = {}
        self._troubles: list[Trouble] = []
        self._members = Membership()
        self._renderer = RenderController(self.world, self._members, release)
        self._nodes = NodeController(self.world, self._members)
        self._learn(release)

    @classmethod
    def create(
        cls,
        api: ApiServer,
        *,
        release: Release,
        pools: Iterable[PoolSpec] = _DEFAULT_POOLS,
        clock: SimClock | None = None,
        timings: Timings = DEFAULT_TIMINGS,
        pull: Pull = _always_there,
        pull_secret_auths: Document | None = None,
        signer: Signer | None = None,
    ) -> "SimulatedCluster":
        """Put an installed, settled cluster into the API server.

        Master and worker are added if they are not among the pools. With a `signer` the cluster
        holds its key and the signatures of its releases; without one it takes them unverified.
        """
        clock = clock or SimClock()
        cluster = cls(api, release, clock=clock, timings=timings, pull=pull, signer=signer)
        named = {spec.name: spec for spec in (*_DEFAULT_POOLS, *pools)}
        cluster._install(release, pull_secret_auths or {})
        cluster._install_pools(named)
        api.store.listen(cluster._react)
        return cluster

    def _install(self, release: Release, auths: Document) -> None:
        world = self.world
        for name in ("default", "openshift-config", objects.MANAGED, MCO_NAMESPACE):
            world.create(kinds.NAMESPACES, objects.namespace(name), PERSON)
        world.create(kinds.SECRETS, objects.pull_secret(auths), PERSON)
        if self._signer:
            keys = objects.release_keys(self._signer.public_key, {})
            world.create(kinds.CONFIG_MAPS, keys, VERSION_OPERATOR)
        self.versions = VersionOperator(
            world,
            release,
            reach_machine_config=self._reach_machine_config,
            required_pools_done=self._required_pools_done,
            verify=self._verify,
        )
        self._bring(release)

    def _verify(self, release: Release) -> bool:
        """What the version operator does before it takes a release; it keeps the signatures."""
        if self._signer is None or not release.signed:
            return False
        signature = self._signer.sign(release.image.partition("@")[2])
        found = objects.release_signature(release, signature)
        self.world.ensure(kinds.CONFIG_MAPS, found, VERSION_OPERATOR)
        return True

    def _bring(self, release: Release) -> None:
        """What the operators write when they arrive at a release."""
        world = self.world
        world.ensure(kinds.CONFIG_MAPS, objects.os_image_url(release), VERSION_OPERATOR)
        world.ensure(kinds.CONTROLLER_CONFIGS, objects.controller_config(release), OPERATOR)
        world.api.set_away(kinds.OS_IMAGE_STREAMS, away=not release.streams)
        if release.streams:
            world.ensure(kinds.OS_IMAGE_STREAMS, objects.os_image_stream(release), OPERATOR)
        for role in ("master", "worker"):
            for config in objects.generated_configs(role, release):
                world.ensure(kinds.MACHINE_CONFIGS, config, CONTROLLER)

    def _install_pools(self, specs: Mapping[str, PoolSpec]) -> None:
        world, release = self.world, self._renderer.release
        for spec in specs.values():
            made = world.create(kinds.POOLS, objects.pool(spec), OPERATOR)
            self._members.set_pool(spec.name, made.object)
        for spec in specs.values():
            pool = self.pool(spec.name)
            rendered = self._renderer.render(pool)
            config = objects.rendered_config(rendered, pool, release)
            world.create(kinds.MACHINE_CONFIGS, config, CONTROLLER)

            self._renderer.aim(spec.name, rendered)
            for number in range(spec.nodes):
                self._install_node(f"{spec.name}-{number}", spec, rendered.name, rendered.spec)
            self._nodes.write_status(spec.name)

    def _install_node(self, name: str, spec: PoolSpec, config: str, content: Any) -> None:
        image = content["osImageURL"]
        info = self._node_info(image, {"architecture": "amd64", "operatingSystem": "linux"})
        node = objects.node(name, spec, config, info, now=self.world.stamp())
        made = self.world.create(kinds.NODES, node, KUBELET)
        self._adopt(made, image)

    def _adopt(self, node: Version, image: str) -> None:
        name = node.key[1]
        machine = Machine(self.world, name, image, self._pull, self._node_info, self._troubles)
        machine.pool = self._members.set_node(NodeState.of(node.object), node.labels)
        self.machines[name] = machine

    def _learn(self, release: Release) -> None:
        for image in (release.os_image, *release.streams.values()):
            self._kubelets[image] = f"v{release.kubernetes}"

    def _node_info(self, image: str, old: Document) -> Document:
        """What a node reports when it runs the image. A kubelet comes with its image."""
        kubelet = self._kubelets.get(image, old.get("kubeletVersion", ""))
        text = f"Red Hat Enterprise Linux CoreOS {image.rpartition(':')[2][:12]}"
        return {**old, "osImage": text, "kubeletVersion": kubelet}

    def _reach_machine_config(self, release: Release) -> None:
        """Run level 0000_80: the base changes for every pool, long before Completed."""
        self._learn(release)
        self._renderer.release = release
        self._bring(release)
        for name in self._members.pools:
            self._renderer.marks.mark(name)

    def _required_pools_done(self) -> bool:
        return all(
            self.is_settled(version.key[1])
            for version in self.world.store.all(kinds.POOLS)
            if objects.REQUIRED in version.labels
        )

    def _react(self, kind: Kind, before: Version | None, after: Version | None) -> None:
        """See what anyone wrote, and wake whoever it concerns."""
        changed = after or before
        if changed is None:
            return
        name = changed.key[1]
        if kind == kinds.NODES:
            self._react_to_node(name, after)
        elif kind == kinds.POOLS:
            self._react_to_pool(name, before, after)
        elif kind == kinds.MACHINE_CONFIGS:
            sides = [side.labels for side in (before, after) if side]
            for pool, wanted in self._members.pools.items():
                if any(wanted.configs(labels) for labels in sides):
                    self._renderer.marks.mark(pool)
        elif kind == kinds.OS_CONFIGS:
            spec = changed.object.get("spec") or {}
            self._nodes.marks.mark((spec.get("machineConfigPool") or {}).get("name", ""))

    def _react_to_node(self, name: str, after: Version | None) -> None:
        if after is None:
            self.machines.pop(name, None)
            self._nodes.marks.mark(self._members.drop_node(name))
            return
        if name not in self.machines:
            return  # someone's own object: no daemon runs there
        state = NodeState.of(after.object)
        machine = self.machines[name]
        machine.pool = self._members.set_node(state, after.labels)
        self._nodes.marks.mark(machine.pool)
        machine.wake(state)

    def _react_to_pool(self, name: str, before: Version | None, after: Version | None) -> None:
        self._nodes.marks.mark(name)
        if before and after and _wishes(before) == _wishes(after):
            return
        if not (before and after) or _selectors(before) != _selectors(after):
            self._members.set_pool(name, after.object if after else None)
        self._renderer.marks.mark(name)
        if name == "worker":
            for pool in self._members.pools:
                self._renderer.marks.mark(pool)

    # What a test or a demo does with it.

    async def advance(self, seconds: float) -> None:
        """Let simulated seconds pass at once."""
        await self.world.clock.advance(seconds)

    async def run(self, speed: float) -> None:
        """Let simulated time follow real time, so many times faster, until cancelled."""
        await self.world.clock.run(speed)

    def start_upgrade(self, release: Release) -> None:
        """Ask for a release, as an administrator does."""
        self.versions.ask_for(release)

    def degrade_next(
        self,
        node: str = "first",
        *,
        when_image: str = "",
        pool: str = "",
        stage: str = "rebase",
        reason: str = "",
    ) -> None:
        """Have a node fail: by name, the ``first`` to get there, or ``any``.

        It fails at one stage (``prepare``, ``rebase``, ``boot``) of one image, as often as it is
        tried, until :meth:`heal`. Another image succeeds.
        """
        self._troubles.append(Trouble(node, when_image, stage, reason, pool))

    def heal(self) -> None:
        """Nothing fails any more. Degraded nodes succeed at their next try."""
        self._troubles.clear()

    def running_image(self, node: str) -> str:
        """The image that a node is really booted into."""
        return self.machines[node].running

    def reboots(self, node: str) -> int:
        return self.machines[node].reboots

    def nodes_of(self, pool: str) -> list[str]:
        return sorted(state.name for state in self._members.nodes(pool))

    def pool(self, name: str) -> Any:
        """The pool's object, not to be changed."""
        return self.world.store.get(kinds.POOLS, name).object

    def is_settled(self, pool: str) -> bool:
        """Every node is where the machine-config operator's current release wants it."""
        found = self.pool(pool)
        target: str = (found["spec"].get("configuration") or {}).get("name", "")
        reached = (found["status"].get("configuration") or {}).get("name")
        try:
            wanted = self._renderer.render(found).name
        except RenderError:
            return False
        return wanted == target == reached and all(
            node.is_updated(target) and node.ready for node in self._members.nodes(pool)
        )


def _wishes(pool: Version) -> Any:
    """The spec without what the render controller itself writes there."""
    return {key: value for key, value in pool.object["spec"].items() if key != "configuration"}


def _selectors(pool: Version) -> Any:
    spec = pool.object["spec"]
    return spec.get("nodeSelector"), spec.get("machineConfigSelector")
