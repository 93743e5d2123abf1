"""Waiting for work in every store: nothing between looking and waiting is missed."""

import asyncio

from tests.contract.stores import ManualClock, a_build, an_update, nothing_due, put
from watcher.core.jobs import JobKind
from watcher.ports import Store


async def test_waiting_ends_when_a_job_is_put(store: Store) -> None:
    assert await nothing_due(store)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(put(store, a_build("b1")))
        await store.wait_due(60)
    assert not await nothing_due(store)


async def test_what_came_between_looking_and_waiting_is_not_missed(store: Store) -> None:
    assert await nothing_due(store)
    await put(store, a_build("b1"))
    async with asyncio.timeout(5):
        await store.wait_due(60)


async def test_waiting_ends_for_what_became_due_meanwhile(store: Store, clock: ManualClock) -> None:
    await put(store, a_build("b1"), due_in_seconds=30)
    assert await nothing_due(store)
    clock.forward(31)
    async with asyncio.timeout(5):
        await store.wait_due(60)


async def test_waiting_ends_after_its_time(store: Store) -> None:
    await put(store, a_build("b1"))
    assert await store.claim("w", 10, [JobKind.UPDATE]) is None
    async with asyncio.timeout(5):
        await store.wait_due(0.01)


async def test_everybody_who_waits_is_woken(store: Store) -> None:
    looked = asyncio.Barrier(5)

    async def waiter() -> None:
        await store.claim("w", 10, [JobKind.UPDATE])
        await looked.wait()
        await store.wait_due(60)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(waiter())
        await looked.wait()
        await put(store, an_update("u1"), due_in_seconds=1)
