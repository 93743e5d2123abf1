"""`/relayer` and what takes longer than an acknowledgement may: looking at clusters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.chat import ANN, BOB, EVE, Chat, a_chat, is_approved
from watcher.chat import waiting
from watcher.core.drift import Observation
from watcher.core.facts import ClusterName, PoolName
from watcher.core.jobs import JobKind
from watcher.core.update_events import Kind, UpdateState
from watcher.ports import Observer, Transient, Unseen

S = UpdateState


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with a_chat() as made, made.listening():
        yield made


async def test_rebuild_asks_for_an_update_in_the_name_of_who_typed_it(chat: Chat) -> None:
    told = await chat.told("rebuild infra")
    (stored,) = await chat.store.jobs(JobKind.UPDATE, ended=False)
    assert stored.job.id in told
    assert (await chat.get(stored.job.id)).requested_by == f"slack:{ANN}"


async def test_rebuild_that_is_declined_says_why(chat: Chat) -> None:
    await chat.put(is_approved(state=S.APPLYING, expires_at=None))
    assert "Declined: u-1 is applying; wait for its end" in await chat.told("rebuild infra")


@dataclass
class Slow(Observer):
    """Looks at a pool when a test says so; or fails then."""

    inner: Observer
    goes_on: asyncio.Event
    error: Exception | None = None

    async def observe(
        self, cluster: ClusterName, pool: PoolName, *, fresh: bool = False
    ) -> Observation | Unseen:
        await self.goes_on.wait()
        if self.error:
            raise self.error
        return await self.inner.observe(cluster, pool, fresh=fresh)


@asynccontextmanager
async def slow(error: Exception | None = None) -> AsyncIterator[tuple[Chat, asyncio.Event]]:
    goes_on = asyncio.Event()
    async with a_chat(looks=lambda inner: Slow(inner, goes_on, error)) as chat, chat.listening():
        yield chat, goes_on


@pytest.mark.parametrize("command", ["plan infra", "rebuild infra"])
async def test_work_that_takes_longer_says_that_it_follows_and_then_answers_privately(
    command: str,
) -> None:
    async with slow() as (chat, goes_on):
        ack = await chat.says(command)
        assert ack.seconds < 3
        assert "the answer follows here" in chat.reads()
        assert not await chat.store.jobs(JobKind.UPDATE, ended=False)
        goes_on.set()
        await chat.slack.until(lambda: len(chat.slack.ephemerals(ANN)) == 2, "the answer")
        assert "4.16.3" in chat.reads()
        assert not chat.slack.messages("ops")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Transient("the registry is away"), "the registry is away"),
        (RuntimeError("a bug"), "an error inside Relayer"),
    ],
    ids=["outside", "inside"],
)
async def test_longer_work_that_fails_leaves_nobody_without_an_answer(
    error: Exception, said: str
) -> None:
    async with slow(error) as (chat, goes_on):
        await chat.says("rebuild infra")
        goes_on.set()
        await chat.slack.ephemeral(ANN, contains=said)


async def test_stock_asks_first_and_what_is_confirmed_is_asked_for(chat: Chat) -> None:
    await chat.says("stock infra", by=BOB)
    view = await chat.slack.view(BOB)
    assert not await chat.store.jobs(JobKind.UPDATE, ended=False)
    assert "back to the stock image" in str(view.view)
    assert await chat.slack.submit(view)
    await chat.slack.ephemeral(BOB, contains="asks for the stock image")
    (stored,) = await chat.store.jobs(JobKind.UPDATE, ended=False)
    update = await chat.get(stored.job.id)
    assert (update.kind, update.requested_by) == (Kind.STOCK, f"slack:{BOB}")
    assert [vote.surface for vote in update.votes] == ["slack form"]


async def test_a_stock_form_sent_by_one_who_may_not_asks_for_nothing(chat: Chat) -> None:
    await chat.says("stock infra")
    form = chat.slack.submitting(await chat.slack.view(ANN))
    form.payload["user"]["id"] = EVE
    assert await chat.slack.deliver(form)
    assert "is not an approver" in str((await chat.slack.view(ANN)).view["blocks"])
    assert not await chat.store.jobs(JobKind.UPDATE, ended=False)
    assert [entry.event for entry in await chat.refusals()] == ["StockDeclined"]
    assert waiting.SOON_SECONDS < 2.3
