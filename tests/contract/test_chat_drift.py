"""`/relayer drift` in Slack: what was found of every pool, with its age where that matters."""

from collections.abc import Sequence
from datetime import timedelta

from tests.chat import EVE, a_chat
from tests.facts import INFRA, PROD, T0
from watcher.clients.kube.cluster import NEVER
from watcher.core.facts import ClusterName, PoolName
from watcher.core.lag import Lag
from watcher.core.stages import stage_of
from watcher.core.state import Block, Finding, Flag, Raised, State, Surveyed

BEHIND = Finding(
    cluster=PROD,
    pool=INFRA,
    state=State.BEHIND,
    sentence="its base is that of 4.15.9 <!channel>",
    flags=(Raised(flag=Flag.PAUSED),),
    lag=Lag(minors=1, releases=3, days=40),
    blocks=(Block(target="4.17", why="pool infra blocks the upgrade to 4.17"),),
)
STOCK = Finding(cluster=PROD, pool=PoolName("a-pool"), state=State.STOCK, sentence="follows")


def cluster(*findings: Finding, name: ClusterName = PROD, age: timedelta = timedelta()) -> Surveyed:
    return Surveyed(
        cluster=name,
        stage=stage_of(None),
        findings=findings,
        observed_at=T0 - age,
        version="4.16.3",
    )


async def told(text: str, *seen: Surveyed) -> str:
    def surveyed() -> Sequence[Surveyed]:
        return seen

    async with a_chat(surveyed=surveyed) as chat, chat.listening():
        return await chat.told(text, by=EVE)


async def test_what_needs_somebody_comes_first_with_lag_flags_and_blocks() -> None:
    said = await told("drift", cluster(STOCK, BEHIND))
    assert said.index("infra") < said.index("a-pool")
    for expected in (
        "behind",
        "1 minor, 3 releases, 40 days",
        "[paused]",
        "pool infra blocks the upgrade to 4.17",
    ):
        assert expected in said
    assert "<!channel>" not in said
    assert "last seen" not in said


async def test_an_old_finding_says_its_age() -> None:
    said = await told("drift", cluster(BEHIND, age=timedelta(minutes=47)))
    assert "prod was last seen 47 min ago" in said


async def test_a_cluster_that_was_never_read_is_not_silently_fine() -> None:
    unseen = Surveyed(cluster=PROD, stage=stage_of(None), observed_at=NEVER)
    assert "prod was not read yet" in await told("drift", unseen)


async def test_one_cluster_can_be_named() -> None:
    other = cluster(BEHIND, name=ClusterName("edge"))
    said = await told("drift prod", cluster(STOCK), other)
    assert "a-pool" in said
    assert "4.15.9" not in said
    assert "nope is no cluster" in await told("drift nope", cluster(STOCK))
