"""What people are told beside updates: once for each cause, when it lasts, and when it ends."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import alerting
from tests.alerting import (
    DAY,
    HOLD,
    HOUR,
    MINUTE,
    STALE,
    Days,
    a_freeze,
    a_view,
    held,
    only_told,
    to_cluster_s_own,
)
from tests.facts import T0, seconds
from watcher.core import notices
from watcher.core.alerts import View
from watcher.core.causes import same
from watcher.core.letters import Notice, Severity
from watcher.core.notices import Memory

OUTAGE = "cannot be looked at, and is tried again: GET https://quay.io/v2/a/b: no answer in time"


# --- held ---


def test_a_pool_that_is_held_is_told_once_it_has_lasted() -> None:
    days = Days().see(held())
    assert (days.memory.notices, days.again) == ((), T0 + seconds(HOLD))
    assert days.see(held(), after=HOLD - 1).memory.notices == ()
    days.see(held(), after=1)
    assert (days.one.title, days.one.severity) == ("prod/infra is held", Severity.WARNING)
    assert days.one.sentence == "recipe gpu cannot be used: no FROM"
    assert (days.one.places, days.one.since, days.again) == (("prod/infra",), T0, None)


def test_what_was_over_before_it_lasted_is_never_told() -> None:
    days = Days().see(held()).see(a_view(), after=HOLD - 1)
    assert days.see(held(), after=60).see(held(), after=HOLD - 1).memory.notices == ()


def test_a_pool_held_for_one_thing_after_another_is_told() -> None:
    days = Days().see(held(because="recipe gpu cannot be used: no FROM"))
    for number in range(6):
        because = "the pool is paused" if number % 2 else "the cluster is not read yet"
        days.see(held(because=because), after=HOLD / 6)
    assert [one.sentence for one in days.stand] == ["the pool is paused"]


def test_causes_in_turn_are_two_messages_however_long_it_goes_on() -> None:
    days = Days().see(held(because="the pool is paused"))
    keys = set()
    for number in range(100):
        days.see(held(because=("the pool is paused", OUTAGE)[number % 2]), after=5 * MINUTE)
        keys |= {one.key for one in days.memory.notices}
        assert len(days.stand) == (1 if days.now >= T0 + seconds(HOLD) else 0)
    assert len(keys) == 2


def test_one_outage_over_twenty_pools_of_three_clusters_is_one_notice() -> None:
    said = [
        "GET https://quay.io/v2/os/gpu-{n}/manifests/sha256:{n:064x}: no answer in {n}.5 s",
        "HEAD https://quay.io/v2/os/gpu/blobs/sha256:{n:064x}: answered 50{n}",
    ]
    views = [
        held(f"c{n % 3}/pool-{n}", "cannot be looked at, and is tried again: " + text.format(n=n))
        for n in range(20)
        for text in [said[n % 2]]
    ]
    days = Days().see(*views).see(*views, after=HOLD)
    assert days.one.title == "20 pools of 3 clusters are held"
    assert days.one.sentence.startswith("for one, c0/pool-0: cannot be looked at")
    assert set(days.one.places) == {f"c{n % 3}/pool-{n}" for n in range(20)}


def test_a_notice_tells_the_whole_outage_at_once() -> None:
    days = Days()
    views: list[View] = []
    for number in range(5):
        views.append(held(f"prod/p{number}"))
        days.see(*views, after=MINUTE)
    days.see(*views, after=HOLD - 4 * MINUTE)
    assert (len(days.one.places), days.one.since) == (5, T0 + seconds(MINUTE))


def test_a_changing_number_neither_makes_a_second_notice_nor_edits_it_at_each_look() -> None:
    days = Days().see(held(because="silent for 1 s"))
    keys, sentences = set(), set()
    for number in range(DAY // (5 * MINUTE)):
        days.see(held(because=f"silent for {number}m{number}s, at 1{number}:00"), after=5 * MINUTE)
        keys |= {one.key for one in days.memory.notices}
        sentences |= {one.sentence for one in days.memory.notices}
    assert len(keys) == 1
    assert 2 < len(sentences) <= DAY / HOLD + 1


def test_what_is_the_same_by_its_cause_is_compared_without_names_and_numbers() -> None:
    pairs = [
        (
            "u-12ab failed: x; `relayer rebuild prod/infra`",
            "u-99cd failed: x; `relayer rebuild {}`",
        ),
        ("b-0123456789-beef failed", "b-abcdefabcd-0123 failed"),
        ("4.16.3 for 1h2m, 900 ms", "4.17.12 for 45s, 1.2 s"),
        ("last seen 2026-11-24 10:00 UTC, too", "last seen 2026-11-25 09:59 UTC, too"),
        ("Node worker-a is reporting: x", "Node ip-10-0-1-2.ec2.internal is reporting: x"),
        ("99-infra-relayer-osimage would", "99-gpu-relayer-osimage would"),
        ("sha256:" + 64 * "a", "sha256:" + 64 * "0"),
        ("prod: ClusterVersion was not seen", "test: ClusterVersion was not seen"),
        ("GET https://quay.io/v2/a: answered 404", "HEAD https://quay.io/v2/b: answered 500"),
        ("quay.io:443/a/b@sha256:ab is absent", "quay.io:443/c@sha256:cd is absent"),
    ]
    for ours, theirs in pairs:
        said = theirs.format("test/gpu")
        assert same(ours, "prod", "infra") == same(said, "test", "gpu"), ours


def test_what_differs_by_its_cause_stays_apart() -> None:
    said = [
        "recipe gpu cannot be used: no FROM",
        "recipe net cannot be used: no FROM",
        "the pool is degraded: Node a is reporting: x",
        "the pool is degraded: Node a is reporting: y",
        OUTAGE,
        OUTAGE.replace("quay.io", "registry.example.com"),
        "release 4.16.3 cannot be read: GET https://quay.io/v2/a: answered 404",
        "recipe infra cannot be used: no FROM",
    ]
    assert len({same(one, "prod", "infra") for one in said}) == len(said)


def test_a_pool_whose_stock_image_somebody_asked_for_is_no_trouble() -> None:
    because = "ann asked for the stock image; `relayer rebuild prod/infra` layers it again"
    view = {**held(because=because), "stock_by": "ann"}
    days = Days().see(view).see(view, after=DAY)
    assert days.memory == Memory()


def test_a_pool_that_its_own_update_has_paused_is_no_trouble() -> None:
    view = {**held(because="the pool is still paused by Relayer for u-1; see"), "update": "u-1"}
    assert Days().see(view).see(view, after=DAY).memory == Memory()
    left = {**view, "update": ""}
    assert Days().see(left).see(left, after=HOLD).one.places == ("prod/infra",)


# --- over, and again ---


def told(**said: object) -> Days:
    """A notice of prod/infra stands since half an hour after T0."""
    return Days(**said).see(held()).see(held(), after=HOLD)  # type: ignore[arg-type]


def test_a_notice_ends_as_over_once_its_cause_is_gone() -> None:
    days = told().see(a_view(), after=MINUTE)
    ended = days.now
    assert (days.one.over_at, days.one.places) == (ended, ("prod/infra",))
    assert days.one.title == "prod/infra is held"
    (letter,) = notices.letters(days.memory)
    assert isinstance(letter.body, Notice)
    assert letter.body.over_at == ended
    assert days.see(a_view(), after=DAY - 1).one.over_at == ended
    assert days.see(a_view(), after=1).memory.notices == ()


def test_a_pool_that_is_no_longer_configured_ends_it_too() -> None:
    assert told().see(after=MINUTE).one.over_at is not None


def test_what_comes_back_within_half_an_hour_is_the_same_notice() -> None:
    days = told()
    before = days.one
    days.see(a_view(), after=MINUTE).see(held(), after=30 * MINUTE - 1)
    assert (days.one.key, days.one.over_at) == (before.key, None)
    assert days.see(held(), after=MINUTE).one.key == before.key


def test_what_comes_back_later_is_a_new_notice_once_it_has_lasted() -> None:
    days = told()
    before = days.one
    days.see(a_view(), after=MINUTE).see(held(), after=30 * MINUTE)
    assert days.stand == []
    days.see(held(), after=HOLD)
    (new,) = days.stand
    assert (new.cause, new.since > before.since) == (before.cause, True)
    assert new.key != before.key
    assert len(days.memory.notices) == 2


def test_a_cause_that_comes_back_to_a_pool_held_all_the_time_is_not_the_old_message() -> None:
    days = told()
    before = days.one.key
    other = held(because="the pool is paused")
    days.see(other, after=MINUTE).see(other, after=3 * DAY).see(held(), after=MINUTE)
    assert before not in {one.key for one in days.memory.notices}


def test_a_flapping_cause_is_one_message() -> None:
    days = told()
    keys = set()
    for number in range(200):
        days.see(held() if number % 2 else a_view(), after=10 * MINUTE)
        keys |= {one.key for one in days.memory.notices}
    assert len(keys) == 1


def test_a_notice_is_edited_as_its_pools_change() -> None:
    days = told()
    key = days.one.key
    days.see(held(), held("prod/gpu"), after=MINUTE)
    assert (days.one.key, days.one.places) == (key, ("prod/gpu", "prod/infra"))
    assert days.one.title == "2 pools of prod are held"
    assert days.see(held("prod/gpu"), after=MINUTE).one.places == ("prod/gpu",)


# --- where ---


def test_each_place_is_told_of_its_own_pools_only() -> None:
    days = Days(to=to_cluster_s_own)
    views = [held("prod/a"), held("prod/b"), held("test/a")]
    days.see(*views).see(*views, after=HOLD)
    assert {one.to: one.places for one in days.stand} == {
        "slack:C-prod": ("prod/a", "prod/b"),
        "slack:C-test": ("test/a",),
    }
    assert {letter.place for letter in notices.letters(days.memory)} == {
        "slack:C-prod",
        "slack:C-test",
    }


def test_it_is_over_at_a_place_whose_pools_are_well_while_it_goes_on_elsewhere() -> None:
    days = Days(to=to_cluster_s_own)
    views = [held("prod/a"), held("test/a")]
    days.see(*views).see(*views, after=HOLD).see(held("prod/a"), a_view("test/a"), after=MINUTE)
    over: dict[str, datetime | None] = {one.to: one.over_at for one in days.memory.notices}
    assert over == {"slack:C-prod": None, "slack:C-test": days.now}


def test_a_place_is_told_only_when_one_of_its_own_pools_has_been_held_long_enough() -> None:
    days = Days(to=to_cluster_s_own).see(held("prod/a")).see(held("prod/a"), after=HOLD)
    days.see(held("prod/a"), held("test/a"), after=MINUTE)
    assert [one.to for one in days.stand] == ["slack:C-prod"]
    days.see(held("prod/a"), held("test/a"), after=HOLD)
    assert {one.to for one in days.stand} == {"slack:C-prod", "slack:C-test"}


def test_where_nobody_is_told_nothing_stands() -> None:
    days = Days(to=lambda place, severity: ()).see(held()).see(held(), after=DAY)
    assert days.memory.notices == ()


# --- only told, frozen, not looked at ---


def test_a_pool_that_is_only_told_of_is_told_at_once() -> None:
    days = Days().see(only_told("prod/a"), only_told("prod/b"), only_told("test/a"))
    assert {(one.title, one.severity) for one in days.stand} == {
        ("4.16.3 is there for 2 pools of prod", Severity.INFO),
        ("4.16.3 is there for test/a", Severity.INFO),
    }
    assert "`relayer rebuild test/a` asks for it" in str([one.sentence for one in days.stand])


def test_the_next_release_is_another_notice_and_ends_the_last() -> None:
    days = Days().see(only_told()).see(only_told(release="4.16.4"), after=DAY / 2)
    assert [one.title for one in days.stand] == ["4.16.4 is there for prod/infra"]
    assert [one.title for one in days.memory.notices if one.over_at] == [
        "4.16.3 is there for prod/infra"
    ]


def test_a_freeze_is_told_at_once_and_over_when_it_ends() -> None:
    days = Days(freezes=[a_freeze("prod")]).see(a_view(), a_view("test/a"))
    assert (days.one.title, days.one.places) == ("prod is frozen by a person", ("prod/infra",))
    assert days.one.sentence == "frozen by ann until 2026-11-18 12:00 UTC: a fair"
    assert (days.one.severity, days.one.since) == (Severity.INFO, T0)
    assert days.again == T0 + seconds(4 * HOUR)
    days.see(a_view(), after=4 * HOUR)
    assert days.one.over_at == days.now
    days.freezes = []
    assert days.see(a_view()).again is None


def test_a_freeze_ordered_anew_is_the_same_notice_with_its_new_words_at_once() -> None:
    days = Days(freezes=[a_freeze()]).see(a_view())
    key = days.one.key
    days.freezes = [a_freeze(until=None, because="still", at=T0 + seconds(MINUTE))]
    days.see(a_view(), after=MINUTE)
    assert (days.one.key, days.one.title) == (key, "Everything is frozen by a person")
    assert days.one.sentence == "frozen by ann until somebody ends it: still"


def test_each_freeze_has_its_own_notice() -> None:
    days = Days(freezes=[a_freeze(), a_freeze("prod"), a_freeze("prod/infra"), a_freeze("test")])
    assert {one.title for one in days.see(a_view()).stand} == {
        "Everything is frozen by a person",
        "prod is frozen by a person",
        "prod/infra is held by a person",
    }


def test_pools_that_nobody_looks_at_are_one_notice_of_each_cluster() -> None:
    views = [a_view("prod/a"), a_view("prod/b"), {"cluster": "test", "pool": "a"}]
    days = Days(looked=False).see(*views, after=STALE + 1)
    assert days.stand == []
    days.see(*views, after=STALE / 3)
    said = {one.title: one.sentence for one in days.stand}
    assert set(said) == {"2 pools of prod are not looked at", "test/a is not looked at"}
    assert (
        "no look has ended since 2026-11-18 08:00 UTC" in said["2 pools of prod are not looked at"]
    )
    assert "never looked at" in said["test/a is not looked at"]


def test_after_the_service_was_down_old_looks_are_no_trouble() -> None:
    days = Days(looked=False).see(a_view(), after=DAY)
    days.looked = True
    assert days.see(a_view(), after=10).see(a_view(), after=HOUR).memory == Memory()


def test_what_was_held_when_looks_stopped_is_still_held() -> None:
    days = told()
    days.looked = False
    view = {**held(), "at": days.now.isoformat()}
    days.see(view, after=STALE + 1).see(view, after=STALE)
    kinds = {one.cause.partition(":")[0]: one.over_at for one in days.memory.notices}
    assert kinds == {"held": None, "blind": None}


# --- bounds and odd views ---


def test_there_are_at_most_200_notices_and_those_that_stand_longest_stay() -> None:
    names = ["".join(chr(97 + int(digit)) for digit in str(n)) for n in range(notices.MOST)]
    views = [held(f"prod/p{name}", f"recipe {name} is broken") for name in names]
    days = Days().see(*views).see(*views, after=HOLD)
    before = {one.key for one in days.stand}
    assert len(before) == notices.MOST
    more = [*views, held("prod/more", "something else")]
    days.see(*more, after=MINUTE).see(*more, after=HOLD)
    assert {one.key for one in days.memory.notices} == before


def test_of_what_waits_the_oldest_of_each_cause_is_lost_last() -> None:
    first = [held(f"prod/{name}", "the pool is broken") for name in "abc"]
    last = held("test/x", "something else")
    days = Days().see(*first).see(*first, last, after=MINUTE)
    assert [one.place for one in days.memory.concerns] == ["prod/a", "test/x", "prod/b", "prod/c"]


def test_a_notice_names_twenty_pools_and_says_how_many_more_there_are() -> None:
    views = [held(f"prod/p{n:03}") for n in range(200)]
    days = Days().see(*views).see(*views, after=HOLD)
    assert len(days.one.places) == 21
    assert days.one.places[-1] == "and 180 more"
    assert days.one.title == "200 pools of prod are held"


def test_a_long_sentence_is_cut() -> None:
    view = held(because="x " * 5000)
    assert len(Days().see(view).see(view, after=HOLD).one.sentence) == notices.SENTENCE


@pytest.mark.parametrize(
    "odd",
    [
        {"at": 7},
        {"at": "yesterday"},
        {"at": "2026-11-18T08:00:00"},
        {"because": None, "decision": "Hold"},
        {"stock_by": 1, "update": [], "only_told": "yes"},
        {"at": "2999-01-01T00:00:00+00:00", "decision": "Hold"},
    ],
    ids=["number", "no time", "no zone", "no reason", "other types", "a clock that is ahead"],
)
def test_a_view_that_says_odd_things_is_no_error(odd: View) -> None:
    days = Days(looked=False)
    days.see({**a_view(), **odd}).see({**a_view(), **odd}, after=HOLD)
    assert all(one.since <= days.now for one in days.memory.notices)


# --- whatever happens ---

REASONS = ("the pool is paused", OUTAGE, "silent for 1 s", "silent for 2 s", "u-1 failed: x")
PLACES = ("prod/a", "prod/b", "test/a")
some_views = st.tuples(*[st.one_of(st.none(), st.sampled_from(REASONS)) for _ in PLACES])
some_steps = st.lists(
    st.tuples(st.sampled_from([30, 300, 900, 1799, 1800, 5 * HOUR, DAY]), some_views),
    min_size=1,
    max_size=40,
)


def both(place: str, severity: Severity) -> Sequence[str]:
    """All goes to one place, and what concerns production to another too."""
    return ("webhook:all", "slack:C1")[: 1 + place.startswith("prod")]


def views_of(reasons: Iterable[str | None]) -> list[View]:
    return alerting.views_of(PLACES, reasons)


@given(some_steps)
def test_whatever_happens_each_cause_has_at_most_one_open_notice_at_a_place(
    steps: list[tuple[int, tuple[str | None, ...]]],
) -> None:
    days = Days(to=both)
    held_since: dict[str, datetime] = {}
    for passed, reasons in steps:
        before = {one.key: one for one in days.memory.notices}
        days.see(*views_of(reasons), after=passed)
        well = {place for place, reason in zip(PLACES, reasons, strict=True) if reason is None}
        held_since = {
            place: held_since.get(place, days.now) for place in PLACES if place not in well
        }
        names = [(one.to, one.cause) for one in days.stand]
        assert len(names) == len(set(names)), "two open notices of one cause at a place"
        keys = [letter.key for letter in notices.letters(days.memory)]
        assert len(keys) == len(set(keys)) == len(days.memory.notices)
        # As many letters stand at a place as there are causes now, at most.
        causes = {same(r, *PLACES[n].split("/")) for n, r in enumerate(reasons) if r}
        for to in ("webhook:all", "slack:C1"):
            assert len([one for one in days.stand if one.to == to]) <= len(causes)
        for one in days.stand:
            assert well.isdisjoint(one.places)
            if one.key not in before:
                lasted = max(days.now - held_since[place] for place in one.places)
                assert lasted >= seconds(HOLD), "told before it had lasted"
        for one in before.values():
            if one.over_at is None or days.now - one.over_at < notices.AGAIN:
                names_now = {n.key for n in days.stand if (n.to, n.cause) == (one.to, one.cause)}
                assert names_now <= {one.key}, "it goes on under another name"
        for key, one in before.items():
            stays = next((n for n in days.memory.notices if n.key == key), None)
            assert stays or (one.over_at and days.now - one.over_at >= notices.KEPT), "forgotten"
    last = {one.key for one in days.stand}
    days.see(*views_of([None] * 3), after=MINUTE)
    assert days.stand == []
    assert last <= {one.key for one in days.memory.notices if one.over_at == days.now}


@given(some_steps)
def test_pools_held_long_enough_are_always_told(
    steps: list[tuple[int, tuple[str | None, ...]]],
) -> None:
    days = Days(to=both)
    held_since: dict[str, datetime] = {}
    for passed, reasons in steps:
        days.see(*views_of(reasons), after=passed)
        for place, reason in zip(PLACES, reasons, strict=True):
            if reason is None:
                held_since.pop(place, None)
            elif days.now - held_since.setdefault(place, days.now) >= seconds(HOLD):
                for to in both(place, Severity.WARNING):
                    assert any(place in one.places and one.to == to for one in days.stand)


@given(some_steps)
def test_a_look_that_is_repeated_changes_nothing(
    steps: list[tuple[int, tuple[str | None, ...]]],
) -> None:
    days = Days(to=both)
    for passed, reasons in steps:
        days.see(*views_of(reasons), after=passed)
        before = days.memory
        assert days.see(*views_of(reasons)).memory == before


def test_a_look_by_a_clock_that_is_ahead_counts_from_now() -> None:
    view = {**held(), "at": "2999-01-01T00:00:00+00:00"}
    days = Days(looked=False).see(view).see(view, after=HOLD)
    assert days.one.since == T0


def test_a_notice_that_names_other_pools_says_why_in_their_words() -> None:
    days = Days()
    views = [held("prod/a", "u-1 failed: x"), held("prod/b", "u-2 failed: x")]
    days.see(*views).see(*views, after=HOLD)
    assert days.one.sentence == "for one, prod/a: u-1 failed: x"
    assert days.see(views[1], after=MINUTE).one.sentence == "u-2 failed: x"


def test_two_that_compute_at_once_give_the_notice_the_same_name() -> None:
    views = [held(), only_told("prod/b")]
    days = Days(freezes=[a_freeze()]).see(*views)
    other = replace(days, looked=False)
    days.see(*views, after=HOLD)
    other.see(*[{**view, "at": days.now.isoformat()} for view in views], after=HOLD + 3)
    assert {one.key for one in days.stand} == {one.key for one in other.stand}


def test_the_severity_never_depends_on_how_long_it_lasts() -> None:
    days = told().see(held(), after=30 * DAY)
    assert days.one.severity is Severity.WARNING
