"""What every store keeps for a while, and its audit trail read page by page."""

import asyncio
from dataclasses import replace

from tests.contract.stores import AnyStore, ManualClock, entry

HELD, OTHER = {"who": "ann"}, {"who": "bob"}
MANY = [f"e-{number}" for number in range(7)]


async def test_of_two_who_pin_one_is_first_and_the_other_is_told(store: AnyStore) -> None:
    answers = await asyncio.gather(*(store.pin("k", HELD, 60) for _ in range(5)))
    assert sorted(map(str, answers)) == sorted(map(str, [None, *[HELD] * 4]))
    assert await store.pin("k", OTHER, 60) == HELD
    assert await store.pin("another", OTHER, 60) is None


async def test_what_is_pinned_can_be_replaced_and_let_go(store: AnyStore) -> None:
    await store.pin("k", HELD, 60)
    await store.repin("k", OTHER, 60)
    assert await store.pin("k", HELD, 60) == OTHER
    await store.unpin("k")
    await store.unpin("k")
    assert await store.pin("k", HELD, 60) is None


async def test_what_is_pinned_goes_after_its_time(store: AnyStore, clock: ManualClock) -> None:
    await store.pin("k", HELD, 0.05)
    await store.repin("long", HELD, 60)
    async with asyncio.timeout(5):
        while await store.pin("k", OTHER, 60) is not None:
            clock.forward(0.01)  # the store in memory lives by this, the others by their own
            await asyncio.sleep(0.01)
    assert await store.pin("long", OTHER, 60) == HELD


async def test_the_trail_is_read_page_by_page_newest_first(store: AnyStore) -> None:
    for event in MANY:
        await store.audit_only(replace(entry("u-1"), event=event))
    seen: list[str] = []
    before = ""
    while page := await store.trail(before, 3):
        assert len(page) <= 3
        seen += [one.event for _, one in page]
        before = page[-1][0]
        await store.audit_only(replace(entry("u-2"), event="came meanwhile"))
    assert seen == MANY[::-1]


async def test_a_trail_of_nothing_is_empty(store: AnyStore) -> None:
    assert await store.trail("", 10) == []
    await store.audit_only(entry("u-1"))
    assert await store.trail("", 0) == []
    assert await store.trail("1-0", 10) == []
