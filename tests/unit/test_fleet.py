"""The subject `fleet`: remembered before it is told, so that a crash says nothing twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest

from tests.alerting import DAY, HOUR, a_finding, a_silence, a_surveyed, behind
from tests.facts import INFRA, PROD, T0, a_target, an_update, seconds
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.scene import Scene
from watcher.core import lineage
from watcher.core.changes import Mode
from watcher.core.facts import ClusterName, PoolName
from watcher.core.letters import Delivered, Letters, Notice, Route, Severity
from watcher.core.state import Surveyed
from watcher.core.timing import Freeze
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry, Change, Refused, Transient
from watcher.settings import NoticeSettings, PoolSettings, Settings, SlackSettings, WorkSettings
from watcher.settings_alerts import AlertEscalation, AlertSettings
from watcher.telling.fleet import BYTES, CONCERNS, NOTICES, Fleet

SLACK = SlackSettings(bot_token_env="TOKEN", channel="C1")
HOLD = 1800
AUDIT = AuditEntry(at=T0, job="", event="Frozen", by="ann", state="")


def pools(*places: str) -> tuple[PoolSettings, ...]:
    parts = [place.split("/") for place in places]
    return tuple(
        PoolSettings(cluster=ClusterName(c), pool=PoolName(p), recipe="gpu") for c, p in parts
    )


@dataclass
class World:
    settings: Settings = field(
        default_factory=lambda: Settings(slack=SLACK, pools=pools("prod/infra", "test/infra"))
    )

    def __post_init__(self) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.found: list[Surveyed] = []
        """What this process finds of its clusters, as of now."""
        self.dark: dict[str, datetime] = {}
        """Clusters that are not seen any more, and when they were last."""

    @property
    def fleet(self) -> Fleet:
        """A process of its own, each time."""
        return Fleet(self.store, self.settings, self.clock, surveyed=self.surveyed)

    def surveyed(self) -> Sequence[Surveyed]:
        now = self.clock.now()
        return [replace(o, observed_at=self.dark.get(o.cluster, now)) for o in self.found]

    async def look(self, place: str, because: str = "", **said: object) -> None:
        """What the leader's look at a pool says; held if there is a reason."""
        known = {"at": self.clock.now().isoformat(), "because": because or "runs gpu"}
        decision = "Hold" if because else "InStep"
        await self.store.put_view(f"pool:{place}", {**known, "decision": decision, **said})

    async def looks(self, because: str = "") -> None:
        for pool in self.settings.pools:
            await self.look(f"{pool.cluster}/{pool.pool}", because)

    async def letters(self, *, after: float = 0) -> Letters:
        self.clock.advance(after)
        return await self.fleet.letters()

    async def told(self, *, after: float = 0) -> Letters:
        """What it wants, delivered."""
        letters = await self.letters(after=after)
        known = await self.store.outbox.delivered("fleet")
        for wanted in letters.wanted:
            if wanted.key not in known:
                await self.store.outbox.save("fleet", Delivered(key=wanted.key, ref="1"))
        return letters


def notice(letters: Letters) -> Notice:
    (only,) = letters.wanted
    assert isinstance(only.body, Notice)
    return only.body


async def test_a_pool_that_is_held_is_told_after_its_time_and_over_at_the_end() -> None:
    world = World()
    await world.looks()
    await world.look("prod/infra", "the pool is paused")
    letters = await world.letters()
    assert (letters.wanted, letters.again_at) == ((), T0 + seconds(HOLD))
    world.clock.advance(HOLD)
    await world.looks()
    await world.look("prod/infra", "the pool is paused")
    told = await world.told()
    (wanted,) = told.wanted
    assert (wanted.place, wanted.once) == ("slack:C1", False)
    assert (notice(told).places, notice(told).over_at) == (("prod/infra",), None)
    await world.look("prod/infra")
    ended = await world.letters(after=60)
    assert notice(ended).over_at == world.clock.now()
    assert ended.wanted[0].key == wanted.key


