"""The card of an update: what can be decided, when it may begin, and what is in the way."""

from dataclasses import replace
from typing import Any

import pytest

from tests.facts import (
    INFRA,
    PROD,
    RECIPE_DIGEST,
    T0,
    a_build,
    a_policy,
    a_recipe,
    a_vote,
    an_update,
    digest,
    seconds,
)
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.scene import Scene
from tests.unit.test_planner import asked
from watcher.core.approval import ApprovalRules
from watcher.core.build import BuildState
from watcher.core.facts import ClusterName, PoolName
from watcher.core.letters import Card, Details, Diff, NodeLine, Severity
from watcher.core.order import After
from watcher.core.recipe_diff import snapshot
from watcher.core.timing import Freeze
from watcher.core.update import NOT_BEGUN, UPDATE_ENDS, Background, Policy, Update
from watcher.core.update_events import Kind, UpdateState
from watcher.core.windows import DAYS, Blackout, Window
from watcher.ports import AuditEntry, Change
from watcher.settings import ClusterSettings, PoolSettings, Settings
from watcher.telling.cards import EVENTS_SHOWN, IN_THE_WAY_SHOWN, LOG_SHOWN, NODES_SHOWN, Cards

S = UpdateState
HOUR, DAY = 3600.0, 86400.0
NIGHTLY = Window(days=DAYS, start="22:00", hours=4.0)
MORNINGS = Window(days=DAYS, start="06:00", hours=3.0)
OPEN = sorted(NOT_BEGUN)
WITH_IMAGE = [S.AWAITING_APPROVAL, S.SCHEDULED]
BEGUN = [S.APPLYING, S.ROLLING_OUT, S.SOAKING, S.ROLLING_BACK]


def a_card_s_settings(**said: Any) -> Settings:
    place = PoolSettings(
        cluster=PROD, pool=INFRA, recipe="gpu", **{"time_zone": "Europe/Berlin", **said}
    )
    return Settings(clusters=(ClusterSettings(name=PROD),), pools=(place,))


