"""A store in memory and the clock that it goes by, for whoever needs no more of a scene."""

import pytest

from tests.fake_store import FakeStore
from tests.fakes import FixedClock


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store(clock: FixedClock) -> FakeStore:
    return FakeStore(clock)
