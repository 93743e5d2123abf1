"""Findings of the running service follow what happens: missing, current, behind, paused, away."""

from pathlib import Path

from simulator.apiserver.kinds import POOLS
from tests.scenario.service import running, update_in
from tests.scenario.world import World, until, world
from watcher.bootstrap import App
from watcher.core.approval import ApprovalRules
from watcher.core.state import Finding, Flag, State
from watcher.core.update import Policy


def infra(app: App) -> Finding | None:
    [seen] = app.surveys.surveyed()
    return next((one for one in seen.findings if one.pool == "infra"), None)


def is_in(app: App, state: State) -> bool:
    found = infra(app)
    return found is not None and found.state is state


async def layered(made: World) -> None:
    automatic = made.with_policy(Policy(approval=ApprovalRules(auto=True), soak_seconds=0))
    async with running(automatic) as app:
        await update_in(app, "done")
        await until(lambda: is_in(app, State.CURRENT), what="current")


async def test_a_pool_is_missing_then_current_then_behind(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        async with running(made.settings) as app:
            await until(lambda: is_in(app, State.MISSING), what="missing")
        await layered(made)
        async with running(made.settings) as app:
            made.cluster.start_upgrade(made.new)
            await until(lambda: is_in(app, State.BEHIND), what="behind")
            found = infra(app)
            assert found is not None
            assert found.override is not None
            assert found.override.by == "relayer"
            assert (found.lag.minors, found.lag.days) == (0, 31)
            assert found.base_expected == made.new.os_image
            [seen] = app.surveys.surveyed()
            others = {one.pool: one.state for one in seen.findings if one.pool != "infra"}
            # The control plane's own pools follow the release, at once or after a reboot.
            assert set(others) == {"master", "worker"}
            assert set(others.values()) <= {State.STOCK, State.BLOCKED}


async def test_somebody_who_pauses_a_pool_is_seen_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as made, running(made.settings) as app:
        await until(lambda: is_in(app, State.MISSING), what="missing")
        store = made.api.store
        version = store.get(POOLS, "infra")
        document = store.copy_of(version)
        document["spec"]["paused"] = True
        store.put(POOLS, version.key, document)

        def paused() -> bool:
            found = infra(app)
            return found is not None and Flag.PAUSED in {f.flag for f in found.flags}

        await until(paused, what="paused")
