"""Who somebody is beyond an identity: the person, and the groups of chat, with their deadline."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.facts import a_policy
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.virtual_time import LoopClock, virtually
from watcher.core.approval import Who
from watcher.core.facts import ClusterName, PoolName
from watcher.directory import FRESH, LOOKUP_SECONDS, OLDEST, SettingsDirectory
from watcher.people import AsNamed
from watcher.ports import OutsideError, Refused, Transient
from watcher.settings import PersonSettings, PoolSettings, Settings

OPS, SRE = "slack-group:SOPS", "slack-group:SSRE"
SETTINGS = Settings(
    people=(PersonSettings(name="ann", identities=("token:ann", "slack:UANN", "cli:ann")),)
)


class Chat:
    """Groups of a workspace, and every question about them."""

    def __init__(self, **members: set[str]) -> None:
        self.groups = {name: set(found) for name, found in members.items()}
        self.asked: list[str] = []
        self.fails: Exception | None = None
        self.takes_seconds = 0.0

    async def members(self, group: str) -> frozenset[str]:
        self.asked.append(group)
        if self.takes_seconds:
            await asyncio.sleep(self.takes_seconds)
        if self.fails:
            raise self.fails
        if group not in self.groups:
            raise Refused(f"no_such_subteam {group}")
        return frozenset(self.groups[group])


class AwayStore(FakeStore):
    """Some of it does not answer."""

    kept_fails = keep_fails = False

    async def kept(self, key: str) -> Mapping[str, object]:
        if self.kept_fails:
            raise Transient("redis: connection refused")
        return await super().kept(key)

    async def keep(self, key: str, value: Mapping[str, object]) -> None:
        if self.keep_fails:
            raise Transient("redis: connection refused")
        await super().keep(key, value)


class Book:
    def __init__(self, chat: Chat | None, *, clock: Any = None) -> None:
        self.clock = clock or FixedClock()
        self.store = AwayStore(self.clock)
        self.chat = chat
        self.directory = self.of(chat)

    def of(self, chat: Chat | None) -> SettingsDirectory:
        return SettingsDirectory(settings=SETTINGS, store=self.store, clock=self.clock, groups=chat)

    async def who(self, by: str = "slack:UANN", *approvers: str) -> Who:
        return await self.directory.who(by, approvers or (OPS,))

    async def known(self, age_seconds: float) -> None:
        """Somebody looked the group up a while ago; since then it may have changed."""
        await self.who()
        self.clock.advance(age_seconds)


# --- persons ------------------------------------------------------------------------------------


async def test_an_identity_of_a_person_is_that_person() -> None:
    assert await Book(None).who("cli:ann", "token:x") == Who(by="cli:ann", person="ann")


async def test_an_identity_of_nobody_is_only_itself() -> None:
    assert await Book(None).who("cli:eve", "token:x") == Who(by="cli:eve")


# --- groups -------------------------------------------------------------------------------------


async def test_of_the_asked_groups_those_that_have_the_person_are_named() -> None:
    chat = Chat(SOPS={"UANN"}, SSRE={"UBOB"})
    who = await Book(chat).who("slack:UANN", OPS, SRE, "token:x")
    assert (who.groups, who.unresolved) == ((OPS,), ())
    assert chat.asked == ["SOPS", "SSRE"]


async def test_a_token_is_in_the_group_of_its_person_s_chat_identity() -> None:
    assert (await Book(Chat(SOPS={"UANN"})).who("token:ann")).groups == (OPS,)


async def test_an_identity_in_chat_that_no_person_has_is_looked_up_by_itself() -> None:
    assert (await Book(Chat(SOPS={"UEVE"})).who("slack:UEVE")).groups == (OPS,)


async def test_nobody_is_looked_up_when_no_group_is_asked() -> None:
    chat = Chat(SOPS={"UANN"})
    assert (await Book(chat).who("slack:UANN", "person:ann")).groups == ()
    assert chat.asked == []


async def test_nobody_is_looked_up_for_an_identity_without_chat() -> None:
    chat = Chat(SOPS={"UANN"})
    who = await Book(chat).who("token:eve")
    assert (who.groups, who.unresolved, chat.asked) == ((), (), [])


async def test_a_group_that_chat_does_not_know_is_unresolved_and_says_why() -> None:
    who = await Book(Chat()).who()
    assert who.groups == ()
    assert who.unresolved == (f"{OPS} cannot be looked up: no_such_subteam SOPS",)


async def test_one_group_that_cannot_be_looked_up_does_not_hide_the_others() -> None:
    who = await Book(Chat(SSRE={"UANN"})).who("slack:UANN", OPS, SRE)
    assert (who.groups, len(who.unresolved)) == ((SRE,), 1)


async def test_without_a_way_to_chat_it_says_who_could() -> None:
    who = await Book(None).who()
    assert who.unresolved == (
        f"{OPS} cannot be looked up: only the service can, and it has not lately; is it running?",
    )


async def test_without_a_way_to_chat_what_the_service_looked_up_is_believed() -> None:
    book = Book(Chat(SOPS={"UANN"}))
    await book.known(OLDEST.total_seconds())
    assert (await book.of(None).who("cli:ann", (OPS,))).groups == (OPS,)


async def test_where_nothing_can_be_looked_up_every_group_is_unresolved() -> None:
    who = await AsNamed().who("slack:UANN", (OPS, "token:x"))
    assert who == Who(by="slack:UANN", unresolved=(f"{OPS} cannot be looked up here",))


# --- how long it is believed --------------------------------------------------------------------


async def test_members_that_are_fresh_are_believed_without_asking() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(FRESH.total_seconds())
    chat.groups["SOPS"] = set()
    assert (await book.who()).groups == (OPS,)
    assert chat.asked == ["SOPS"]


async def test_members_that_are_not_fresh_are_asked_for() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(FRESH.total_seconds() + 1)
    chat.groups["SOPS"] = set()
    assert (await book.who()).groups == ()
    assert len(chat.asked) == 2


async def test_what_was_asked_for_is_fresh_again() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    for _ in range(3):
        await book.known(FRESH.total_seconds() + 1)
    assert len(chat.asked) == 3
    await book.who()
    await book.who()
    assert len(chat.asked) == 4


async def test_while_chat_fails_members_are_believed_for_a_while() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(OLDEST.total_seconds())
    chat.fails = Transient("slack: 503")
    who = await book.who()
    assert (who.groups, who.unresolved) == ((OPS,), ())


async def test_a_group_that_is_gone_has_no_members_whatever_is_kept() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(OLDEST.total_seconds())
    chat.fails = Refused("Slack has no usergroup SOPS")
    who = await book.who()
    assert who.groups == ()
    assert "no usergroup" in who.unresolved[0]


async def test_while_chat_fails_old_members_are_not_believed() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(OLDEST.total_seconds() + 1)
    chat.fails = Transient("slack: 503")
    who = await book.who()
    assert (who.groups, who.unresolved) == ((), (f"{OPS} cannot be looked up: slack: 503",))


async def test_a_clock_that_was_set_back_makes_nothing_fresh() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(-3600)
    chat.groups["SOPS"] = set()
    assert (await book.who()).groups == ()


async def test_a_clock_that_was_set_back_makes_old_members_not_believed_either() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(-3600)
    chat.fails = Transient("slack: 503")
    assert (await book.who()).groups == ()


async def test_clocks_of_two_replicas_may_differ_a_little() -> None:
    book = Book(chat := Chat(SOPS={"UANN"}))
    await book.known(-60)
    await book.who()
    assert chat.asked == ["SOPS"]


@pytest.mark.parametrize("kept", [{}, {"at": 7, "members": ["UANN"]}], ids=["nothing", "no time"])
async def test_what_is_kept_without_a_time_is_not_believed(kept: dict[str, object]) -> None:
    book = Book(None)
    await book.store.keep(f"group:{OPS}", kept)
    assert (await book.who()).groups == ()


# --- the deadline, and a store that does not answer ---------------------------------------------


def test_a_lookup_that_takes_too_long_is_no() -> None:
    async def asked() -> tuple[Who, float]:
        book = Book(chat := Chat(SOPS={"UANN"}), clock=LoopClock())
        chat.takes_seconds = 30
        who = await book.who()
        return who, asyncio.get_running_loop().time()

    who, took = virtually(asked())
    assert who.unresolved == (f"{OPS} cannot be looked up: no answer in time",)
    assert took == pytest.approx(LOOKUP_SECONDS)


def test_a_lookup_just_in_time_counts() -> None:
    async def asked() -> Who:
        book = Book(chat := Chat(SOPS={"UANN"}), clock=LoopClock())
        chat.takes_seconds = LOOKUP_SECONDS - 0.1
        return await book.who()

    assert virtually(asked()).groups == (OPS,)


def test_a_lookup_that_takes_too_long_falls_back_on_what_is_not_old() -> None:
    async def asked() -> Who:
        book = Book(chat := Chat(SOPS={"UANN"}), clock=LoopClock())
        await book.who()
        await asyncio.sleep(FRESH.total_seconds() + 1)
        chat.takes_seconds = 30
        return await book.who()

    assert virtually(asked()).groups == (OPS,)


def test_several_groups_are_looked_up_side_by_side() -> None:
    async def asked() -> tuple[Who, float]:
        book = Book(chat := Chat(SOPS={"UANN"}, SSRE={"UANN"}), clock=LoopClock())
        chat.takes_seconds = 1.0
        who = await book.who("slack:UANN", OPS, SRE)
        return who, asyncio.get_running_loop().time()

    who, took = virtually(asked())
    assert who.groups == (OPS, SRE)
    assert took == pytest.approx(1.0)


async def test_with_the_store_away_it_is_no_and_says_so() -> None:
    book = Book(Chat(SOPS={"UANN"}))
    book.store.kept_fails = True
    who = await book.who()
    assert who.unresolved == (f"{OPS} cannot be looked up: redis: connection refused",)


async def test_an_answer_that_cannot_be_kept_counts_all_the_same() -> None:
    book = Book(Chat(SOPS={"UANN"}))
    book.store.keep_fails = True
    with capture_logs() as logs:
        assert (await book.who()).groups == (OPS,)
    assert [line["event"] for line in logs] == ["group_not_kept"]


async def test_a_group_too_large_for_the_store_counts_all_the_same() -> None:
    crowd = {f"U{number:010}" for number in range(6000)}
    book = Book(chat := Chat(SOPS={"UANN", *crowd}))
    with capture_logs():
        assert (await book.who()).groups == (OPS,)
        assert (await book.who()).groups == (OPS,)
    assert len(chat.asked) == 2, "it is asked for each time"


# --- the service's own refresh ------------------------------------------------------------------


def refreshing(chat: Chat) -> tuple[SettingsDirectory, AwayStore]:
    clock = FixedClock()
    store = AwayStore(clock)
    pools = tuple(
        PoolSettings(
            cluster=ClusterName("prod"),
            pool=PoolName(name),
            recipe="gpu",
            policy=a_policy(approvers=approvers),
        )
        for name, approvers in (("a", (OPS, "token:x")), ("b", (SRE, OPS)), ("c", ()))
    )
    settings = Settings(pools=pools, people=SETTINGS.people)
    return SettingsDirectory(settings=settings, store=store, clock=clock, groups=chat), store


async def test_a_refresh_looks_up_every_asked_group_once() -> None:
    chat = Chat(SOPS={"UANN"}, SSRE=set())
    directory, _ = refreshing(chat)
    await directory.refresh()
    assert chat.asked == ["SOPS", "SSRE"]
    assert (await directory.who("slack:UANN", (OPS,))).groups == (OPS,)
    assert len(chat.asked) == 2, "no click waits for it"


async def test_a_refresh_asks_though_what_is_kept_is_fresh() -> None:
    chat = Chat(SOPS={"UANN"}, SSRE=set())
    directory, _ = refreshing(chat)
    await directory.refresh()
    chat.groups["SOPS"] = set()
    await directory.refresh()
    assert (await directory.who("slack:UANN", (OPS,))).groups == ()


@pytest.mark.parametrize("error", [Transient("503"), Refused("missing_scope"), OutsideError("x")])
async def test_a_group_that_fails_does_not_keep_the_others_from_being_refreshed(
    error: Exception,
) -> None:
    chat = Chat(SSRE={"UANN"})
    directory, store = refreshing(chat)
    with capture_logs() as logs:
        await directory.refresh()
    assert [line["group"] for line in logs] == [OPS]
    assert (await store.kept(f"group:{SRE}"))["members"] == ["UANN"]
    chat.fails = error
    with capture_logs():
        await directory.refresh()
    assert chat.asked == ["SOPS", "SSRE"] * 2


async def test_two_persons_in_one_group_are_told_apart() -> None:
    chat = Chat(SOPS={"UANN"})
    book = Book(chat)
    assert (await book.who("slack:UANN")).groups == (OPS,)
    assert (await book.who("slack:UBOB")).groups == ()
