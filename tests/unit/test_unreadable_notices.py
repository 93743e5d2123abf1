"""What was told of a pool stays while its object cannot be read: nobody knows that it is over."""

from dataclasses import replace

from tests.alerting import a_finding, a_surveyed, behind
from tests.facts import PROD, a_pool, a_view
from tests.unit.test_fleet import lagging, notice
from watcher.core.state import State, Surveyed

INFRA_UNREADABLE = a_finding(state=State.UNREADABLE)


async def test_a_pool_that_cannot_be_read_any_more_ends_nothing() -> None:
    world = await lagging()
    unread = a_surveyed(INFRA_UNREADABLE)
    world.found = [replace(unread, unreadable=frozenset({"infra"}))]
    assert notice(await world.letters()).over_at is None
    assert notice(await world.letters(after=60)).over_at is None
    world.found = [a_surveyed(a_finding())]
    assert notice(await world.letters(after=60)).over_at is not None


async def test_another_pool_that_cannot_be_read_keeps_nothing_of_this_one() -> None:
    world = await lagging()
    world.found = [replace(a_surveyed(a_finding()), unreadable=frozenset({"gpu"}))]
    assert notice(await world.letters()).over_at is not None


async def test_nothing_new_is_told_of_it_and_what_was_seen_goes_on_as_it_is_read_again() -> None:
    world = await lagging()
    first = notice(await world.letters())
    world.found = [replace(a_surveyed(INFRA_UNREADABLE), unreadable=frozenset({"infra"}))]
    await world.letters(after=60)
    world.found = [a_surveyed(behind())]
    assert notice(await world.letters(after=60)).since == first.since


def test_what_a_view_cannot_read_is_said_of_its_cluster() -> None:
    seen = replace(a_view(pools=(a_pool(),)), unreadable_pools={"gpu": "gpu cannot be read"})
    assert Surveyed.of(seen).unreadable == {"gpu"}
    assert Surveyed.of(seen).cluster == PROD
