"""Who may silence alerts, where, of which rules and for how long; what is refused is audited."""

from datetime import datetime, timedelta

import pytest

from tests.facts import T0, seconds
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.unit.test_rights import POOLS
from watcher import scopes, shown
from watcher.alert_rules import RULES
from watcher.core.facts import ClusterName
from watcher.core.silences import LONGEST, Silence, in_force, sentence
from watcher.directory import SettingsDirectory
from watcher.engine import noted_of
from watcher.errors import Declined
from watcher.people import People
from watcher.rights import Rights
from watcher.settings import ClusterSettings, PersonSettings, Settings

RULE = RULES[0]
HOUR = timedelta(hours=1)
SETTINGS = Settings(
    clusters=tuple(ClusterSettings(name=ClusterName(n)) for n in ("prod", "lab", "bare")),
    pools=POOLS,
    people=(PersonSettings(name="cat", identities=("slack:UCAT", "cli:cat")),),
)


class Door:
    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        directory = SettingsDirectory(settings=SETTINGS, store=self.store, clock=self.clock)
        self.people = People(store=self.store, clock=self.clock, directory=directory)
        self.rights = Rights(
            settings=SETTINGS, store=self.store, directory=directory, clock=self.clock
        )

    async def silenced(self, scope: str, by: str, *, rule: str = RULE) -> Silence:
        await self.rights.check_silence(scope, by=by, surface="cli")
        return await self.people.silence(
            scope, rule=rule, by=by, because="known", until=self.clock.now() + HOUR, surface="cli"
        )

    async def passes(self, scope: str, by: str) -> bool:
        try:
            await self.rights.check_silence(scope, by=by, surface="slack command")
        except Declined:
            return False
        return True

    async def lifts(self, silence: Silence, by: str) -> bool:
        try:
            found = await self.rights.check_unsilence(silence.id, by=by, surface="cli")
        except Declined:
            return False
        assert found == silence
        await self.people.unsilence(found, by=by, surface="cli")
        return True


# --- who -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "by", "is_let"),
    [
        ("prod/infra", "token:ann", True),
        ("prod/infra", "token:bob", False),
        ("prod", "token:ann", True),
        ("", "token:ann", True),
        ("prod", "token:eve", False),
        ("", "token:eve", True),  # lab/any lists nobody
        ("", "slack:UEVE", False),
        ("lab/any", "token:eve", True),
        ("lab/any", "slack:UCAT", False),
        ("prod/infra", "slack:UCAT", True),
        # Pools without a recipe: whoever has a say in their cluster, by any of its pools.
        ("prod/worker", "token:ann", True),
        ("prod/worker", "token:eve", False),
        ("lab/worker", "token:eve", True),
        # A cluster without any: whoever came through a door that proves something.
        ("bare", "token:eve", True),
        ("bare/worker", "cli:root", True),
        ("bare", "slack:UCAT", False),
        ("bare/worker", "slack:UCAT", False),
    ],
)
async def test_who_may_silence(scope: str, by: str, is_let: bool) -> None:
    assert await Door().passes(scope, by) == is_let


@pytest.mark.parametrize(
    "scope", ["stage", "/infra", "infra", "prod/", "prod/In fra", "prod/a/b", "prod/../x", "*"]
)
async def test_what_is_no_place_is_silenced_by_nobody(scope: str) -> None:
    assert not await Door().passes(scope, "cli:cat")
    assert scopes.why_no_place(SETTINGS, scope)


async def test_a_refused_attempt_is_audited() -> None:
    door = Door()
    assert not await door.passes("prod/infra", "token:bob")
    (entry,) = door.store.entries
    assert (entry.event, entry.by, entry.cluster, entry.pool, entry.surface) == (
        *("SilenceDeclined", "token:bob", "prod", "infra", "slack command"),
    )
    assert "not an approver" in entry.detail
    assert await door.store.silences() == []


@pytest.mark.parametrize(
    ("by", "is_let"), [("token:ann", True), ("cli:cat", True), ("token:eve", False)]
)
async def test_whoever_may_silence_the_place_may_lift_what_another_silenced(
    by: str, is_let: bool
) -> None:
    door = Door()
    made = await door.silenced("prod/infra", "slack:UCAT")
    assert await door.lifts(made, by) == is_let
    assert await door.store.silences() == ([] if is_let else [made])
    expected = "Unsilenced" if is_let else "UnsilenceDeclined"
    assert [entry.event for entry in door.store.entries] == ["Silenced", expected]


async def test_whoever_silenced_may_lift_it_although_she_may_silence_no_more() -> None:
    door = Door()
    made = Silence(
        id="s-1", scope="lab/any", rule="", by="cli:cat", because="x", at=T0, until=T0 + HOUR
    )
    entry = noted_of("lab/any", "Silenced", by="cli:cat", now=T0, detail="", surface="cli")
    await door.store.silence(made, entry)
    # From chat she could not silence it: nobody is listed there.
    assert await door.lifts(made, "slack:UCAT")