class Table:
    """Everything that a card is made from."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.cards = Cards(settings or a_card_s_settings(), self.store, self.clock)

    async def card(self, update: Update) -> Card:
        return self.cards.card(await self.cards.facts(update))

    async def details(self, update: Update) -> Details:
        return self.cards.details(await self.cards.facts(update))

    async def freeze(self, scope: str, until_seconds: float | None = None) -> None:
        until = None if until_seconds is None else T0 + seconds(until_seconds)
        made = Freeze(scope=scope, by="ann", because="", at=T0, until=until)
        entry = AuditEntry(at=T0, job="", event="Frozen", by="ann", state="")
        await self.store.freeze(made, entry)

    async def build(self, state: BuildState, *lines: str) -> None:
        made = a_build(state=state, image=None)
        await self.store.commit([Change(job=made, expected=0)], [])
        await self.store.add_log("b-1", lines)

    async def looked(self, *unmet: str) -> None:
        await self.store.put_view(f"pool:{PROD}/{INFRA}", {"unmet": list(unmet)})


# --- what can be decided --------------------------------------------------------------------------


async def test_a_question_can_be_approved_rejected_and_put_off() -> None:
    update = an_update(state=S.AWAITING_APPROVAL)
    card = await Table().card(update)
    assert (card.can_approve, card.can_reject, card.can_snooze) == (True, True, True)
    assert card.binding == update.binding.digest()


async def test_what_is_approved_can_still_be_rejected_and_put_off() -> None:
    card = await Table().card(an_update(state=S.SCHEDULED))
    assert (card.can_approve, card.can_reject, card.can_snooze) == (False, True, True)


async def test_before_there_is_an_image_nothing_can_be_decided() -> None:
    card = await Table().card(an_update())
    assert (card.can_approve, card.can_reject, card.can_snooze) == (False, False, False)
    assert (card.binding, card.snooze_choices) == ("", ())


@pytest.mark.parametrize("state", [*BEGUN, *sorted(UPDATE_ENDS)])
async def test_once_it_has_begun_or_ended_nothing_can_be_decided(state: UpdateState) -> None:
    table, ahead = Table(), T0 + seconds(DAY)
    await table.looked("the pool is paused")
    update = replace(an_update(state=state), expires_at=ahead, snoozed_until=ahead)
    card = await table.card(update)
    assert (card.can_approve, card.can_reject, card.can_snooze) == (False, False, False)
    assert (card.binding, card.snooze_choices, card.missing) == ("", (), 0)
    assert (card.next_window, card.scheduled_for, card.in_the_way) == ("", None, ())
    assert (card.expires_at, card.snoozed_until) == (None, None)


async def test_what_goes_by_itself_asks_nobody() -> None:
    update = an_update(state=S.AWAITING_APPROVAL, policy=a_policy(auto=True))
    card = await Table().card(update)
    assert (card.can_approve, card.missing) == (False, 0)


async def test_the_choices_of_a_snooze_have_the_next_window_where_there_are_windows() -> None:
    plain = await Table().card(an_update(state=S.AWAITING_APPROVAL))
    assert [word for word, _ in plain.snooze_choices] == ["1h", "4h", "tomorrow"]
    policy = Policy(windows=(NIGHTLY,))
    windowed = await Table().card(an_update(state=S.AWAITING_APPROVAL, policy=policy))
    assert windowed.snooze_choices[-1] == ("next-window", "next window")


async def test_it_says_what_the_policy_asks_of_people() -> None:
    rules = ApprovalRules(
        quorum=2, approvers=("person:ann",), two_person=True, reason_required=True
    )
    update = an_update(state=S.AWAITING_APPROVAL, policy=Policy(approval=rules))
    card = await Table().card(update)
    assert (card.quorum, card.missing, card.approvers) == (2, 2, ("person:ann",))
    assert (card.two_person, card.reason_required) == (True, True)
    assert card.expires_at == update.expires_at


# --- votes ----------------------------------------------------------------------------------------


async def test_votes_are_shown_with_their_reasons_and_counted_off() -> None:
    update = an_update(state=S.AWAITING_APPROVAL, policy=a_policy(quorum=2))
    vote = replace(a_vote(update, "ann"), reason="looks good")
    card = await Table().card(replace(update, votes=(vote,)))
    assert [(v.by, v.at, v.reason) for v in card.votes] == [("ann", T0, "looks good")]
    assert card.missing == 1


async def test_votes_for_what_it_was_before_are_not_shown() -> None:
    update = an_update(state=S.AWAITING_APPROVAL)
    stale = replace(a_vote(update), binding=replace(update.binding, policy=digest("before")))
    assert (await Table().card(replace(update, votes=(stale,)))).votes == ()


async def test_before_there_is_an_image_there_are_no_votes() -> None:
    assert (await Table().card(an_update())).votes == ()


async def test_who_asked_for_it_alone_is_not_enough_under_the_two_person_rule() -> None:
    policy = Policy(approval=ApprovalRules(two_person=True))
    update = an_update(state=S.AWAITING_APPROVAL, policy=policy, authors=("ann",))
    assert (await Table().card(replace(update, votes=(a_vote(update, "ann"),)))).missing == 1


# --- when it may begin ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", OPEN)
async def test_without_windows_it_may_begin_now(state: UpdateState) -> None:
    card = await Table().card(an_update(state=state))
    assert (card.next_window, card.scheduled_for) == ("now", None)


@pytest.mark.parametrize("state", OPEN)
async def test_the_next_window_is_told_in_the_zone_of_the_pool(state: UpdateState) -> None:
    policy = Policy(windows=(NIGHTLY,))
    card = await Table().card(an_update(state=state, policy=policy))
    assert card.next_window == "23:00"
    assert card.scheduled_for == T0 + seconds(14 * HOUR)


async def test_within_its_window_it_may_begin_now() -> None:
    update = an_update(state=S.AWAITING_APPROVAL, policy=Policy(windows=(MORNINGS,)))
    assert (await Table().card(update)).next_window == "now"


async def test_a_freeze_with_an_end_moves_the_next_window() -> None:
    table = Table()
    await table.freeze("prod", 30 * HOUR)
    card = await table.card(an_update(state=S.AWAITING_APPROVAL))
    assert card.next_window == "Thu 15:00 CET"


async def test_under_a_freeze_without_an_end_nobody_knows_when() -> None:
    table = Table()
    await table.freeze("")
    card = await table.card(an_update(state=S.SCHEDULED))
    assert (card.next_window, card.scheduled_for) == ("not known", None)


async def test_a_freeze_of_another_pool_says_nothing_here() -> None:
    table = Table()
    await table.freeze("prod/gpu")
    assert (await table.card(an_update(state=S.SCHEDULED))).next_window == "now"


async def test_a_blackout_moves_the_next_window() -> None:
    policy = Policy(blackouts=(Blackout(first="2026-11-18", last="2026-11-19"),))
    card = await Table().card(an_update(state=S.SCHEDULED, policy=policy))
    assert card.next_window == "Fri 01:00 CET"


async def test_a_release_that_is_too_young_moves_the_next_window() -> None:
    table = Table()
    update = an_update(state=S.AWAITING_APPROVAL, policy=Policy(min_age_seconds=2 * 86400))
    release = f"release:{update.target.release_image.digest}"
    await table.store.first_seen(release, T0 - seconds(DAY))
    card = await table.card(update)
    assert card.scheduled_for == T0 + seconds(DAY)
    stock = await table.card(replace(update, kind=Kind.STOCK))
    assert stock.next_window == "now", "the stock image is no release that must have aged"


async def test_a_snooze_moves_the_next_window_and_says_by_whom() -> None:
    until = T0 + seconds(4 * HOUR)
    update = an_update(state=S.SCHEDULED, snoozed_until=until, snoozed_by="token:ann")
    card = await Table().card(update)
    assert (card.snoozed_until, card.snoozed_by) == (until, "token:ann")
    assert card.next_window == "13:00"


async def test_a_snooze_that_is_over_is_not_shown() -> None:
    table = Table()
    update = an_update(state=S.SCHEDULED, snoozed_until=T0 + seconds(HOUR))
    table.clock.advance(HOUR)
    card = await table.card(update)
    assert (card.snoozed_until, card.next_window) == (None, "now")


# --- what is in the way ---------------------------------------------------------------------------


async def test_while_people_decide_it_is_what_the_last_look_at_the_pool_said() -> None:
    table = Table()
    await table.looked("the pool is paused", "held by ann")
    card = await table.card(an_update(state=S.AWAITING_APPROVAL))
    assert card.in_the_way == ("the pool is paused", "held by ann")


async def test_once_it_is_approved_it_is_what_it_waits_for() -> None:
    table = Table()
    await table.looked("from before")
    await table.store.set_progress("u-1", {"waiting": "the pool is paused; held by ann"})
    card = await table.card(an_update(state=S.SCHEDULED))
    assert card.in_the_way == ("the pool is paused", "held by ann")


async def test_right_after_the_approval_it_is_still_the_last_look() -> None:
    table = Table()
    await table.looked("the pool is paused")
    assert (await table.card(an_update(state=S.SCHEDULED))).in_the_way == ("the pool is paused",)


async def test_while_it_is_built_it_is_why_the_build_cannot_go_on() -> None:
    table = Table()
    await table.store.set_progress("u-1", {"waiting": "registry: 503"})
    assert (await table.card(an_update())).in_the_way == ("registry: 503",)


async def test_no_more_than_people_read_is_shown() -> None:
    table = Table()
    await table.looked(*(f"reason {n}" for n in range(50)))
    card = await table.card(an_update(state=S.AWAITING_APPROVAL))
    assert len(card.in_the_way) == IN_THE_WAY_SHOWN


async def test_a_look_that_finds_something_else_in_the_way_has_the_card_made_anew() -> None:
    scene = Scene()
    update = await asked(scene)
    await scene.planner.pass_over(PROD, INFRA)
    for mark in await scene.store.outbox.marked(99):
        await scene.store.outbox.clear(mark)
    await scene.planner.pass_over(PROD, INFRA)
    assert await scene.store.outbox.marked(99) == []
    scene.cluster.edit_pool(paused=True)
    await scene.planner.pass_over(PROD, INFRA)
    assert update.id in {mark.subject for mark in await scene.store.outbox.marked(99)}


# --- from where to where --------------------------------------------------------------------------


async def test_it_says_from_where_to_where_it_leads() -> None:
    said = Background(
        nodes=6,
        estimate_seconds=1800,
        os_version="416.94.3",
        signature="verified",
        from_image="registry/old",
        from_release="4.16.1",
        from_os_version="416.94.1",
    )
    update = an_update(state=S.AWAITING_APPROVAL, change="patch", background=said)
    card = await Table().card(update)
    assert (card.from_release, card.release, card.change) == ("4.16.1", "4.16.3", "patch")
    assert (card.from_os_version, card.os_version) == ("416.94.1", "416.94.3")
    assert (card.from_image, card.image) == ("registry/old", str(update.image))
    assert (card.nodes, card.estimate_seconds, card.signature) == (6, 1800, "verified")
    assert (card.recipe, card.recipe_digest) == ("gpu", RECIPE_DIGEST)


async def test_of_the_stock_image_it_shows_no_recipe_digest() -> None:
    update = an_update(state=S.AWAITING_APPROVAL, kind=Kind.STOCK, build="")
    card = await Table().card(update)
    assert (card.kind, card.recipe_digest, card.diff) == ("stock", "", None)


@pytest.mark.parametrize("state", list(S))
async def test_every_state_has_a_card_with_its_line_and_severity(state: UpdateState) -> None:
    update = an_update(state=state, ended_because="why" if state in UPDATE_ENDS else "")
    card = await Table().card(update)
    assert (card.state, bool(card.line)) == (state, True)
    assert (card.because, card.ended_because) == ("its base is old", update.ended_because)
    assert isinstance(card.severity, Severity)


@pytest.mark.parametrize("number", [1, 2])
async def test_with_several_clusters_names_are_cluster_and_pool(number: int) -> None:
    clusters = tuple(ClusterSettings(name=ClusterName(f"c{n}")) for n in range(number))
    table = Table(replace(a_card_s_settings(), clusters=clusters))
    assert (await table.card(an_update())).several_clusters == (number > 1)


async def test_a_pool_that_is_no_longer_configured_has_a_card_in_utc() -> None:
    update = an_update(
        state=S.AWAITING_APPROVAL, pool=PoolName("gone"), policy=Policy(windows=(NIGHTLY,))
    )
    assert (await Table().card(update)).next_window == "22:00"


# --- the recipe's difference ----------------------------------------------------------------------

BEFORE = replace(a_recipe("before"), containerfile="FROM base\n")
AFTER = replace(a_recipe(), containerfile="FROM base\nRUN x\n")


def with_recipe(was: str) -> Update:
    said = Background(from_image="registry/old", from_recipe=was)
    return an_update(state=S.AWAITING_APPROVAL, background=said)


async def test_it_shows_how_the_recipe_changed_since_what_runs() -> None:
    table = Table()
    for recipe in (BEFORE, AFTER):
        await table.store.keep(f"recipe:{recipe.digest}", snapshot(recipe))
    card = await table.card(with_recipe(BEFORE.digest))
    assert card.diff == Diff(known=True, lines=("+RUN x",), summary="Containerfile +1 −0")


async def test_of_the_same_recipe_it_says_so_without_looking() -> None:
    card = await Table().card(with_recipe(RECIPE_DIGEST))
    assert card.diff == Diff(known=True, summary="no difference")


@pytest.mark.parametrize("was", ["", BEFORE.digest], ids=["of nobody", "not kept"])
async def test_of_a_recipe_that_is_not_known_it_says_that(was: str) -> None:
    table = Table()
    await table.store.keep(f"recipe:{AFTER.digest}", snapshot(AFTER))
    assert (await table.card(with_recipe(was))).diff == Diff(known=False)


async def test_where_nothing_was_layered_there_is_nothing_to_compare() -> None:
    assert (await Table().card(an_update(state=S.AWAITING_APPROVAL))).diff is None


# --- what the thread holds ------------------------------------------------------------------------


async def test_the_thread_has_the_trail_and_not_that_of_others() -> None:
    table = Table()
    for job in ("u-1", "u-2"):
        entry = AuditEntry(at=T0, job=job, event="Voted", by="ann", state="x", detail="ok")
        await table.store.audit_only(entry)
    details = await table.details(an_update())
    assert [(e.what, e.by, e.detail) for e in details.events] == [("Voted", "ann", "ok")]


async def test_the_trail_is_bounded_to_the_newest() -> None:
    table = Table()
    for number in range(EVENTS_SHOWN + 5):
        entry = AuditEntry(at=T0, job="u-1", event=f"E{number}", by="x", state="")
        await table.store.audit_only(entry)
    events = (await table.details(an_update())).events
    assert (len(events), events[-1].what) == (EVENTS_SHOWN, f"E{EVENTS_SHOWN + 4}")


async def test_the_thread_has_the_nodes_of_the_rollout() -> None:
    table = Table()
    node = {"name": "node-0", "state": "Working", "updated": False, "reason": "draining"}
    await table.store.set_progress("u-1", {"nodes": [node, "rubbish", *([node] * 99)]})
    details = await table.details(an_update(state=S.ROLLING_OUT))
    assert details.nodes[0] == NodeLine(
        name="node-0", state="Working", updated=False, reason="draining"
    )
    assert len(details.nodes) < NODES_SHOWN + 1


async def test_of_a_failed_build_the_thread_has_the_end_of_its_log() -> None:
    table = Table()
    await table.build(BuildState.FAILED, *(f"line {n}" for n in range(100)))
    details = await table.details(an_update(state=S.FAILED))
    assert (len(details.build_log), details.build_log[-1]) == (LOG_SHOWN, "line 99")
    assert details.build == "b-1"


async def test_of_a_build_that_goes_well_the_thread_has_no_log() -> None:
    table = Table()
    await table.build(BuildState.BUILDING, "line")
    update = an_update()
    assert (await table.details(update)).build_log == ()
    assert (await table.card(update)).line == "building <1m"


async def test_a_build_that_is_gone_from_the_store_is_no_reason_to_tell_nothing() -> None:
    assert (await Table().card(an_update(build="b-404"))).line == "waiting for its build <1m"


async def test_what_follows_another_pool_says_so_by_the_last_look() -> None:
    """A card asks no cluster: what the order rule waits for is what a look found."""
    table = Table(a_card_s_settings(policy=Policy(after=(After(place="a/b", soak_seconds=1),))))
    await table.looked("a/b has to take 4.16.3 first; it does not run it yet")
    card = await table.card(an_update(state=S.AWAITING_APPROVAL))
    assert card.in_the_way == ("a/b has to take 4.16.3 first; it does not run it yet",)