async def test_the_time_of_the_settings_counts() -> None:
    world = World()
    world.settings = replace(world.settings, notices=NoticeSettings(hold_seconds=60))
    await world.looks("the pool is paused")
    assert (await world.letters(after=59)).wanted == ()
    assert len((await world.letters(after=1)).wanted) == 1


async def test_what_was_over_before_it_could_be_told_is_no_news() -> None:
    world = World()
    await world.looks("the pool is paused")
    await world.letters()
    (wanted,) = (await world.letters(after=HOLD)).wanted
    await world.looks()
    assert (await world.letters(after=60)).wanted == ()
    tried = Delivered(key=wanted.key, trying="it may have arrived")
    await world.store.outbox.save("fleet", tried)
    assert [w.key for w in (await world.letters()).wanted] == [wanted.key]


async def test_another_process_goes_on_where_the_first_one_died() -> None:
    world = World()
    await world.looks("the pool is paused")
    assert (await world.letters()).wanted == ()
    world.clock.advance(HOLD)
    await world.looks("the pool is paused")
    first = await world.letters()
    assert len(first.wanted) == 1
    assert (await world.letters(after=60)).wanted == first.wanted


async def test_what_was_not_saved_is_not_told() -> None:
    world = World()
    await world.looks("the pool is paused")
    await world.letters()
    world.clock.advance(HOLD)

    async def broken(key: str, value: object) -> None:
        raise Transient("the store is gone")

    world.store.keep = broken  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await world.letters()


async def test_a_process_that_died_before_it_saved_the_notice_gives_it_the_same_name() -> None:
    world = World()
    await world.looks("the pool is paused")
    await world.letters()
    world.clock.advance(HOLD)
    await world.looks("the pool is paused")
    before = await world.letters()
    await world.store.keep(NOTICES, {})
    world.clock.advance(300)
    await world.looks("the pool is paused")
    assert [w.key for w in (await world.letters()).wanted] == [w.key for w in before.wanted]


async def test_nothing_is_saved_that_did_not_change() -> None:
    world = World()
    await world.looks("the pool is paused")
    await world.letters()
    await world.letters(after=HOLD)
    saved: list[str] = []

    async def keep(key: str, value: object) -> None:
        saved.append(key)

    world.store.keep = keep  # type: ignore[method-assign]
    await world.letters(after=60)
    assert saved == []


async def test_routes_say_where_notices_of_which_pools_go() -> None:
    world = World()
    world.settings = replace(
        world.settings,
        routes=(
            Route(to=("slack:CPROD",), clusters=("prod",), about=("notice",)),
            Route(to=("webhook:all",), severities=("warning",)),
            Route(to=("webhook:never",), about=("update",)),
        ),
    )
    await world.looks("the pool is paused")
    await world.letters()
    world.clock.advance(HOLD)
    await world.looks("the pool is paused")
    told = await world.letters()
    places = {w.place: w.body.places for w in told.wanted if isinstance(w.body, Notice)}
    assert places == {
        "slack:CPROD": ("prod/infra",),
        "webhook:all": ("prod/infra", "test/infra"),
    }


async def test_without_slack_and_routes_nobody_is_told() -> None:
    world = World()
    world.settings = replace(world.settings, slack=SlackSettings())
    await world.looks("the pool is paused")
    await world.letters()
    assert (await world.letters(after=HOLD)).wanted == ()


async def test_a_pool_that_left_the_configuration_is_nobody_s_trouble() -> None:
    world = World()
    await world.looks("the pool is paused")
    await world.letters()
    await world.letters(after=HOLD)
    world.settings = replace(world.settings, pools=pools("test/infra"))
    assert notice(await world.letters(after=60)).places == ("test/infra",)


