"""Updates and settings for measuring what people are told and what they click on."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watcher.core.approval import ApprovalRules
from watcher.core.facts import ClusterName, Digest, PoolName, Pullspec, Repository
from watcher.core.letters import Asking, Route
from watcher.core.update import Background, Policy, Target, Update
from watcher.core.update_events import Kind, UpdateState
from watcher.settings import (
    ClusterSettings,
    PoolSettings,
    RecipeSettings,
    Settings,
    SlackSettings,
)

CLUSTER = ClusterName("bench")
HOST = "registry.example.com/openshift"


def chat_settings(*channels: str, approver: str, pools: int, nudges: bool = True) -> Settings:
    """Pools spread over the channels, all approved by one person in chat."""
    rules = ApprovalRules(approvers=(approver,), quorum=1)
    asking = Asking() if nudges else Asking(remind_seconds=())
    names = [PoolName(f"pool-{number}") for number in range(pools)]
    routes = tuple(
        Route(to=(f"slack:{channel}",), pools=tuple(names[at :: len(channels)]))
        for at, channel in enumerate(channels)
    )
    return Settings(
        clusters=(ClusterSettings(name=CLUSTER),),
        recipes=(RecipeSettings(name="os", path=Path("os"), target=Repository(f"{HOST}/layered")),),
        pools=tuple(
            PoolSettings(
                cluster=CLUSTER,
                pool=name,
                recipe="os",
                policy=Policy(approval=rules),
                asking=asking,
            )
            for name in names
        ),
        slack=SlackSettings(
            bot_token_env="BENCH", team="T1", app="A1", channel=channels[0], mode="socket"
        ),
        routes=routes,
    )


def awaiting(settings: Settings, number: int) -> Update:
    """The update of one pool, waiting for a decision."""
    now = datetime.now(UTC)
    place = settings.pools[number]
    return Update(
        id=f"u-{number:08x}",
        cluster=place.cluster,
        pool=place.pool,
        kind=Kind.LAYERED,
        target=Target(
            release_version="4.18.10",
            release_image=image("release"),
            base=image("base"),
            recipe="os",
            recipe_digest=digest("recipe"),
            build_key=digest("key")[7:],
        ),
        policy=place.policy,
        because="its base is that of 4.18.9, the cluster's is that of 4.18.10",
        requested_by="relayer",
        created_at=now,
        changed_at=now,
        expires_at=now + timedelta(hours=24),
        state=UpdateState.AWAITING_APPROVAL,
        image=image(f"layered {number}"),
        background=Background(nodes=6, from_release="4.18.9", from_image=str(image("old"))),
        times=((str(UpdateState.AWAITING_APPROVAL), now),),
    )


def digest(text: str) -> Digest:
    """A digest that is somebody's."""
    return Digest("sha256:" + hashlib.sha256(text.encode()).hexdigest())


def image(text: str) -> Pullspec:
    """An image of that name."""
    return Pullspec(f"{HOST}/os@{digest(text)}")
