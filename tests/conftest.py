"""What all tests share: real programs are there or the test says why not."""

import os
import shutil
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# The same examples in every run on CI, so that a failure there can be had again here.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A missing real program skips the test with the reason; with CI=true it fails instead."""
    on_ci = os.environ.get("CI") == "true"
    for item in items:
        for mark in item.iter_markers("real"):
            missing = [part for part in mark.args if shutil.which(part) is None]
            if missing and not on_ci:
                reason = f"needs {', '.join(missing)}: `make real-parts` installs it (root and apt)"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _real_parts_are_there_on_ci(request: pytest.FixtureRequest) -> None:
    for mark in request.node.iter_markers("real"):
        for part in mark.args:
            assert shutil.which(part), f"{part} must be installed where CI=true"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that a test carries out in this process says how much is logged from then on."""
    yield
    structlog.reset_defaults()


def cannot_here(why: str) -> None:
    """Skip because this machine cannot do it; on CI that is a failure, as nobody would see it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}, and where CI=true it must be possible")
    pytest.skip(why)