async def test_what_is_not_there_cannot_be_lifted_and_that_is_audited() -> None:
    door = Door()
    made = await door.silenced("prod", "token:ann")
    with pytest.raises(Declined, match=f"there is no silence s-0; there is: {made.id}"):
        await door.rights.check_unsilence("s-0", by="token:ann", surface="cli")
    assert door.store.entries[-1].event == "UnsilenceDeclined"
    assert await door.lifts(made, "token:ann")
    with pytest.raises(Declined, match="lifted already"):
        await door.people.unsilence(made, by="token:ann", surface="cli")


# --- what ----------------------------------------------------------------------------------------


async def test_a_silence_says_who_why_and_until_when_and_its_audit_too() -> None:
    door = Door()
    made = await door.silenced("prod/infra", "token:ann")
    assert await door.store.silences() == [made]
    assert (made.scope, made.rule, made.by, made.because) == (
        *("prod/infra", RULE, "token:ann", "known"),
    )
    assert (made.at, made.until) == (T0, T0 + HOUR)
    (entry,) = door.store.entries
    assert entry.detail == f"{made.id}; {RULE}; known; until {T0 + HOUR:%Y-%m-%d %H:%M} UTC"
    assert sentence(made) == (
        f"alert {RULE} is silenced by token:ann until {T0 + HOUR:%Y-%m-%d %H:%M} UTC: known"
    )


async def test_two_silences_never_have_one_id() -> None:
    door = Door()
    made = [await door.silenced("prod", "token:ann") for _ in range(20)]
    assert len({one.id for one in made}) == 20


@pytest.mark.parametrize(
    ("rule", "because", "until", "sentence"),
    [
        ("lagg", "x", T0 + HOUR, "no alert rule is called lagg; there are: "),
        (RULE, "  ", T0 + HOUR, "say why"),
        (RULE, "x", T0, "is over already; nothing was silenced"),
        (RULE, "x", T0 + LONGEST + seconds(1), "ends within 30 days"),
    ],
)
async def test_a_silence_needs_a_rule_that_exists_a_reason_and_an_end(
    rule: str, because: str, until: datetime, sentence: str
) -> None:
    door = Door()
    with pytest.raises(Declined, match=sentence):
        await door.people.silence(
            "prod", rule=rule, by="token:ann", because=because, until=until, surface="cli"
        )
    assert await door.store.silences() == []
    assert door.store.entries == []


async def test_the_longest_silence_is_let_and_a_reason_is_bounded() -> None:
    door = Door()
    made = await door.people.silence(
        "", rule="", by="token:ann", because="x" * 999, until=T0 + LONGEST, surface="cli"
    )
    assert len(made.because) == 500


async def test_of_a_pool_without_a_recipe_the_spelling_is_asked_to_be_minded() -> None:
    door = Door()
    made = await door.silenced("prod/wroker", "token:ann")
    assert "no recipe is configured for prod/wroker" in scopes.silenced_sentence(SETTINGS, made)
    known = await door.silenced("prod/infra", "token:ann")
    assert "recipe" not in scopes.silenced_sentence(SETTINGS, known)


async def test_lifting_tells_what_still_holds_it_back() -> None:
    door = Door()
    wide = await door.silenced("", "token:ann", rule="")
    other = await door.silenced("prod/gpu", "token:bob")
    made = await door.silenced("prod/infra", "token:ann")
    assert await door.lifts(made, "token:ann")
    said = await scopes.unsilenced_sentence(door.store, made, now=T0)
    assert wide.id in said
    assert other.id not in said
    assert await door.lifts(wide, "token:ann")
    said = await scopes.unsilenced_sentence(door.store, wide, now=T0)
    assert said == f"{wide.id} is lifted, and what it held back is told again"


async def test_what_is_shown_is_what_is_in_force() -> None:
    door = Door()
    long = await door.people.silence(
        "prod", rule="", by="token:ann", because="x", until=T0 + 3 * HOUR, surface="cli"
    )
    short = await door.silenced("prod/infra", "token:ann")
    rows = await shown.silences(door.store, now=T0)
    assert [row["id"] for row in rows] == [short.id, long.id]
    assert (rows[0]["cluster"], rows[0]["pool"], rows[0]["rule"]) == ("prod", "infra", RULE)
    door.clock.advance(3600)
    rows = await shown.silences(door.store, now=door.clock.now())
    assert [row["id"] for row in rows] == [long.id]


def test_a_silence_holds_back_what_its_scope_and_rule_say_until_its_end() -> None:
    made = Silence(id="s-1", scope="prod", rule=RULE, by="a", because="b", at=T0, until=T0 + HOUR)

    def held(rule: str, cluster: str, pool: str, now: datetime) -> bool:
        return bool(in_force([made], rule=rule, cluster=cluster, pool=pool, now=now))

    assert held(RULE, "prod", "infra", T0)
    assert held(RULE, "prod", "", T0)
    assert not held("other", "prod", "infra", T0)
    assert not held(RULE, "edge", "infra", T0)
    assert not held(RULE, "prod", "infra", T0 + HOUR)