async def test_a_freeze_is_told_at_once_and_again_when_it_ends() -> None:
    world = World()
    await world.looks()
    until = T0 + seconds(600)
    freeze = Freeze(scope="prod", by="ann", because="a fair", at=T0, until=until)
    await world.store.freeze(freeze, AUDIT)
    told = await world.told()
    assert (notice(told).places, told.again_at) == (("prod/infra",), until)
    assert notice(told).severity is Severity.INFO
    await world.looks()
    assert notice(await world.letters(after=600)).over_at == until


async def test_freezes_that_cannot_be_read_are_no_freezes_that_ended() -> None:
    world = World()
    await world.looks()

    async def unreadable() -> list[Freeze]:
        raise Refused("the freeze of prod cannot be read")

    world.store.freezes = unreadable  # type: ignore[method-assign]
    with pytest.raises(Refused):
        await world.letters()


async def test_looks_are_old_after_three_resyncs_and_five_minutes_at_least() -> None:
    world = World()
    for resync, stale in ((1.0, 300.0), (300.0, 900.0)):
        world.settings = replace(world.settings, work=WorkSettings(resync_seconds=resync))
        await world.looks()
        assert (await world.letters(after=stale)).wanted == ()
        assert (await world.letters(after=1)).wanted == ()
        told = await world.letters(after=max(stale / 3, 120))
        assert {w.body.title for w in told.wanted if isinstance(w.body, Notice)} == {
            "prod/infra is not looked at",
            "test/infra is not looked at",
        }
        await world.looks()
        await world.letters()
        await world.looks()
        await world.letters(after=86400)
        await world.store.keep(NOTICES, {})


@pytest.mark.parametrize(
    "rows",
    [{"notices": 7}, {"notices": [1, {"to": "slack:C1"}]}, {"other": []}],
    ids=["no list", "no notices", "nothing"],
)
async def test_what_cannot_be_read_is_as_if_it_was_not_there(rows: dict[str, object]) -> None:
    world = World()
    await world.looks()
    await world.store.keep(NOTICES, rows)
    await world.store.keep(CONCERNS, {"concerns": [{"place": 7}], "newer": True})
    assert (await world.letters()).wanted == ()


async def test_what_a_newer_release_adds_is_skipped() -> None:
    world = World()
    await world.looks("the pool is paused")
    await world.letters()
    told = await world.letters(after=HOLD)
    kept = dict(await world.store.kept(NOTICES))
    rows = kept["notices"]
    assert isinstance(rows, list)
    await world.store.keep(NOTICES, {"notices": [{**row, "mood": 7} for row in rows]})
    assert (await world.letters()).wanted == told.wanted


async def test_what_is_kept_is_bounded_however_much_there_is_to_tell() -> None:
    places = [f"cluster-{'x' * 50}/pool-{n}-{'y' * 50}" for n in range(400)]
    world = World(Settings(slack=SLACK, pools=pools(*places)))
    for number, place in enumerate(places):
        name = "".join(chr(103 + int(digit)) for digit in str(number))
        await world.look(place, f"recipe {name} cannot be used: " + "ü" * 1000)
    await world.letters()
    told = await world.letters(after=HOLD)
    assert 10 < len(told.wanted) <= 200
    for key in (NOTICES, CONCERNS):
        kept = await world.store.kept(key)
        assert 0 < len(str(kept).encode()) < 2 * BYTES
    again = await world.letters(after=60)
    assert {w.key for w in told.wanted} == {w.key for w in again.wanted}


# --- alerts ---


async def lagging() -> World:
    """A notice of lag stands and is delivered, an hour after T0."""
    world = World()
    await world.looks()
    world.found = [a_surveyed(behind())]
    await world.told()
    world.clock.advance(HOUR)
    await world.looks()
    await world.told()
    return world


def by_place(letters: Letters) -> dict[str, list[str]]:
    """The titles of what stands, by place."""
    found: dict[str, list[str]] = {}
    for wanted in letters.wanted:
        if isinstance(wanted.body, Notice) and wanted.body.over_at is None:
            found.setdefault(wanted.place, []).append(wanted.body.title)
    return found


