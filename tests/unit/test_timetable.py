"""When pools may be changed: what everybody is shown, from the settings and the store alone."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.facts import INFRA, PROD, T0, an_update, approved, release_image, seconds
from tests.fakes import FixedClock
from watcher import scopes
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.order import After
from watcher.core.timing import Freeze
from watcher.core.update import Policy, Update
from watcher.core.update_events import Kind, UpdateState
from watcher.core.windows import Blackout, Window
from watcher.ports import AuditEntry, Change
from watcher.settings import PoolSettings, Settings
from watcher.shown import Row
from watcher.timetable import timetables

SATURDAY = Window(days=("sat",), start="02:00", hours=4, timezone="Europe/Berlin")


class Hall:
    """One pool, and a store that remembers things of it. It is Wednesday, 2026-11-18 08:00 UTC."""

    def __init__(self, policy: Policy | None = None, zone: str = "Europe/Berlin") -> None:
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.pool = PoolSettings(
            cluster=PROD, pool=INFRA, recipe="gpu", policy=policy or Policy(), time_zone=zone
        )

    async def shown(self) -> Row:
        (row,) = await timetables(self.store, [self.pool], now=self.clock.now())
        return row

    async def put(self, update: Update) -> None:
        await self.store.commit([Change(job=update, expected=0)], [])

    async def freeze(self, scope: str, until: datetime | None = None) -> None:
        made = Freeze(scope=scope, by="ann", because="audit", at=T0, until=until)
        entry = AuditEntry(at=T0, job="", event="Frozen", by="ann", state="")
        await self.store.freeze(made, entry)

    async def looked(self, **said: Any) -> None:
        view = {"decision": "Rebuild", "because": "its base is old", "at": T0.isoformat(), **said}
        await self.store.put_view("pool:prod/infra", view)


async def test_a_pool_without_any_rule_may_always_be_changed() -> None:
    row = await Hall().shown()
    assert (row["allowed"], row["reasons"], row["opens_at"]) == (True, [], T0.isoformat())
    assert (row["windows"], row["openings"], row["blackouts"]) == ([], [], [])


async def test_everything_that_is_in_the_way_is_told_at_once_with_the_first_free_moment() -> None:
    hall = Hall(Policy(windows=(SATURDAY,), min_age_seconds=86400 * 4))
    await hall.put(an_update(snoozed_until=T0 + seconds(3600), snoozed_by="bob"))
    await hall.store.first_seen(f"release:{release_image('4.16.3').digest}", T0)
    await hall.freeze("prod", until=T0 + seconds(7200))
    row = await hall.shown()
    assert not row["allowed"]
    assert row["reasons"] == [
        "the next window opens 2026-11-21 01:00 UTC",
        "frozen by ann until 2026-11-18 10:00 UTC: audit",
        "release first seen 2026-11-18 08:00 UTC; this policy waits 4d",
        "snoozed by bob until 2026-11-18 09:00 UTC",
    ]
    assert row["opens_at"] == "2026-11-28T01:00:00+00:00"
    assert row["old_enough_at"] == "2026-11-22T08:00:00+00:00"


async def test_five_windows_are_shown_in_the_pool_s_time_and_in_utc() -> None:
    row = await Hall(Policy(windows=(SATURDAY,))).shown()
    assert len(row["openings"]) == 5
    assert row["openings"][0] == {
        "start": "2026-11-21T01:00:00+00:00",
        "end": "2026-11-21T05:00:00+00:00",
        "local_start": "2026-11-21T02:00:00+01:00",
        "local_end": "2026-11-21T06:00:00+01:00",
    }


async def test_blackouts_are_shown_when_they_are_in_force_or_ahead() -> None:
    policy = Policy(
        blackouts=(
            Blackout(first="2026-11-17", last="2026-11-19", reason="sale"),
            Blackout(first="12-20", last="01-06", reason="year end"),
            Blackout(first="2026-11-01", last="2026-11-02", reason="over"),
            Blackout(first="2028-01-01", last="2028-02-01", reason="far"),
        )
    )
    rows = (await Hall(policy).shown())["blackouts"]
    assert [(b["reason"], b["in_force"], b["start"], b["end"]) for b in rows] == [
        ("sale", True, None, "2026-11-20T00:00:00+00:00"),
        ("year end", False, "2026-12-20T00:00:00+00:00", "2027-01-07T00:00:00+00:00"),
        ("far", False, "2028-01-01T00:00:00+00:00", "2028-02-02T00:00:00+00:00"),
    ]


async def test_freezes_of_other_pools_and_ended_ones_are_none_of_this_pool_s() -> None:
    hall = Hall()
    await hall.freeze("test")
    await hall.freeze("prod/worker")
    await hall.freeze("", until=T0)
    assert (await hall.shown())["allowed"]
    await hall.freeze("prod/infra")
    row = await hall.shown()
    assert (row["allowed"], row["opens_at"]) == (False, None)
    assert [one["scope"] for one in row["freezes"]] == ["prod/infra"]


async def test_a_release_that_nobody_has_seen_is_not_seen_by_asking() -> None:
    hall = Hall(Policy(min_age_seconds=3600))
    row = await hall.shown()
    assert (row["release_seen_at"], row["opens_at"]) == (None, None)
    assert "not known when the release was first seen" in row["reasons"][0]
    hall.clock.advance(60)
    what = f"release:{release_image('4.16.3').digest}"
    assert await hall.store.first_seen(what, hall.clock.now()) == hall.clock.now()


async def test_the_last_look_knows_when_the_release_was_first_seen() -> None:
    hall = Hall(Policy(min_age_seconds=3600))
    await hall.looked(release_seen_at=(T0 - seconds(7200)).isoformat())
    assert (await hall.shown())["allowed"]


async def test_the_stock_image_need_not_have_aged() -> None:
    hall = Hall(Policy(min_age_seconds=3600))
    await hall.put(an_update(kind=Kind.STOCK, state=UpdateState.AWAITING_APPROVAL))
    await hall.store.first_seen(f"release:{release_image('4.16.3').digest}", T0)
    assert (await hall.shown())["allowed"]


async def test_what_the_last_look_and_the_active_update_say_is_there() -> None:
    hall = Hall()
    await hall.looked(unmet=["the pool is paused"])
    await hall.put(approved(an_update(state=UpdateState.SCHEDULED)))
    await hall.store.set_progress("u-1", {"waiting": "the pool is paused"})
    row = await hall.shown()
    assert (row["decision"], row["unmet"]) == ("Rebuild", ["the pool is paused"])
    assert (row["update"], row["waiting"]) == ("u-1", "the pool is paused")


async def test_an_update_that_ended_says_nothing_any_more() -> None:
    hall = Hall()
    await hall.put(
        an_update(state=UpdateState.REJECTED, snoozed_until=T0 + seconds(60), snoozed_by="bob")
    )
    row = await hall.shown()
    assert (row["allowed"], row["update"], row["snoozed_until"]) == (True, "", None)


async def test_an_order_rule_shows_how_the_other_pool_stood() -> None:
    hall = Hall(Policy(after=(After(place="prod/infra", soak_seconds=86400),)))
    hall.pool = replace(hall.pool, pool=type(INFRA)("worker"))
    await hall.looked(decision="InStep", because="runs 4.16.3")
    await hall.put(an_update(state=UpdateState.DONE))
    (rule,) = (await hall.shown())["after"]
    assert (rule["place"], rule["soak_seconds"]) == ("prod/infra", 86400)
    assert (rule["decision"], rule["because"]) == ("InStep", "runs 4.16.3")
    assert (rule["update"], rule["update_state"], rule["update_release"]) == (
        "u-1",
        "done",
        "4.16.3",
    )


def test_a_word_is_of_the_zone_that_all_pools_of_its_scope_share() -> None:
    zones = {"a/x": "Europe/Berlin", "a/y": "Europe/Berlin", "b/x": "America/New_York"}
    settings = Settings(
        pools=tuple(
            PoolSettings(
                cluster=type(PROD)(place[0]), pool=type(INFRA)(place[2]), recipe="r", time_zone=zone
            )
            for place, zone in zones.items()
        )
    )
    hours = [
        scopes.until(settings, scope, "tomorrow", now=T0).hour for scope in ("a", "b", "b/x", "")
    ]
    assert hours == [8, 14, 14, 9]
