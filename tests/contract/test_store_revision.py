"""What open pages ask five times a second: whether anything that they show is another now."""

from collections.abc import Awaitable, Callable

import pytest

from tests.contract.stores import START, AnyStore, ManualClock, a_build, an_update, entry, put, take
from watcher.core.jobs import JobKind
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.ports import Change

Act = Callable[[AnyStore], Awaitable[object]]

FREEZE = Freeze(scope="east", by="ann", because="a fair", at=START, until=None)
SILENCE = Silence(
    id="s-1", scope="east", rule="", by="ann", because="a fair", at=START, until=START
)


async def dies(store: AnyStore) -> None:
    await put(store, a_build("b-9"))
    await store.bury(await take(store), "it crashes", entry("b-9"))


async def ends(store: AnyStore) -> None:
    await store.commit([Change(job=a_build("b-8"), expected=0)], [])


WRITES: dict[str, Act] = {
    "a commit": lambda store: put(store, an_update("u-9")),
    "a commit without audit": ends,
    "a death": dies,
    "an audit entry": lambda store: store.audit_only(entry("u-1", "Declined")),
    "a log line": lambda store: store.add_log("b-1", ["STEP 1"]),
    "progress": lambda store: store.set_progress("u-1", {"updated": 2, "at": "now"}),
    "a view": lambda store: store.put_view("pool:east/infra", {"because": "x", "at": "now"}),
    "a freeze": lambda store: store.freeze(FREEZE, entry("")),
    "a silence": lambda store: store.silence(SILENCE, entry("")),
}


@pytest.mark.parametrize("what", WRITES)
async def test_it_grows_with_whatever_pages_show(store: AnyStore, what: str) -> None:
    before = await store.revision()
    await WRITES[what](store)
    assert await store.revision() > before


async def test_what_is_lifted_is_news(store: AnyStore) -> None:
    await store.freeze(FREEZE, entry(""))
    await store.silence(SILENCE, entry(""))
    before = await store.revision()
    await store.unsilence("s-1", entry(""))
    between = await store.revision()
    await store.unfreeze("east", entry(""))
    assert before < between < await store.revision()


async def test_a_job_that_is_revived_is_news(store: AnyStore) -> None:
    await dies(store)
    before = await store.revision()
    await store.revive("b-9", entry("b-9"))
    assert await store.revision() > before


async def test_the_same_said_again_later_is_no_news(store: AnyStore) -> None:
    for at in ("12:00", "12:01"):
        before = await store.revision()
        await store.set_progress("u-1", {"updated": 2, "at": at, "total": 3})
        await store.put_view("pool:east/infra", {"at": at, "because": "x"})
    assert await store.revision() == before
    await store.set_progress("u-1", {"updated": 3, "at": "12:01", "total": 3})
    assert await store.revision() == before + 1
    await store.put_view("pool:east/infra", {"at": "12:01", "because": "y"})
    assert await store.revision() == before + 2
    assert (await store.progress("u-1"))["at"] == "12:01"


async def test_work_that_shows_nothing_is_no_news(store: AnyStore, clock: ManualClock) -> None:
    await put(store, a_build("b-1"))
    before = await store.revision()
    leased = await take(store)
    await store.renew(leased, 10)
    await store.release(leased, due_in_seconds=5, failed=False)
    await store.set_handled("e-1")
    assert await store.claim("w", 10, tuple(JobKind)) is None
    assert await store.lead("r-1", 10)
    assert await store.revision() == before


async def test_a_store_that_is_new_has_one(store: AnyStore) -> None:
    assert await store.revision() == 0