async def test_what_was_found_of_a_cluster_is_told_and_over_when_it_is_well() -> None:
    world = await lagging()
    letters = await world.letters()
    assert (notice(letters).rule, notice(letters).places) == ("lag", ("prod/infra",))
    world.found = [a_surveyed(a_finding())]
    assert notice(await world.letters()).over_at == world.clock.now()


async def test_a_silence_in_the_store_is_said_and_ends_by_itself() -> None:
    world = await lagging()
    until = world.clock.now() + seconds(600)
    await world.store.silence(a_silence("prod", "lag", until=until), AUDIT)
    letters = await world.letters()
    assert "alert lag is silenced by ann" in notice(letters).silenced
    assert letters.again_at == until
    await world.looks()
    head, call = (await world.letters(after=600)).wanted
    assert isinstance(head.body, Notice)
    assert (head.body.silenced, call.thread_of) == ("", head.key)


async def test_a_cluster_that_is_not_seen_ends_nothing_and_is_told_where_its_news_go() -> None:
    world = await lagging()
    world.found = [a_surveyed(), a_surveyed(cluster=ClusterName("far"))]
    world.dark = {"prod": world.clock.now(), "far": world.clock.now()}
    world.settings = replace(
        world.settings,
        routes=(
            Route(to=("slack:CFAR",), clusters=("far",), pools=("*",)),
            Route(to=("slack:C1",), clusters=("prod",)),
        ),
    )
    await world.letters(after=301)
    told = by_place(await world.letters(after=120))
    assert told == {
        "slack:C1": ["prod/infra is behind 4.16.9", "prod is not seen"],
        "slack:CFAR": ["far is not seen"],
    }
    world.dark = {}
    assert by_place(await world.letters()) == {}


async def test_a_process_that_has_found_nothing_yet_ends_nothing() -> None:
    world = await lagging()
    world.found = [a_surveyed(cluster=PROD, asked_at=None)]
    assert notice(await world.letters()).over_at is None


async def test_another_process_calls_nobody_twice() -> None:
    world = await lagging()
    world.found = [a_surveyed(behind(releases=9))]
    first = await world.told()
    assert [wanted.once for wanted in first.wanted] == [False, True]
    assert (await world.letters(after=60)).wanted == first.wanted


async def test_what_lasts_goes_where_the_settings_say() -> None:
    world = World()
    step = AlertEscalation(after_seconds=HOUR, to=("webhook:boss",), severities=("warning",))
    world.settings = replace(world.settings, alerts=AlertSettings(escalations=(step,)))
    world.found = [a_surveyed(behind())]
    for _ in range(3):
        await world.looks()
        letters = await world.told()
        world.clock.advance(HOUR)
    title = "prod/infra is behind 4.16.9"
    assert by_place(letters) == {"slack:C1": [title], "webhook:boss": [title]}


async def test_a_rule_that_is_off_is_not_told() -> None:
    world = World()
    world.settings = replace(world.settings, alerts=AlertSettings(off=("lag",)))
    world.found = [a_surveyed(behind(releases=9))]
    await world.looks()
    await world.letters()
    world.clock.advance(DAY)
    await world.looks()
    assert (await world.letters()).wanted == ()


async def test_what_waits_for_people_and_workers_is_told_from_the_store() -> None:
    world = World()
    update = an_update(state=UpdateState.AWAITING_APPROVAL, target=a_target("4.16.9"))
    await world.store.commit([Change(job=update, expected=0)], [])
    world.clock.advance(DAY)
    await world.looks()
    await world.letters()
    told = by_place(await world.letters(after=120))["slack:C1"]
    assert told == [
        "4.16.9 waits for approval for prod/infra",
        "Jobs of kind update are not worked on",
    ]


