"""What a digest says: what is behind and why, who is waited for, what happened since the last."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.facts import T0, a_policy, a_vote, an_update, seconds
from watcher.core import summary
from watcher.core.facts import ClusterName, PoolName
from watcher.core.letters import Digest, DigestRow
from watcher.core.summary import Facts, Period, View
from watcher.core.timing import Freeze
from watcher.core.update import Background, Update
from watcher.core.update_events import Kind
from watcher.core.update_events import UpdateState as S

HOUR, DAY = 3600, 86400
NOW = T0 + seconds(DAY)
BERLIN = ZoneInfo("Europe/Berlin")
TODAY = Period(after=T0, until=NOW)


def a_view(place: str = "prod/infra", decision: str = "Rebuild", **said: object) -> View:
    cluster, _, pool = place.partition("/")
    return {
        "cluster": cluster,
        "pool": pool,
        "decision": decision,
        "because": "its base is old",
        "image": "quay.io/x",
        "running_release": "4.16.1",
        "expected_release": "4.16.3",
        **said,
    }


def an_update_of(place: str = "prod/infra", **said: Any) -> Update:
    cluster, _, pool = place.partition("/")
    background = Background(from_release="4.16.1", from_image="quay.io/x")
    known = {"cluster": ClusterName(cluster), "pool": PoolName(pool), "background": background}
    return an_update(**{**known, **said})


def told(
    *views: View,
    active: tuple[Update, ...] = (),
    ended: tuple[Update, ...] = (),
    freezes: tuple[Freeze, ...] = (),
    clusters: tuple[str, ...] = (),
    period: Period = TODAY,
) -> Digest:
    return summary.digest(
        Facts(views=views, active=active, ended=ended, freezes=freezes, now=NOW),
        period,
        title="Morning summary",
        day="2026-11-19",
        clusters=clusters,
        zone=BERLIN,
    )


def texts(rows: tuple[DigestRow, ...]) -> list[str]:
    return [f"{row.place} {row.text}" for row in rows]


# --- behind ---


def test_pools_in_step_are_counted_and_those_behind_are_named_with_why() -> None:
    said = told(
        a_view("prod/b", decision="Hold", because="the pool is paused"),
        a_view("prod/a"),
        a_view("prod/c", decision="InStep"),
        a_view("prod/d", decision="InStep"),
    )
    assert (said.title, said.day, said.in_step) == ("Morning summary", "2026-11-19", 2)
    assert texts(said.behind) == [
        "prod/a 4.16.1 → 4.16.3: its base is old",
        "prod/b 4.16.1 → 4.16.3: the pool is paused",
    ]


def test_a_pool_with_the_stock_image_that_somebody_asked_for_is_in_step() -> None:
    view = a_view(decision="Hold", because="ann asked for the stock image", stock_by="ann")
    assert (told(view).behind, told(view).in_step) == ((), 1)


def test_a_pool_that_nobody_has_looked_at_is_behind() -> None:
    said = told({"cluster": "prod", "pool": "infra"})
    assert (texts(said.behind), said.in_step) == (["prod/infra was not looked at yet"], 0)


def test_a_pool_that_runs_the_stock_image_moves_from_it() -> None:
    view = a_view(running_release="", image="")
    assert texts(told(view).behind) == ["prod/infra stock image → 4.16.3: its base is old"]
    unknown = a_view(running_release="")
    assert texts(told(unknown).behind) == ["prod/infra 4.16.3: its base is old"]
    same = a_view(running_release="4.16.3", because="recipe gpu changed")
    assert texts(told(same).behind) == ["prod/infra 4.16.3: recipe gpu changed"]
    unseen = a_view(expected_release="", decision="Hold", because="cannot be looked at")
    assert texts(told(unseen).behind) == ["prod/infra cannot be looked at"]


def test_a_pool_that_is_only_told_of_says_so() -> None:
    (row,) = told(a_view(only_told=True)).behind
    assert row.text == "4.16.1 → 4.16.3: its base is old; its policy only tells of it"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (S.WAITING_FOR_BUILD, "waits for its build"),
        (S.AWAITING_APPROVAL, "waits for approval"),
        (S.SCHEDULED, "is approved; the pool is paused; the next window opens Sat"),
        (S.ROLLING_BACK, "goes back"),
    ],
    ids=str,
)
def test_what_is_behind_says_what_its_update_waits_for(state: S, text: str) -> None:
    view = a_view(unmet=["the pool is paused", "the next window opens Sat", "a third"])
    (row,) = told(view, active=(an_update_of(state=state),)).behind
    assert (row.text, row.update) == (f"4.16.1 → 4.16.3: {text}", "u-1")


def test_every_state_of_an_update_that_goes_on_has_its_words() -> None:
    words = {**summary.DOING, **summary.BAD_ENDS}
    assert set(words) == set(S) - {S.DONE, S.SUPERSEDED}


# --- waiting ---


def asked(**said: Any) -> Update:
    at = T0 + seconds(23 * HOUR)
    times = ((str(S.WAITING_FOR_BUILD), T0), (str(S.AWAITING_APPROVAL), at))
    until = NOW + seconds(6 * HOUR)
    known = {"state": S.AWAITING_APPROVAL, "times": times, "expires_at": until}
    return an_update_of(**{**known, **said})


def test_what_waits_for_people_says_for_whom_since_when_and_until_when() -> None:
    approvers = ("person:ann", "token:ops", "slack:U024BE7LH", "slack-group:S0604QSJC")
    update = asked(policy=a_policy(quorum=2, approvers=approvers))
    update = replace(update, votes=(a_vote(update, "token:ops"),))
    (row,) = told(active=(update,)).waiting
    assert (row.place, row.update) == ("prod/infra", "u-1")
    assert row.text == (
        "4.16.1 → 4.16.3: 1 of 2 approvals missing, by person:ann, token:ops, 2 from Slack;"
        " asked Thu 2026-11-19 08:00 CET; expires Thu 2026-11-19 15:00 CET"
    )


def test_a_request_for_the_stock_image_and_a_snooze_are_told() -> None:
    until = NOW + seconds(HOUR)
    update = asked(kind=Kind.STOCK, snoozed_until=until, snoozed_by="ann")
    (row,) = told(active=(update,)).waiting
    assert row.text.startswith("back to the stock image: 1 of 1 approvals missing; asked ")
    assert row.text.endswith("; snoozed until Thu 2026-11-19 10:00 CET")


def test_who_has_waited_longest_comes_first() -> None:
    older, newer = asked(id="u-2"), asked(id="u-1", times=((str(S.AWAITING_APPROVAL), NOW),))
    assert [row.update for row in told(active=(newer, older)).waiting] == ["u-2", "u-1"]


def test_what_does_not_wait_for_people_is_not_among_what_does() -> None:
    assert told(active=(an_update_of(state=S.SCHEDULED), an_update_of())).waiting == ()


# --- since the last digest ---


def ended(state: S, at: datetime = NOW, because: str = "", **said: Any) -> Update:
    return an_update_of(state=state, changed_at=at, ended_because=because, **said)


def test_what_is_done_says_when() -> None:
    (row,) = told(ended=(ended(S.DONE),)).done
    assert row.text == "4.16.1 → 4.16.3: done Thu 2026-11-19 09:00 CET"


@pytest.mark.parametrize("state", sorted(summary.BAD_ENDS), ids=str)
def test_every_bad_end_is_told_with_its_reason(state: S) -> None:
    said = told(ended=(ended(state, because="no room"),))
    assert said.done == ()
    (row,) = said.failed
    assert row.text == (
        f"4.16.1 → 4.16.3: {summary.BAD_ENDS[state]} Thu 2026-11-19 09:00 CET: no room"
    )


def test_an_update_that_a_newer_one_replaced_is_no_news() -> None:
    said = told(ended=(ended(S.SUPERSEDED),))
    assert (said.done, said.failed) == ((), ())


@pytest.mark.parametrize(
    ("at", "is_told"),
    [(0, False), (0.001, True), (DAY, True), (DAY + 0.001, False)],
    ids=["the moment it begins", "right after", "as it ends", "right after it"],
)
def test_each_end_is_in_exactly_one_digest(at: float, is_told: bool) -> None:
    update = ended(S.DONE, T0 + seconds(at))
    following = Period(after=NOW, until=NOW + seconds(DAY))
    preceding = Period(after=T0 - seconds(DAY), until=T0)
    found = [len(told(ended=(update,), period=p).done) for p in (preceding, TODAY, following)]
    assert (sum(found), found[1]) == (1, is_told)


# --- freezes, clusters, bounds ---


def a_freeze(scope: str, until: datetime | None = None) -> Freeze:
    return Freeze(scope=scope, by="ann", because="a fair", at=T0, until=until)


def test_freezes_in_force_are_named() -> None:
    ended, everywhere = a_freeze("prod", until=NOW), a_freeze("")
    assert told(freezes=(everywhere, ended, a_freeze("test/a"))).frozen == (
        "everything: frozen by ann until somebody ends it: a fair",
        "test/a: held by ann until somebody ends it: a fair",
    )


def test_a_digest_of_some_clusters_says_nothing_of_others() -> None:
    places = ("prod-1/a", "prod-2/a", "test/a")
    said = told(
        *[a_view(place) for place in places],
        *[a_view(f"{place}2", decision="InStep") for place in places],
        active=tuple(replace(asked(), cluster=ClusterName(p.split("/")[0])) for p in places),
        ended=tuple(an_update_of(p, state=S.DONE, changed_at=NOW) for p in places),
        freezes=tuple(a_freeze(place) for place in ("", *places)),
        clusters=("prod-*",),
    )
    rows = (*said.behind, *said.waiting, *said.done)
    assert len(rows) == 6
    assert {row.place.partition("/")[0] for row in rows} == {"prod-1", "prod-2"}
    assert (said.in_step, len(said.frozen)) == (2, 3)


def test_a_digest_is_bounded_and_says_how_much_it_leaves_out() -> None:
    said = told(*[a_view(f"prod/p{n:04}", because="x " * 5000) for n in range(500)])
    assert len(said.behind) == summary.ROWS + 1
    assert said.behind[-1].text == "and 400 more"
    assert max(len(row.text) for row in said.behind) == summary.TEXT


def test_a_quiet_day_has_nothing_but_a_count() -> None:
    said = told(a_view(decision="InStep"))
    assert said == Digest(title="Morning summary", day="2026-11-19", in_step=1)
