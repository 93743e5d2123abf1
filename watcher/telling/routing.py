"""Where what goes: a pure function of the routes."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from watcher.core.letters import Route


def places(
    routes: Sequence[Route], *, cluster: str, pool: str, severity: str, about: str, default: str
) -> tuple[str, ...]:
    """Return the places of all routes that fit, each once, in order; where none fits, `default`.

    What concerns no single pool has an empty `cluster` and `pool`: a route that names clusters or
    pools takes it only by `*`.
    """
    fitting = (
        route
        for route in routes
        if _fits(route.clusters, cluster)
        and (not route.pools or any(_fits_pool(said, cluster, pool) for said in route.pools))
        and _fits(route.severities, severity)
        and _fits(route.about, about)
    )
    found = tuple(dict.fromkeys(place for route in fitting for place in route.to))
    return found or ((default,) if default else ())


def _fits(patterns: Sequence[str], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _fits_pool(pattern: str, cluster: str, pool: str) -> bool:
    """`infra` is that pool of every cluster, `prod/infra` that of one."""
    if "/" in pattern:
        return bool(pool) and fnmatchcase(f"{cluster}/{pool}", pattern)
    return fnmatchcase(pool, pattern)
