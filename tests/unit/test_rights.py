"""Who may ask for something about a pool, a cluster or everything; what is refused is audited."""

import pytest

from tests.facts import T0, a_policy
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from watcher.core.approval import ApprovalRules
from watcher.core.facts import ClusterName, PoolName
from watcher.directory import SettingsDirectory
from watcher.people import Declined
from watcher.rights import Rights
from watcher.settings import PersonSettings, PoolSettings, Settings

EVERYTHING_ELSE = ("Unfreeze", "Rebuild", "Stock")


def pool(place: str, *approvers: str) -> PoolSettings:
    cluster, name = place.split("/")
    rules = ApprovalRules(approvers=approvers)
    policy = a_policy(approvers=rules.approvers)
    return PoolSettings(
        cluster=ClusterName(cluster), pool=PoolName(name), recipe="gpu", policy=policy
    )


POOLS = (
    pool("prod/infra", "token:ann", "person:cat"),
    pool("prod/gpu", "token:bob", "person:cat"),
    pool("lab/any"),
)


class Door:
    def __init__(self) -> None:
        self.store = FakeStore(FixedClock())
        settings = Settings(
            pools=POOLS,
            people=(PersonSettings(name="cat", identities=("slack:UCAT", "cli:cat")),),
        )
        directory = SettingsDirectory(settings=settings, store=self.store, clock=self.store.clock)
        self.rights = Rights(
            settings=settings, store=self.store, directory=directory, clock=self.store.clock
        )

    async def passes(self, what: str, scope: str, by: str) -> bool:
        try:
            await self.rights.check(what, scope, by=by, surface="slack command")
        except Declined:
            return False
        return True


@pytest.mark.parametrize("what", ["Freeze", *EVERYTHING_ELSE])
@pytest.mark.parametrize(("by", "is_let"), [("token:ann", True), ("token:bob", False)])
async def test_of_a_pool_its_approvers_may(what: str, by: str, is_let: bool) -> None:
    assert await Door().passes(what, "prod/infra", by) == is_let


@pytest.mark.parametrize("scope", ["prod", ""], ids=["a cluster", "everything"])
async def test_whoever_decides_about_one_pool_may_stop_all_of_the_scope(scope: str) -> None:
    assert await Door().passes("Freeze", scope, "token:ann")


@pytest.mark.parametrize("what", EVERYTHING_ELSE)
async def test_whatever_else_needs_the_right_to_all_of_the_scope(what: str) -> None:
    assert not await Door().passes(what, "prod", "token:ann")
    assert await Door().passes(what, "prod", "cli:cat")


async def test_who_decides_about_none_of_its_pools_may_not_stop_a_cluster() -> None:
    assert not await Door().passes("Freeze", "prod", "token:eve")


async def test_a_right_in_one_cluster_is_none_in_another() -> None:
    assert not await Door().passes("Freeze", "lab", "slack:UCAT")


async def test_where_nobody_is_listed_whoever_passed_the_door_may() -> None:
    assert await Door().passes("Unfreeze", "lab/any", "token:eve")


@pytest.mark.parametrize("what", ["Freeze", *EVERYTHING_ELSE])
async def test_where_nobody_is_listed_nobody_from_chat_may(what: str) -> None:
    assert not await Door().passes(what, "lab/any", "slack:UCAT")


async def test_a_person_may_by_any_of_her_identities() -> None:
    assert await Door().passes("Rebuild", "prod/gpu", "slack:UCAT")


@pytest.mark.parametrize("what", ["Freeze", *EVERYTHING_ELSE])
@pytest.mark.parametrize("scope", ["stage", "prod/other", "infra", "prod/"])
async def test_of_a_scope_that_nobody_configured_nobody_may_do_anything(
    what: str, scope: str
) -> None:
    assert not await Door().passes(what, scope, "cli:cat")


async def test_a_refused_attempt_is_audited() -> None:
    door = Door()
    with pytest.raises(Declined, match="token:bob is not an approver of this pool"):
        await door.rights.check("Stock", "prod/infra", by="token:bob", surface="slack command")
    (entry,) = door.store.entries
    assert (entry.event, entry.by, entry.surface) == ("StockDeclined", "token:bob", "slack command")
    assert (entry.cluster, entry.pool, entry.at, entry.job) == ("prod", "infra", T0, "")
    assert "not an approver" in entry.detail


async def test_of_an_unknown_scope_the_refusal_names_it() -> None:
    door = Door()
    with pytest.raises(Declined, match="nothing in stage"):
        await door.rights.check("Freeze", "stage", by="cli:cat", surface="cli")
    assert door.store.entries[-1].cluster == "stage"


async def test_a_name_in_the_audit_is_bounded() -> None:
    door = Door()
    with pytest.raises(Declined):
        await door.rights.check("Stock", "prod/infra", by="x" * 999, surface="http")
    assert len(door.store.entries[-1].by) == 200


async def test_what_may_be_done_leaves_no_trace() -> None:
    door = Door()
    await door.rights.check("Stock", "prod/infra", by="token:ann", surface="http")
    assert door.store.entries == []
