"""A registry that is away, slow, says no, or gives other bytes: told, and nothing is applied."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.apiserver.kinds import CLUSTER_VERSIONS
from simulator.cluster import Release
from simulator.registry.access import Account
from simulator.registry.faults import Fault, Kind
from simulator.registry.images import base_image, make_image, push_to, release_image
from tests.scenario.service import running, update_in
from tests.scenario.troubles import IMPATIENT, hasty, told, waits
from tests.scenario.world import CLUSTER, INFRA, World, until, world
from watcher.core.facts import Pullspec

FOR_EVER = 10**9
BASES = "/v2/openshift/rhel-coreos/.*"
RELEASES = "/v2/openshift/release/.*"
PUSHES = "/v2/layered/infra/.*"


def _status(status: int, **headers: str) -> Fault:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Fault("status", path=BASES, status=status, headers=named, count=FOR_EVER)


PASSING: Mapping[str, tuple[Fault, str]] = {
    "429": (_status(429, Retry_After="1"), "429"),
    "500": (_status(500), "500"),
    "503": (_status(503), "503"),
    "hang": (Fault("hang", path=BASES, count=FOR_EVER), "no answer in time"),
    "cut off": (Fault("cut", path=BASES, after=20, count=FOR_EVER), "broke off"),
}


@pytest.mark.parametrize(("fault", "says"), PASSING.values(), ids=PASSING)
async def test_a_build_waits_for_a_registry_that_does_not_answer_well(
    fault: Fault, says: str, tmp_path: Path
) -> None:
    async with world(tmp_path) as made:
        made.registry.faults.append(replace(fault))
        async with running(hasty(made), patience=IMPATIENT) as app:
            waiting = await update_in(app, "waiting-for-build")
            await waits(app, waiting.id, made.registry.host, says)
            made.registry.faults.clear()
            asked = await update_in(app, "awaiting-approval")
            assert asked.id == waiting.id
            assert made.override_writes() == 0


async def test_a_push_without_the_right_login_ends_the_update_until_somebody_asks_again(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        access = made.registry.access
        access.mode, access.accounts = "bearer", {"node": Account("node", push=())}
        async with running(hasty(made), patience=IMPATIENT) as app:
            failed = await update_in(app, "failed")
            assert "401" in failed.ended_because
            assert "/layered/infra" in failed.ended_because
            await told(app, "401", "`relayer rebuild prod/infra` tries it again")
            access.mode = "anonymous"
            again = await app.planner.rebuild(CLUSTER, INFRA, by="token:ann")
            asked = await update_in(app, "awaiting-approval", after=failed.id)
            assert asked.id == again.id
            assert made.override_writes() == 0


async def test_an_image_that_nodes_may_not_pull_is_not_applied_until_they_may(
    tmp_path: Path,
) -> None:
    async with (
        world(tmp_path, speed=600) as made,
        running(hasty(made), patience=IMPATIENT) as app,
    ):
        asked = await update_in(app, "awaiting-approval")
        access = made.registry.access
        access.mode = "basic"
        await app.people.approve(asked.id, by="token:ann")
        await waits(app, asked.id, "nodes cannot pull the image", "401")
        assert made.override_writes() == 0
        access.accounts = {"node": Account("node")}
        assert (await update_in(app, "done")).id == asked.id


async def test_a_base_that_is_not_in_the_registry_ends_the_update(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        base = Pullspec(made.old.os_image)
        made.registry.store.delete_manifest("openshift/rhel-coreos", base.digest)
        async with running(hasty(made), patience=IMPATIENT) as app:
            failed = await update_in(app, "failed")
            assert f"manifests/{base.digest}: answered 404" in failed.ended_because
            image = base_image("418.94.202510010000-0")
            assert await push_to(made.registry.url, "openshift/rhel-coreos", image) == base
            again = await app.planner.rebuild(CLUSTER, INFRA, by="token:ann")
            assert (await update_in(app, "awaiting-approval", after=failed.id)).id == again.id


async def test_a_base_with_other_bytes_than_its_digest_is_not_built_upon(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.registry.faults.append(Fault("corrupt", path=BASES, after=50, count=FOR_EVER))
        async with running(hasty(made), patience=IMPATIENT) as app:
            failed = await update_in(app, "failed")
            assert "failed verification: the registry sent sha256:" in failed.ended_because
            assert await app.store.log(failed.build)
            made.registry.faults.clear()
            await app.planner.rebuild(CLUSTER, INFRA, by="token:ann")
            await update_in(app, "awaiting-approval", after=failed.id)
            assert made.override_writes() == 0


# --- releases: read while the control plane upgrades ---------------------------------------------


async def _upgrade_to(made: World, release_payload: str) -> None:
    """Wait until an upgrade whose payload is this one was accepted by the cluster."""
    release = Release(version=made.new.version, image=release_payload, os_image=made.new.os_image)
    made.cluster.versions.offer(release)
    made.cluster.start_upgrade(release)
    version = made.api.store
    await until(
        lambda: (
            version.get(CLUSTER_VERSIONS, "version").object["status"]["desired"]["image"]
            == release_payload
        )
    )


async def test_a_payload_that_is_none_is_told_and_the_upgrade_s_end_is_waited_for(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, speed=200) as made:
        empty = make_image([{"etc/motd": b"no release"}], labels={})
        image = await push_to(made.registry.url, "openshift/release", empty)
        await _upgrade_to(made, str(image))
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "release 4.18.10 cannot be read", "is no release image")
            # Then the cluster itself names the base.
            asked = await update_in(app, "awaiting-approval")
            assert asked.target.base == made.new.os_image
            assert made.override_writes() == 0


async def test_a_payload_without_the_tag_is_told_and_the_upgrade_s_end_is_waited_for(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, speed=200) as made:
        payload = release_image(made.new.version, {"cli": made.new.os_image})
        image = await push_to(made.registry.url, "openshift/release", payload)
        await _upgrade_to(made, str(image))
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "release 4.18.10 has no image tag 'rhel-coreos'")
            asked = await update_in(app, "awaiting-approval")
            assert asked.target.base == made.new.os_image


async def test_a_payload_that_names_its_base_by_tag_is_told(tmp_path: Path) -> None:
    async with world(tmp_path, speed=200) as made:
        tags = {"rhel-coreos": "quay.io/openshift/rhel-coreos:4.18"}
        payload = release_image(made.new.version, tags)
        image = await push_to(made.registry.url, "openshift/release", payload)
        await _upgrade_to(made, str(image))
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "payload of 4.18.10 names its OS image wrongly", "by tag")
            await update_in(app, "awaiting-approval")


TROUBLES: Mapping[str, tuple[Kind, int, str]] = {
    "503": ("status", 503, "cannot be looked at, and is tried again"),
    "401": ("status", 401, "release 4.18.10 cannot be read"),
    "other bytes": ("corrupt", 0, "release 4.18.10 cannot be read"),
}


@pytest.mark.parametrize(("kind", "status", "says"), TROUBLES.values(), ids=TROUBLES)
async def test_a_release_that_cannot_be_had_is_told_and_read_once_it_can(
    kind: Kind, status: int, says: str, tmp_path: Path
) -> None:
    async with world(tmp_path, speed=30) as made:
        fault = Fault(kind, path=RELEASES, status=status, after=50, count=FOR_EVER)
        made.registry.faults.append(fault)
        await _upgrade_to(made, made.new.image)
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, says)
            assert await app.store.history(CLUSTER, INFRA, 1) == []
            made.registry.faults.clear()
            asked = await update_in(app, "awaiting-approval")
            assert asked.target.base == made.new.os_image
