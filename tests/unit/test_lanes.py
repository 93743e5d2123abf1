"""One place's lane: what comes next, and when."""

import asyncio

import pytest

from tests.virtual_time import virtually
from watcher.telling.lanes import LONGEST_PAUSE_SECONDS, Lane, backoff_seconds

A, B, C = ("u-a", "card"), ("u-b", "card"), ("u-c", "card")


def lane(*items: tuple[str, str], place: str = "slack:C1") -> Lane:
    made = Lane(place, spread=lambda: 0.0)
    for item in items:
        made.add(item, urgent=False)
    return made


def order(of: Lane) -> list[tuple[str, str]]:
    return [of.take()[0] for _ in range(len(of))]


def test_the_oldest_goes_first_and_a_letter_waits_only_once() -> None:
    assert order(lane(A, B, A, C)) == [A, B, C]


def test_what_is_critical_overtakes_what_waits() -> None:
    waiting = lane(A, B, C)
    waiting.add(C, urgent=True)
    waiting.add(C, urgent=False)
    assert order(waiting) == [C, A, B]


def test_a_letter_that_failed_is_in_front_again() -> None:
    waiting = lane(A, B)
    waiting.put_back(waiting.take()[0], urgent=False)
    assert order(waiting) == [A, B]


def test_a_letter_that_its_place_chokes_on_lets_the_others_go_first() -> None:
    async def choke() -> None:
        waiting = lane(A, B, C)
        for _ in range(3):
            waiting.failed(None)
            item, urgent = waiting.take()
            waiting.put_back(item, urgent=urgent)
        assert order(waiting) == [B, C, A]

    virtually(choke())


def test_pauses_double_up_to_a_minute_and_half_of_them_is_chance() -> None:
    assert [backoff_seconds(n, spread=0.0) for n in (1, 2, 3, 6, 7, 99)] == [1, 2, 4, 32, 60, 60]
    assert backoff_seconds(7, spread=1.0) == 30


@pytest.mark.parametrize(("place", "apart"), [("slack:C1", 1.0), ("webhook:x", 0.1), ("new:", 1.0)])
def test_calls_of_a_place_keep_their_distance(place: str, apart: float) -> None:
    async def two() -> float:
        waiting = lane(A, place=place)
        await waiting.ready()
        waiting.called()
        await waiting.ready()
        return asyncio.get_running_loop().time()

    assert virtually(two()) == pytest.approx(apart)


def test_a_named_pause_is_kept_and_is_no_failure() -> None:
    async def pause() -> float:
        waiting = lane(A)
        assert waiting.failed(120) == 120
        waiting.called()
        await waiting.ready()
        assert waiting.failures == 0
        return asyncio.get_running_loop().time()

    assert virtually(pause()) == pytest.approx(120)


def test_a_place_cannot_silence_us_for_a_week() -> None:
    async def week() -> None:
        assert lane(A).failed(7 * 24 * 3600) == LONGEST_PAUSE_SECONDS
        assert lane(A).failed(-5) == 0

    virtually(week())


def test_what_was_said_twice_is_taken_back_even_after_all_is_forgotten() -> None:
    async def forget() -> None:
        waiting = lane(A)
        waiting.add_twice("171.5")
        waiting.clear()
        async with asyncio.timeout(1):
            await waiting.ready()
        assert (len(waiting), list(waiting.twice)) == (0, ["171.5"])

    virtually(forget())


def test_nothing_is_ready_while_nothing_waits() -> None:
    async def wait() -> None:
        waiting = lane(A)
        waiting.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await waiting.ready()

    virtually(wait())
