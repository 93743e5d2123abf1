"""A person cancels a build that is under way: its worker stops, and nothing is touched."""

from pathlib import Path

import pytest

from simulator.registry.faults import Fault
from tests.scenario.service import running, update_in
from tests.scenario.world import CLUSTER, INFRA, until, world
from watcher.core.build import Build
from watcher.core.jobs import JobKind
from watcher.errors import Declined


async def test_a_cancelled_build_stops_and_can_be_asked_for_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        hang = Fault("hang", "PUT", "/v2/layered/infra/manifests/.*")
        made.registry.faults.append(hang)
        async with running(made.settings) as app:
            waiting = await update_in(app, "waiting-for-build")
            await until(lambda: hang.count == 0, what="the build is under way")
            build = await app.people.cancel_build(waiting.build, by="cli:ann", reason="wrong base")
            assert build.ended_because == "cancelled by cli:ann: wrong base"
            failed = await update_in(app, "failed")
            assert "cancelled by cli:ann: wrong base" in failed.ended_because
            assert made.override_writes() == 0
            with pytest.raises(Declined, match="is failed already"):
                await app.people.cancel_build(waiting.build, by="cli:bob")
            with pytest.raises(KeyError):
                await app.people.cancel_build(failed.id, by="cli:bob")
            # The one build worker is free again: it took the change of the record for a stop.
            again = await app.planner.rebuild(CLUSTER, INFRA, by="cli:ann")
            asked = await update_in(app, "awaiting-approval", after=failed.id)
            assert asked.id == again.id
            ended = [stored.job for stored in await app.store.jobs(JobKind.BUILD, ended=True)]
            assert [b.state for b in ended if isinstance(b, Build)] == ["ready", "failed"]
