"""Paused pools and the certificates that their nodes may miss."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import T0, a_pool
from tests.unit.test_blocks import DAY, found
from watcher.core.blocks import OVERLAP, SIGNER
from watcher.core.cluster import CertExpiry


def signer(ends: datetime, name: str = SIGNER) -> CertExpiry:
    return CertExpiry(
        bundle="KubeAPIServerServingCAData", subject=f"CN={name},OU=openshift", expiry=ends
    )


def certificates(
    *listed: CertExpiry, since: datetime | None = None, now: datetime = T0, paused: bool = True
) -> str:
    pool = a_pool(paused=paused, cert_expiries=listed)
    told = dict(found(pool, now=now, since=since))
    return told.get("certificates", "").removeprefix(
        "pool infra is paused: its nodes may miss the next "
    )


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (T0 + 41 * DAY, "ends in 41 days (2026-12-29)"),
        (T0 + 42 * DAY - timedelta(seconds=1), "ends in 41 days (2026-12-30)"),
        (T0 + DAY, "ends in 1 day (2026-11-19)"),
        (T0 + timedelta(hours=3), "ends in 0 days (2026-11-18)"),
        (T0, "ended on 2026-11-18"),
        (T0 - 3 * DAY, "ended on 2026-11-15"),
        ((T0 + 41 * DAY).replace(tzinfo=None), "ends in 41 days (2026-12-29)"),
    ],
)
def test_a_paused_pool_and_the_days_that_are_left(ends: datetime, told: str) -> None:
    assert certificates(signer(ends)) == f"{SIGNER}, and theirs {told}"


def test_a_moment_without_a_zone_is_utc_wherever_we_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        ends = (T0 + 41 * DAY).replace(tzinfo=None)
        assert "in 41 days (2026-12-29)" in certificates(signer(ends))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_moment_that_was_never_set_is_none() -> None:
    unset = signer(datetime(1, 1, 1, tzinfo=UTC))
    assert "in 7 days" in certificates(unset, signer(T0 + 7 * DAY))
    assert certificates(unset) == certificates(unset, since=datetime(1, 1, 1, tzinfo=UTC))
    assert certificates(unset) == certificates()


def test_a_pause_in_the_future_is_one_of_now() -> None:
    assert certificates(since=T0 + 9 * DAY) == certificates(since=T0)


def test_others_end_earlier_and_do_not_count() -> None:
    """In a new cluster kubelet-signer lasts a day; kubelets do not know the API server by it."""
    listed = (signer(T0 + DAY, "kubelet-signer"), signer(T0 + 200 * DAY))
    assert "200 days" in certificates(*listed)
    assert certificates(listed[0]) == (
        "certificates, and CN=kubelet-signer,OU=openshift ends in 1 day (2026-11-19)"
    )


def test_a_pool_that_is_not_paused_gets_its_certificates() -> None:
    assert certificates(signer(T0 + DAY), paused=False) == ""


OLD, RENEWED = T0 + 20 * DAY, T0 + 312 * DAY
"""Of the second one the first 53 days are over: the two overlap for 73."""


@pytest.mark.parametrize(
    ("listed", "since", "days"),
    [
        ((OLD, RENEWED), None, 20),
        ((OLD, RENEWED), T0 - DAY, 312),
        ((OLD, RENEWED), T0 - 60 * DAY, 20),
        # The old one is no longer listed, and it is all that the nodes have.
        ((RENEWED,), T0 - 60 * DAY, 20),
        ((RENEWED,), T0 - 53 * DAY, 312),
        ((RENEWED,), None, 312),
    ],
    ids=["unknown", "after", "before", "before, old one gone", "at that moment", "nobody knows"],
)
def test_the_one_that_counts_was_there_when_the_pool_was_paused(
    listed: tuple[datetime, ...], since: datetime | None, days: int
) -> None:
    told = certificates(*(signer(ends, f"{SIGNER}@{ends:%s}") for ends in listed), since=since)
    assert f"in {days} days" in told


def test_where_only_the_pause_is_known() -> None:
    """At 292 days the next one is made, so whatever a node has is good for 73 more."""
    assert OVERLAP == 73 * DAY
    assert certificates(since=T0 - 70 * DAY) == (
        f"{SIGNER}, and theirs ends in 3 days (2026-11-21) at the earliest"
    )
    assert certificates(since=T0 - 80 * DAY) == f"{SIGNER}, and theirs may have ended on 2026-11-11"
    assert certificates() == (
        f"{SIGNER}: one lasts 365 days, the next comes after 292, and since when it is paused "
        "nobody knows"
    )


@settings(max_examples=60)
@given(
    age=st.integers(0, 291),
    paused_for=st.integers(0, 800),
    listed=st.booleans(),
)
def test_a_certificate_is_never_said_to_last_longer_than_it_does(
    age: int, paused_for: int, listed: bool
) -> None:
    """Each signer lasts 365 days, and the next one is made when it is 292 days old; `age`: of the
    newest when the pool was paused. What the nodes had then is what they have now."""
    paused = T0 - paused_for * DAY
    made = [paused + (292 * n - age) * DAY for n in range(-1, 5)]
    theirs = paused + (365 - age) * DAY
    current = [m + 365 * DAY for m in made if m <= T0 < m + 365 * DAY]
    told = certificates(*(map(signer, current) if listed else ()), since=paused)
    day = told.split("ended on ")[-1][:10] if "ended" in told else told.split("(")[1][:10]
    assert day == f"{theirs:%Y-%m-%d}" if listed else day <= f"{theirs:%Y-%m-%d}"
