"""Whether an update may be begun now, why not, and from when on it may."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from watcher.core import windows
from watcher.core.timing import Freeze, Timing, Verdict, in_force, short_duration, verdict
from watcher.core.windows import DAYS, Blackout, Window

BERLIN = "Europe/Berlin"
ZONES = (BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


T0 = at("2026-11-24T10:00")  # a Tuesday


def freeze(scope: str = "", until: str | None = None, because: str = "change freeze") -> Freeze:
    ends = None if until is None else at(until)
    return Freeze(scope=scope, by="ann", because=because, at=T0, until=ends)


SATURDAY = Window(days=("sat",), start="02:00", hours=4.0, timezone=BERLIN)
TUESDAY = Window(days=("tue",), start="08:00", hours=4.0)
NEVER = Window(hours=1.0, days=(), start="02:00")
YEAR_END = Blackout(first="12-20", last="01-06", timezone=BERLIN, reason="year end")
TODAY = Blackout(first="2026-11-24", last="2026-11-25", timezone=BERLIN, reason="sale")

CASES: dict[str, tuple[Timing, tuple[str, ...], str | None]] = {
    "nothing is in the way": (Timing(), (), "2026-11-24T10:00"),
    "its window is open": (Timing(windows=(TUESDAY,)), (), "2026-11-24T10:00"),
    "one of two windows is open": (
        Timing(windows=(SATURDAY, TUESDAY)),
        (),
        "2026-11-24T10:00",
    ),
    "its window is closed": (
        Timing(windows=(SATURDAY,)),
        ("the next window opens 2026-11-28 01:00 UTC",),
        "2026-11-28T01:00",
    ),
    "its next window is within a blackout": (
        Timing(windows=(SATURDAY,), blackouts=(Blackout(first="2026-11-27", last="2026-11-28"),)),
        ("the next window opens 2026-12-05 01:00 UTC",),
        "2026-12-05T01:00",
    ),
    "none of its windows ever opens": (
        Timing(windows=(NEVER,)),
        ("no window opens within 400 days",),
        None,
    ),
    "a blackout": (
        Timing(blackouts=(TODAY,)),
        ("blackout until 2026-11-25 23:00 UTC: sale",),
        "2026-11-25T23:00",
    ),
    "a blackout without a reason": (
        Timing(blackouts=(replace(TODAY, reason=""),)),
        ("blackout until 2026-11-25 23:00 UTC",),
        "2026-11-25T23:00",
    ),
    "a blackout within its window": (
        Timing(windows=(TUESDAY,), blackouts=(TODAY,)),
        ("blackout until 2026-11-25 23:00 UTC: sale",),
        "2026-12-01T08:00",
    ),
    "a blackout of other days": (Timing(blackouts=(YEAR_END,)), (), "2026-11-24T10:00"),
    "a freeze": (
        Timing(freezes=(freeze("", "2026-12-27T08:00"),)),
        ("frozen by ann until 2026-12-27 08:00 UTC: change freeze",),
        "2026-12-27T08:00",
    ),
    "a freeze of its cluster without an end or a reason": (
        Timing(freezes=(freeze("prod", because=""),)),
        ("frozen by ann until somebody ends it",),
        None,
    ),
    "a hold": (
        Timing(freezes=(freeze("prod/infra", "2026-11-24T10:01", "node swap"),)),
        ("held by ann until 2026-11-24 10:01 UTC: node swap",),
        "2026-11-24T10:01",
    ),
    "a freeze that is over": (
        Timing(freezes=(freeze("", "2026-11-24T10:00"),)),
        (),
        "2026-11-24T10:00",
    ),
    "a freeze ordered by a clock that is ahead": (
        Timing(freezes=(replace(freeze(), at=T0 + timedelta(minutes=1)),)),
        ("frozen by ann until somebody ends it: change freeze",),
        None,
    ),
    "a release that is too young": (
        Timing(min_age_seconds=3 * 86400, release_seen_at=at("2026-11-24T09:00")),
        ("release first seen 2026-11-24 09:00 UTC; this policy waits 3d",),
        "2026-11-27T09:00",
    ),
    "a release that is just old enough": (
        Timing(min_age_seconds=3 * 86400, release_seen_at=at("2026-11-21T10:00")),
        (),
        "2026-11-24T10:00",
    ),
    "a release that nobody has seen": (
        Timing(min_age_seconds=5400),
        ("it is not known when the release was first seen; this policy waits 90m",),
        None,
    ),
    "a release that nobody has seen, and no minimum age": (Timing(), (), "2026-11-24T10:00"),
    "snoozed": (
        Timing(snoozed_until=at("2026-11-25T07:00"), snoozed_by="bob"),
        ("snoozed by bob until 2026-11-25 07:00 UTC",),
        "2026-11-25T07:00",
    ),
    "snoozed up to now": (Timing(snoozed_until=T0, snoozed_by="bob"), (), "2026-11-24T10:00"),
    "everything at once": (
        Timing(
            windows=(SATURDAY,),
            blackouts=(YEAR_END, TODAY),
            min_age_seconds=12 * 3600,
            release_seen_at=at("2026-11-24T09:00"),
            freezes=(freeze("", "2026-12-19T03:00"), freeze("prod/infra", "2026-11-30T00:00", "")),
            snoozed_until=at("2026-11-25T07:00"),
            snoozed_by="bob",
        ),
        (
            "the next window opens 2026-11-28 01:00 UTC",
            "blackout until 2026-11-25 23:00 UTC: sale",
            "frozen by ann until 2026-12-19 03:00 UTC: change freeze",
            "held by ann until 2026-11-30 00:00 UTC",
            "release first seen 2026-11-24 09:00 UTC; this policy waits 12h",
            "snoozed by bob until 2026-11-25 07:00 UTC",
        ),
        "2026-12-19T03:00",  # in the window of that Saturday
    ),
    "a freeze into a blackout": (
        Timing(
            windows=(SATURDAY,), blackouts=(YEAR_END,), freezes=(freeze("", "2026-12-19T05:00"),)
        ),
        (
            "the next window opens 2026-11-28 01:00 UTC",
            "frozen by ann until 2026-12-19 05:00 UTC: change freeze",
        ),
        "2027-01-09T01:00",
    ),
}


@pytest.mark.parametrize(("timing", "reasons", "opens"), CASES.values(), ids=CASES)
def test_all_that_is_in_the_way_is_told_at_once(
    timing: Timing, reasons: tuple[str, ...], opens: str | None
) -> None:
    expected = Verdict(
        allowed=not reasons, reasons=reasons, opens_at=None if opens is None else at(opens)
    )
    assert verdict(timing, now=T0) == expected


@pytest.mark.parametrize(
    ("scope", "cluster", "pool", "is_in_force"),
    [
        ("", "prod", "infra", True),
        ("prod", "prod", "infra", True),
        ("prod", "prod", "gpu", True),
        ("prod", "production", "infra", False),
        ("prod/infra", "prod", "infra", True),
        ("prod/infra", "prod", "infra-2", False),
        ("prod/infra", "stage", "infra", False),
        ("infra", "prod", "infra", False),
    ],
)
def test_a_freeze_reaches_its_scope(scope: str, cluster: str, pool: str, is_in_force: bool) -> None:
    one = freeze(scope)
    assert in_force([one], cluster, pool, now=T0) == ((one,) if is_in_force else ())


def test_a_freeze_is_in_force_up_to_its_end() -> None:
    one = freeze(until="2026-12-27T08:00")
    end = at("2026-12-27T08:00")
    assert in_force([one], "prod", "infra", now=end - timedelta.resolution) == (one,)
    assert in_force([one], "prod", "infra", now=end) == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (90, "90s"),
        (5400, "90m"),
        (3600, "1h"),
        (43200, "12h"),
        (90000, "25h"),
        (86400, "1d"),
        (259200, "3d"),
    ],
)
def test_a_duration_is_short_and_exact(seconds: int, text: str) -> None:
    assert short_duration(seconds) == text


def test_times_in_other_zones_are_understood_and_shown_in_utc() -> None:
    end = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo(BERLIN))  # 01:30 UTC
    now = datetime(2026, 10, 25, 2, 45, fold=0, tzinfo=ZoneInfo(BERLIN))  # 00:45 UTC
    said = verdict(Timing(snoozed_until=end, snoozed_by="bob"), now=now)
    assert said.reasons == ("snoozed by bob until 2026-10-25 01:30 UTC",)
    assert said.opens_at == at("2026-10-25T01:30")
    assert said.opens_at.tzinfo is UTC
    held = Freeze(scope="", by="ann", because="", at=now, until=end)
    assert in_force([held], "prod", "infra", now=now) == (held,)


# The days on which clocks change in ZONES, leap days and the turn of the year.
NEAR = [
    at(text)
    for text in (
        "2026-03-29T00:00",
        "2026-10-25T00:30",
        "2026-03-08T06:30",
        "2026-11-01T05:30",
        "2026-04-04T14:45",
        "2026-10-03T15:15",
        "2026-12-31T20:00",
        "2028-02-28T20:00",
        "2027-02-28T20:00",
        "2026-11-24T10:00",
    )
]
times = st.builds(
    lambda near, minutes, micro: near + timedelta(minutes=minutes, microseconds=micro),
    st.sampled_from(NEAR),
    st.integers(-4 * 1440, 2 * 1440),
    st.sampled_from([0, 1, 59_999_999]),
)


def soon(now: datetime, days: int = 30) -> st.SearchStrategy[datetime]:
    minutes = st.integers(-1440, days * 1440)
    return minutes.map(lambda minutes: now + timedelta(minutes=minutes))


hours = st.sampled_from([0.25, 1.0, 4.5, 24.0, 168.0])
zones = st.sampled_from(ZONES)
some_windows = st.one_of(
    st.builds(
        Window,
        days=st.sets(st.sampled_from(DAYS), min_size=1, max_size=3).map(tuple),
        start=st.sampled_from(["00:00", "01:30", "02:00", "02:30", "23:45"]),
        hours=hours,
        timezone=zones,
    ),
    st.builds(
        Window,
        cron=st.sampled_from(
            [
                "30 2 * * *",
                "*/20 1-2 * * *",
                "0 3 29 2 *",
                "0 0 L * *",
                "5 1 * * sun#1",
                "0 2 1 4 *",
            ]
        ),
        hours=hours,
        timezone=zones,
    ),
)
some_blackouts = st.builds(
    lambda ends, zone: Blackout(first=ends[0], last=ends[1], timezone=zone),
    st.sampled_from(
        [
            ("12-20", "01-06"),
            ("02-29", "02-29"),
            ("03-08", "03-29"),
            ("10-24", "11-02"),
            ("2026-10-25", "2026-10-25"),
            ("2026-11-01", "2027-02-28"),
            ("2026-04-05", "2026-04-05"),
        ]
    ),
    zones,
)


@st.composite
def timings(draw: st.DrawFn, now: datetime) -> Timing:
    freezes = st.builds(
        Freeze,
        scope=st.sampled_from(["", "prod", "prod/infra"]),
        by=st.just("ann"),
        because=st.just(""),
        at=st.just(now),
        # Rarely without an end: then there is nothing more to find out.
        until=st.integers(0, 9).flatmap(lambda dice: soon(now) if dice else st.none()),
    )
    return Timing(
        windows=tuple(draw(st.lists(some_windows, max_size=2))),
        blackouts=tuple(draw(st.lists(some_blackouts, max_size=2))),
        min_age_seconds=draw(st.sampled_from([0, 5400, 3 * 86400])),
        freezes=tuple(draw(st.lists(freezes, max_size=2))),
        release_seen_at=draw(soon(now - timedelta(days=3), days=3)),
        snoozed_until=draw(st.one_of(st.none(), soon(now, days=2))),
        snoozed_by="bob",
    )


@given(st.data(), times)
def test_it_is_allowed_when_it_opens_and_not_a_moment_earlier(
    data: st.DataObject, now: datetime
) -> None:
    timing = data.draw(timings(now))
    said = verdict(timing, now=now)
    assert said.allowed == (not said.reasons) == (said.opens_at == now)
    event("never" if said.opens_at is None else "now" if said.allowed else "later")
    if said.opens_at is None:
        ahead = data.draw(st.integers(0, windows.LOOK_AHEAD.days * 86400))
        assert not verdict(timing, now=now + timedelta(seconds=ahead)).allowed
        return
    assert verdict(timing, now=said.opens_at) == Verdict(
        allowed=True, reasons=(), opens_at=said.opens_at
    )
    if said.opens_at > now:
        between = data.draw(st.floats(0, 1, exclude_max=True))
        for earlier in (now + (said.opens_at - now) * between, said.opens_at):
            before = verdict(timing, now=max(now, earlier - timedelta.resolution))
            assert not before.allowed
            assert before.opens_at == said.opens_at


def test_a_verdict_is_quick_even_where_nothing_opens() -> None:
    """It is given for hundreds of pools every few seconds."""
    timing = Timing(
        windows=tuple(
            Window(cron=f"{minute} 2 * 2 mon#5", hours=168.0, timezone=BERLIN)
            for minute in range(5)
        ),
        blackouts=tuple(
            Blackout(first=f"{month:02}-{day:02}", last=f"{month:02}-{day + 1:02}", timezone=BERLIN)
            for month in range(1, 13)
            for day in (2, 12, 22)
        ),
        freezes=(freeze("", "2026-12-27T08:00"),),
    )
    best = 1e9  # of three: other tests run at the same time
    for day in range(3):
        begun = process_time()
        for second in range(20):
            assert verdict(timing, now=T0 + timedelta(days=day, seconds=second)).opens_at is None
        best = min(best, (process_time() - begun) / 20)
    assert best < 0.002  # 0.0003 on an idle machine
