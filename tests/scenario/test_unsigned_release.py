"""A release that nobody has signed: built, told of, approved, and not applied until it is."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.apiserver.kinds import CONFIG_MAPS
from simulator.cluster import objects
from simulator.cluster.world import PERSON
from simulator.signing import signer_here
from tests.scenario.service import running, update_in
from tests.scenario.world import CLUSTER, INFRA, world
from watcher.bootstrap import App
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy

AUTOMATIC = Policy(approval=ApprovalRules(auto=True), soak_seconds=0)


async def _only_reason(app: App) -> str:
    """Wait until nothing else is in the way of applying it."""
    async with asyncio.timeout(30):
        while True:
            unmet = (await app.planner.plan(CLUSTER, INFRA)).unmet
            if len(unmet) == 1:
                return unmet[0]
            await asyncio.sleep(0.05)


@pytest.mark.real("gpg", "gpgv")
async def test_an_unsigned_release_waits_until_its_signature_is_there(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        settings = made.with_policy(AUTOMATIC)
        async with running(settings) as app:
            before = await update_in(app, "done")
            unsigned = replace(made.new, signed=False)
            made.cluster.start_upgrade(unsigned)
            scheduled = await update_in(app, "scheduled", after=before.id)
            assert scheduled.background.signature.startswith("not proven genuine: ")
            why = await _only_reason(app)
            assert why.startswith("release 4.18.10 is not proven genuine: ")
            assert "--apply-release-image-signature" in why
            assert (await update_in(app, "scheduled")).id == scheduled.id
            writes = made.override_writes()
            assert made.images() == {str(before.image)}
        signer = signer_here()
        assert signer is not None
        signature = signer.sign(made.new.image.partition("@")[2])
        found = objects.release_signature(made.new, signature)
        made.cluster.world.ensure(CONFIG_MAPS, found, PERSON)
        async with running(settings) as app:  # another process would look again after a minute
            done = await update_in(app, "done", after=before.id)
            assert done.id == scheduled.id
            assert made.override_writes() > writes
            assert made.images() == {str(done.image)}


@pytest.mark.real("gpg", "gpgv")
async def test_with_a_warning_only_it_is_applied_and_people_are_told(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        settings = made.with_policy(AUTOMATIC)
        settings = replace(settings, release=replace(settings.release, verify="warn"))
        async with running(settings) as app:
            before = await update_in(app, "done")
            made.cluster.start_upgrade(replace(made.new, signed=False))
            done = await update_in(app, "done", after=before.id)
            assert "only a warning: release.verify is warn" in done.background.signature
