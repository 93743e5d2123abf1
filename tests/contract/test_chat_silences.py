"""`/relayer silence` typed in Slack: a place, a reason and an end, or nothing happens."""

from collections.abc import AsyncIterator

import pytest

from tests.chat import ANN, EVE, Chat, a_chat
from watcher.alert_rules import RULES

RULE = RULES[0]


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with a_chat() as made, made.listening():
        yield made


@pytest.mark.parametrize(
    ("said", "scope", "rule", "because"),
    [
        ("prod disks are swapped until 4h", "prod", "", "disks are swapped"),
        (f"prod `{RULE}` disks until 4h", "prod", RULE, "disks"),
        (f"infra {RULE} disks until 4h", "prod/infra", RULE, "disks"),
        ("prod/worker disks until 4h", "prod/worker", "", "disks"),
        ("everywhere disks until 4h", "", "", "disks"),
    ],
)
async def test_a_silence_comes_is_listed_and_goes(
    chat: Chat, said: str, scope: str, rule: str, because: str
) -> None:
    told = await chat.told(f"silence {said}")
    (made,) = await chat.store.silences()
    assert (made.scope, made.rule, made.because) == (scope, rule, because)
    assert made.by == f"slack:{ANN}"
    assert made.id in told
    assert made.id in await chat.told("silences")
    assert f"{made.id} is lifted" in await chat.told(f"unsilence `{made.id}`")
    assert await chat.store.silences() == []
    assert "nothing is silenced" in await chat.told("silences")
    assert [(e.event, e.surface) for e in await chat.store.audit()] == [
        ("Silenced", "slack command"),
        ("Unsilenced", "slack command"),
    ]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("prod disks", "say until when"),
        ("prod until 4h", "say why"),
        ("disks until 4h", "no pool disks is configured"),
        ("prdo disks until 4h", "no pool prdo is configured"),
        ("stage/infra disks until 4h", "no cluster is named"),
        ("prod disks until soon", "is no moment"),
        ("prod disks until 99d", "ends within 30 days"),
        ("", "no pool (none given) is configured"),
    ],
)
async def test_what_is_not_said_whole_silences_nothing(
    chat: Chat, said: str, sentence: str
) -> None:
    assert sentence in await chat.told(f"silence {said}")
    assert await chat.store.silences() == []


async def test_who_may_not_decide_there_neither_silences_nor_lifts(chat: Chat) -> None:
    await chat.told("silence prod disks until 4h")
    (made,) = await chat.store.silences()
    assert "not an approver" in await chat.told("silence prod x until 4h", by=EVE)
    assert "not an approver" in await chat.told(f"unsilence {made.id}", by=EVE)
    assert "there is no silence s-0" in await chat.told("unsilence s-0")
    assert await chat.store.silences() == [made]
