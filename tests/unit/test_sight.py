"""Whether a view is of now: too old, or seen at a moment that is still to come."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.alerting import a_surveyed
from tests.facts import PROD, T0, seconds
from watcher.core.alerts import Limits
from watcher.core.beats import unseen
from watcher.core.sight import is_ahead, is_old
from watcher.settings_alerts import AlertSettings, Threshold
from watcher.shown_drift import age_sentence, is_stale

MOST = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("ago", "old", "ahead"),
    [
        (0, False, False),
        (300, False, False),
        (300.5, True, False),
        (-60, False, False),
        (-60.5, True, True),
        (-3600, True, True),
    ],
)
def test_a_view_is_old_when_it_was_long_ago_or_is_still_to_come(
    ago: float, old: bool, ahead: bool
) -> None:
    at = T0 - seconds(ago)
    assert is_old(at, now=T0, most=MOST) is old
    assert is_ahead(at, now=T0) is ahead


def test_what_was_never_seen_is_old() -> None:
    assert is_old(datetime.min.replace(tzinfo=UTC), now=T0, most=MOST)


@pytest.mark.parametrize("threshold", [Threshold(), Threshold(warning=86400.0)])
def test_all_who_rely_on_a_view_agree_that_one_from_the_future_is_not_of_now(
    threshold: Threshold,
) -> None:
    """However long a cluster may be out of sight."""
    for ago, is_away in ((-60, False), (-61, True)):
        seen = a_surveyed(observed_at=T0 - seconds(ago))
        limits = Limits(alerts=AlertSettings(blind_seconds=threshold))
        assert limits.is_unseen(seen, T0) is is_away
        assert is_stale(seen, now=T0) is is_away
        assert bool(age_sentence(seen, now=T0)) is is_away
        away = unseen([seen], [PROD], most_seconds=86400.0, now=T0)
        assert bool(away) is is_away


def test_the_age_is_said_in_words() -> None:
    def said(ago: float) -> str:
        return age_sentence(a_surveyed(observed_at=T0 - seconds(ago)), now=T0)

    assert said(120) == ""
    assert said(185) == "prod was last seen 3 min ago"
    assert said(-3600) == "prod was last seen before the clock was put back"