async def test_news_of_no_cluster_goes_where_no_route_asks_for_one() -> None:
    world = World()
    world.settings = replace(
        world.settings,
        routes=(
            Route(to=("slack:CPROD",), clusters=("prod",)),
            Route(to=("slack:CALL",), about=("notice",)),
        ),
    )
    update = an_update(cluster=ClusterName("test"), state=UpdateState.SCHEDULED)
    await world.store.commit([Change(job=update, expected=0)], [])
    world.found = [a_surveyed(behind())]
    for _ in range(2):
        world.clock.advance(HOUR)
        await world.looks()
        letters = await world.letters()
    told = by_place(letters)
    assert told["slack:CPROD"] == ["prod/infra is behind 4.16.9"]
    assert sorted(told["slack:CALL"]) == [
        "Jobs of kind update are not worked on",
        "prod/infra is behind 4.16.9",
    ]


# --- with a real look at a pool ---


async def letters_of(scene: Scene, *, after: float = 0) -> Letters:
    scene.clock.advance(after)
    return await Fleet(scene.store, replace(scene.settings, slack=SLACK), scene.clock).letters()


async def test_a_registry_that_fails_is_one_cause_whatever_it_says() -> None:
    scene = Scene()
    scene.upgrade("4.16.3", completed=False)  # so that the payload must be read
    causes = set()
    for why in ("no answer in time (ConnectTimeout)", "answered 503", "answered 429 (slow down)"):
        for _ in range(2):
            path = f"https://quay.io/v2/a/manifests/{why[:4]}"
            scene.images.fails = [Transient(f"GET {path}: {why}")]
            with pytest.raises(Transient):
                await scene.planner.pass_over(PROD, INFRA)
            told = await letters_of(scene, after=HOLD / 2)
        causes.add(notice(told).cause)
    assert len(causes) == 1


async def test_a_pool_whose_policy_only_tells_is_told_at_once_and_over_when_in_step() -> None:
    scene = Scene()
    scene.settings = replace(
        scene.settings, pools=tuple(replace(p, mode=Mode.NOTIFY) for p in scene.settings.pools)
    )
    planner = replace(scene.planner, settings=scene.settings)
    await planner.pass_over(PROD, INFRA)
    told = await letters_of(scene)
    assert notice(told).title == "4.16.3 is there for prod/infra"
    assert notice(told).severity is Severity.INFO


async def shown(scene: Scene, mode: Mode) -> Mapping[str, object]:
    pool = replace(scene.settings.pools[0], modes={"patch": str(mode)})
    planner = replace(scene.planner, settings=replace(scene.settings, pools=(pool,)))
    await planner.pass_over(PROD, INFRA)
    return (await scene.store.views())["pool:prod/infra"]


async def test_a_look_shows_the_mode_of_its_change_and_what_is_in_the_way() -> None:
    for mode in Mode:
        scene = Scene()
        scene.cluster.edit_pool(paused=True)
        view = await shown(scene, mode)
        assert (view["mode"], view["only_told"]) == (mode, mode is Mode.NOTIFY)
        assert (view["running_release"], view["stock_by"]) == ("4.16.1", "")
        assert view["unmet"] == ["the pool is paused"]


async def test_an_update_that_a_person_asked_for_all_the_same_is_not_only_told_of() -> None:
    scene = Scene()
    await scene.planner.rebuild(PROD, INFRA, by="cli:ann")
    view = await shown(scene, Mode.NOTIFY)
    assert (view["mode"], view["only_told"]) == ("notify", False)
    assert view["update"]


async def test_a_pool_in_step_needs_no_change_and_so_has_no_mode() -> None:
    scene = Scene()
    scene = Scene(runs=replace(scene.update, state=UpdateState.DONE))
    view = await shown(scene, Mode.NOTIFY)
    assert (view["decision"], view["mode"], view["only_told"]) == ("InStep", "", False)


async def test_the_stock_image_that_somebody_asked_for_is_not_told() -> None:
    scene = Scene(runs=None)
    meta = scene.cluster.pools["infra"].meta
    notes = {**meta.annotations, lineage.STOCK_BY: "ann"}
    scene.cluster.edit_pool(meta=replace(meta, annotations=notes))
    await scene.planner.pass_over(PROD, INFRA)
    assert (await letters_of(scene)).wanted == ()
