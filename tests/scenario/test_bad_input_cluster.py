"""A cluster that is away, says no, or says what cannot be: the service waits, tells and goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver.kinds import CLUSTER_VERSIONS, MACHINE_CONFIGS, OS_CONFIGS, POOLS
from simulator.cluster import PoolSpec, objects
from simulator.cluster.world import PERSON
from tests.scenario.service import running, update_in
from tests.scenario.troubles import IMPATIENT, hasty, told, waits
from tests.scenario.world import CLUSTER, INFRA, OURS, World, until, world
from watcher.bootstrap import open_app, watching
from watcher.cli.exits import Code, explain
from watcher.core.facts import PoolName


async def test_an_api_server_away_at_start_is_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.api.stop_listening()
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "cluster prod", made.api.url, "refuses connections")
            await made.api.start_listening()
            await update_in(app, "awaiting-approval")
            assert made.override_writes() == 0


async def test_a_plan_says_that_the_api_server_is_away(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.api.stop_listening()
        async with open_app(hasty(made), patience=IMPATIENT) as app:
            with pytest.raises(BaseExceptionGroup) as caught:
                async with watching(app, CLUSTER, seconds=0.5):
                    pass
        code, sentence = explain(caught.value)
        assert code is Code.UNREACHABLE
        assert "refuses connections" in sentence
        assert sentence.endswith("try again later")


async def test_an_api_server_away_midway_delays_the_rollout_and_undoes_nothing(
    tmp_path: Path,
) -> None:
    async with (
        world(tmp_path, speed=300) as made,
        running(hasty(made, auto=True), patience=IMPATIENT) as app,
    ):
        update = await update_in(app, "rolling-out")
        await made.api.stop_listening()
        await until(lambda: "refuses connections" in "".join(app.clusters[CLUSTER].problems))
        await until(lambda: made.cluster.is_settled("infra") and len(made.images()) == 1)
        assert (await update_in(app, "rolling-out")).id == update.id
        await made.api.start_listening()
        done = await update_in(app, "done", "rolled-back", "stuck", "failed")
        assert (done.id, done.state) == (update.id, "done")
        assert made.override_writes() == 1
        await until(lambda: not app.clusters[CLUSTER].problems)


async def test_a_kind_that_may_not_be_read_is_told_with_the_rule_and_read_once_allowed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        made.api.denials.deny(["*"], POOLS.plural)
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "is forbidden", "ClusterRole", "machineconfigpools")
            made.api.denials.allow(POOLS.plural)
            await update_in(app, "awaiting-approval")
            assert made.override_writes() == 0


async def test_a_kind_that_may_not_be_read_before_an_apply_is_not_taken_for_absent(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, speed=600) as made:
        made.api.denials.deny(["*"], OS_CONFIGS.plural)
        async with running(hasty(made), patience=IMPATIENT) as app:
            asked = await update_in(app, "awaiting-approval")
            await app.people.approve(asked.id, by="token:ann")
            await waits(app, asked.id, "machineosconfigs", "is forbidden", "ClusterRole")
            assert made.override_writes() == 0
            made.api.denials.allow(OS_CONFIGS.plural)
            assert (await update_in(app, "done")).id == asked.id


async def test_an_apply_that_is_forbidden_ends_the_update_with_the_rule(tmp_path: Path) -> None:
    async with world(tmp_path, speed=600) as made:
        made.api.denials.deny(["patch"], MACHINE_CONFIGS.plural)
        async with running(hasty(made, auto=True), patience=IMPATIENT) as app:
            failed = await update_in(app, "failed", "stuck", "done")
            assert failed.state == "failed"
            assert "is forbidden" in failed.ended_because
            assert "resources: [machineconfigs], verbs: [patch]" in failed.ended_because
            assert made.api.store.find(MACHINE_CONFIGS, OURS) is None
            made.api.denials.allow(MACHINE_CONFIGS.plural)
            await app.planner.rebuild(CLUSTER, INFRA, by="token:ann")
            await update_in(app, "done", after=failed.id)


async def test_a_cluster_without_the_machine_config_api_is_told_and_looked_at_again(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        for kind in (POOLS, MACHINE_CONFIGS):
            made.api.set_away(kind)
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "serves no MachineConfigPool", "no OpenShift cluster")
            for kind in (POOLS, MACHINE_CONFIGS):
                made.api.set_away(kind, away=False)
            await update_in(app, "awaiting-approval")


async def test_a_pool_that_is_not_there_is_told_and_keeps_nobody_else_waiting(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        said = hasty(made)
        misspelt = replace(said.pools[0], pool=PoolName("infar"))
        said = replace(said, pools=(misspelt, *said.pools))
        async with running(said, patience=IMPATIENT) as app:
            sentence = await told(app, "no MachineConfigPool infar", pool="infar")
            assert sentence.endswith("(it has: infra, master, worker)")
            await update_in(app, "awaiting-approval")
            spec = PoolSpec(name="infar", nodes=0)
            made.cluster.world.create(POOLS, objects.pool(spec), PERSON)
            await told(app, "runs the stock image", pool="infar")


# --- a tag where a digest is needed -------------------------------------------------------------


async def test_a_release_named_by_tag_is_told_and_nothing_is_done(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        _rename_release(made, "quay.io/openshift-release-dev/ocp-release:4.18.9-x86_64")
        async with running(hasty(made), patience=IMPATIENT) as app:
            sentence = await told(app, "ClusterVersion names its release wrongly")
            assert "by digest, not by tag: 'quay.io/openshift-release-dev" in sentence
            assert await app.store.history(CLUSTER, INFRA, 1) == []
            _rename_release(made, made.old.image)
            await update_in(app, "awaiting-approval")


def _rename_release(made: World, image: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["status"]["desired"]["image"] = image
        document["status"]["history"][0]["image"] = image

    made.cluster.world.edit(CLUSTER_VERSIONS, "version", change, PERSON, status=True)


def _by_hand(made: World, name: str, image: str) -> None:
    config = objects.machine_config(name, "infra", {"osImageURL": image})
    made.cluster.world.create(MACHINE_CONFIGS, config, PERSON)


async def test_an_override_by_tag_is_replaced_by_one_by_digest(tmp_path: Path) -> None:
    async with world(tmp_path, speed=600) as made:
        _by_hand(made, "50-by-hand", "quay.io/us/infra:latest")
        async with running(hasty(made, auto=True), patience=IMPATIENT) as app:
            done = await update_in(app, "done")
            assert "quay.io/us/infra:latest, of which nobody knows the base" in done.because
            assert made.images() == {str(done.image)}


async def test_an_override_by_tag_that_would_win_over_ours_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        _by_hand(made, "99-zzz-by-hand", "quay.io/us/infra:latest")
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "MachineConfig 99-zzz-by-hand would win over", "remove its osImageURL")
            assert await app.store.history(CLUSTER, INFRA, 1) == []
            made.api.store.remove(MACHINE_CONFIGS, ("", "99-zzz-by-hand"), by=PERSON)
            await update_in(app, "awaiting-approval")
