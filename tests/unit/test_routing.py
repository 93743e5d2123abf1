"""Where what goes: every route that fits, and the default only where none does."""

from collections.abc import Sequence

import pytest

from watcher.core.letters import About, Route, Severity
from watcher.telling.routing import places

OPS, PROD, HOOK = "slack:C0OPS", "slack:C0PROD", "webhook:pager"


def of(
    routes: Sequence[Route],
    cluster: str = "prod",
    pool: str = "infra",
    severity: str = Severity.INFO,
    about: str = About.UPDATE,
    default: str = OPS,
) -> tuple[str, ...]:
    return places(
        routes, cluster=cluster, pool=pool, severity=severity, about=about, default=default
    )


def test_without_routes_everything_goes_to_the_default() -> None:
    assert of([]) == (OPS,)


def test_without_a_default_what_no_route_takes_goes_nowhere() -> None:
    assert of([Route(to=(HOOK,), clusters=("test",))], default="") == ()


def test_all_routes_that_fit_are_followed_and_each_place_is_named_once() -> None:
    routes = [
        Route(to=(PROD, HOOK), clusters=("prod",)),
        Route(to=(OPS,), clusters=("test",)),
        Route(to=(HOOK, "webhook:log")),
    ]
    assert of(routes) == (PROD, HOOK, "webhook:log")


@pytest.mark.parametrize(
    ("route", "fits"),
    [
        pytest.param(Route(to=(PROD,)), True, id="empty patterns fit everything"),
        pytest.param(Route(to=(PROD,), clusters=("pr*", "x")), True, id="one pattern of several"),
        pytest.param(Route(to=(PROD,), clusters=("PROD",)), False, id="case counts"),
        pytest.param(Route(to=(PROD,), pools=("infra",)), True, id="pool of any cluster"),
        pytest.param(Route(to=(PROD,), pools=("prod/infra",)), True, id="pool of one cluster"),
        pytest.param(Route(to=(PROD,), pools=("test/infra",)), False, id="pool of another cluster"),
        pytest.param(Route(to=(PROD,), pools=("*/inf*",)), True, id="wildcards on both sides"),
        pytest.param(Route(to=(PROD,), pools=("prod*",)), False, id="no cluster by a pool's name"),
        pytest.param(Route(to=(PROD,), severities=("critical",)), False, id="other severity"),
        pytest.param(Route(to=(PROD,), about=("update", "notice")), True, id="one of what it is"),
        pytest.param(Route(to=(PROD,), about=("digest",)), False, id="about something else"),
        pytest.param(
            Route(to=(PROD,), clusters=("prod",), severities=("warning",)), False, id="all must fit"
        ),
    ],
)
def test_a_route_fits(route: Route, fits: bool) -> None:
    assert of([route], default="") == ((PROD,) if fits else ())


@pytest.mark.parametrize(
    ("route", "fits"),
    [
        pytest.param(Route(to=(PROD,), about=("notice",)), True, id="route without pools"),
        pytest.param(Route(to=(PROD,), clusters=("prod",)), False, id="route for a cluster"),
        pytest.param(Route(to=(PROD,), pools=("infra",)), False, id="route for a pool"),
        pytest.param(Route(to=(PROD,), pools=("*/*",)), False, id="route for pools of clusters"),
        pytest.param(Route(to=(PROD,), clusters=("*",), pools=("*",)), True, id="wildcards"),
    ],
)
def test_what_concerns_no_single_pool(route: Route, fits: bool) -> None:
    found = of([route], cluster="", pool="", about=About.NOTICE, default="")
    assert found == ((PROD,) if fits else ())
