"""Who may ask for something about a pool, a cluster or everything; what is refused is audited."""

from datetime import datetime

import pytest

from tests.facts import T0, a_policy, seconds
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from watcher.core.approval import ApprovalRules
from watcher.core.facts import ClusterName, PoolName
from watcher.core.timing import Freeze
from watcher.directory import SettingsDirectory
from watcher.errors import Declined
from watcher.ports import AuditEntry
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
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        settings = Settings(
            pools=POOLS,
            people=(PersonSettings(name="cat", identities=("slack:UCAT", "cli:cat")),),
        )
        directory = SettingsDirectory(settings=settings, store=self.store, clock=self.clock)
        self.rights = Rights(
            settings=settings, store=self.store, directory=directory, clock=self.clock
        )

    async def freeze(self, scope: str, until: datetime | None) -> None:
        made = Freeze(scope=scope, by="token:bob", because="", at=T0, until=until)
        entry = AuditEntry(at=T0, job="", event="Frozen", by="token:bob", state="", detail="")
        await self.store.freeze(made, entry)

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


@pytest.mark.parametrize("scope", ["prod", ""], ids=["a cluster", "everything"])
@pytest.mark.parametrize("before", [None, T0 + seconds(7200)], ids=["for good", "for a while"])
async def test_who_may_not_lift_a_freeze_may_not_put_a_shorter_one_in_its_place(
    scope: str, before: datetime | None
) -> None:
    door = Door()
    await door.freeze(scope, before)
    with pytest.raises(Declined, match=r"is frozen by token:bob until .* already; to change that"):
        await door.rights.check_freeze(scope, by="token:ann", surface="cli")
    assert (door.store.entries[-1].event, door.store.entries[-1].by) == (
        "FreezeDeclined",
        "token:ann",
    )
    door.clock.advance(7200)
    if before:  # it is over
        await door.rights.check_freeze(scope, by="token:ann", surface="cli")


async def test_nobody_makes_the_freeze_of_another_theirs_to_lift_by_making_it_longer() -> None:
    door = Door()
    await door.freeze("prod", T0 + seconds(60))
    with pytest.raises(Declined, match="to change that"):
        await door.rights.check_freeze("prod", by="token:ann", surface="cli")


@pytest.mark.parametrize("scope", ["prod", ""], ids=["a cluster", "everything"])
async def test_who_ordered_a_freeze_may_lift_and_shorten_it(scope: str) -> None:
    """Else one of all pools, whose approvers differ, would be beyond everybody."""
    door = Door()
    await door.freeze(scope, None)
    assert await door.passes("Unfreeze", scope, "token:bob")
    assert not await door.passes("Unfreeze", scope, "token:ann")
    await door.rights.check_freeze(scope, by="token:bob", surface="cli")


async def test_who_ordered_a_freeze_of_all_may_not_lift_another_one() -> None:
    door = Door()
    await door.freeze("", None)
    assert not await door.passes("Unfreeze", "prod", "token:bob")


async def test_who_may_lift_a_freeze_may_shorten_it() -> None:
    door = Door()
    await door.freeze("prod", None)
    await door.freeze("", None)
    await door.rights.check_freeze("prod", by="cli:cat", surface="cli")


async def test_a_freeze_beside_others_of_wider_and_narrower_scope_shortens_none() -> None:
    door = Door()
    await door.freeze("", None)
    await door.freeze("prod/gpu", None)
    await door.rights.check_freeze("prod", by="token:ann", surface="cli")


async def test_who_may_not_freeze_is_told_so_and_not_of_what_is_frozen() -> None:
    door = Door()
    await door.freeze("prod", None)
    with pytest.raises(Declined, match="token:eve is not an approver"):
        await door.rights.check_freeze("prod", by="token:eve", surface="cli")


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
    with pytest.raises(Declined, match="no pool is configured in stage"):
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
