"""One pool of one cluster with everything that acts on it: handlers, planner and people.

Real parts over the fakes of the ports; time stands still until a test moves it.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from handlers.apply import ApplyHandler
from handlers.clear import ClearHandler
from handlers.follow import FollowHandler
from handlers.roll_back import RollBackHandler
from tests.facts import (
    INFRA,
    OURS,
    PROD,
    TARGET,
    a_policy,
    a_recipe,
    a_target,
    a_version,
    an_update,
    approved,
    base_image,
    image,
    release_image,
)
from tests.fake_store import FakeStore
from tests.fakes import FakeCluster, FakeImages, FakeSignatures, FixedClock, NoGraphs
from watcher.ancestry import Ancestry
from watcher.core.changes import Mode
from watcher.core.facts import ClusterName
from watcher.core.images import Payload
from watcher.core.recipe import Recipe, build_key
from watcher.core.update import Policy, Update
from watcher.core.update_events import UpdateState
from watcher.observe import PoolObserver
from watcher.pausing import Pauses
from watcher.people import People
from watcher.planner import Planner
from watcher.ports import Change, Cluster
from watcher.scout import Scout
from watcher.settings import PoolSettings, RecipeSettings, Settings

POLL = 5.0


def key_of(version: str, recipe: Recipe | None = None) -> str:
    """The build key that the observer works out for a release's base."""
    return build_key(
        base=base_image(version).digest,
        recipe=(recipe or a_recipe()).digest,
        platforms=("linux/amd64",),
        builder_options={"builder": "auto", "target": str(TARGET)},
    )


def payload(version: str) -> Payload:
    tags = {"rhel-coreos": str(base_image(version))}
    return Payload(image=release_image(version), version=version, tags=tags)


@dataclass
class Scene:
    """Cluster on 4.16.3; the pool runs what was layered for 4.16.1, unless said otherwise."""

    policy: Policy = field(default_factory=a_policy)
    runs: Update | None = field(
        default_factory=lambda: an_update(
            id="u-0",
            state=UpdateState.DONE,
            target=a_target("4.16.1", build_key=key_of("4.16.1")),
            image=image("layered 4.16.1"),
        )
    )
    nodes: int = 3
    recipe: Recipe = field(default_factory=a_recipe)

    def __post_init__(self) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.cluster = FakeCluster(self.clock, override=self.runs, nodes=self.nodes)
        self.images = FakeImages()
        self.signatures = FakeSignatures()
        for version in ("4.16.1", "4.16.3", "4.17.0"):
            self.images.payloads[release_image(version)] = payload(version)
        self.configure(self.policy)

    def configure(self, policy: Policy, *, pools: tuple[str, ...] = ("infra",)) -> None:
        """Start anew with another configuration; the store and the cluster stay."""
        recipe = RecipeSettings(name="gpu", path=Path("gpu"), target=TARGET)
        self.settings = Settings(
            recipes=(recipe,),
            pools=tuple(
                PoolSettings(
                    cluster=PROD,
                    pool=type(INFRA)(name),
                    recipe="gpu",
                    policy=policy,
                    mode=Mode.AUTO if policy.approval.auto else Mode.APPROVE,
                )
                for name in pools
            ),
        )
        clusters: dict[ClusterName, Cluster] = {PROD: self.cluster}
        self.observer = PoolObserver(
            settings=self.settings,
            clusters=clusters,
            images=self.images,
            signatures=self.signatures,
            ancestry=Ancestry(self.images, NoGraphs()),
            load_recipe=lambda name: self.recipe,
            store=self.store,
        )
        self.people = People(store=self.store, clock=self.clock)
        self.planner = Planner(
            settings=self.settings,
            store=self.store,
            observer=self.observer,
            images=self.images,
            people=self.people,
            clock=self.clock,
        )
        scout = Scout(self.settings, self.observer, self.images, self.clock, self.store)
        self.clear = ClearHandler(scout, clusters, self.store, self.clock, POLL)
        self.apply = ApplyHandler(scout, clusters)
        self.follow = FollowHandler(
            clusters, self.store, self.clock, POLL, Pauses(clusters, self.store, self.clock)
        )
        self.roll_back = RollBackHandler(clusters, self.store, self.clock, POLL)

    @property
    def update(self) -> Update:
        """An approved update to 4.16.3, as the planner would have made it."""
        target = a_target("4.16.3", build_key=key_of("4.16.3", self.recipe))
        made = an_update(state=UpdateState.SCHEDULED, target=target, policy=self.policy)
        return approved(made, at=self.clock.now())

    @property
    def image(self) -> str:
        """What our override says now; empty where there is none."""
        ours = self.cluster.machine_configs.get(OURS)
        return ours.os_image_url if ours else ""

    async def put(self, update: Update) -> Update:
        await self.store.commit([Change(job=update, expected=0)], [])
        return update

    def upgrade(self, version: str, *, completed: bool) -> None:
        """The control plane works towards a release, or has completed it."""
        self.cluster.version = a_version(version, completed=completed, before="4.16.3")

    def rolls(self, update: Update) -> Update:
        """The update as it is once it was applied."""
        return replace(update, state=UpdateState.ROLLING_OUT, changed_at=self.clock.now())


async def ours() -> None:
    """`still_ours` of somebody who has the lease."""
