"""What only buildah does: steps that run, and what is left when they do not end well."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry.images import base_image, push
from tests.builds import COPY_ONLY, Lines, OnlyWays, Site, top_layer
from tests.conftest import cannot_here
from tests.registries import PASSWORD
from watcher.clients.builders import Buildah, BuildahSettings
from watcher.clients.builders.process import processes_of
from watcher.clients.builders.workplace import Workplace, mounts_below
from watcher.clients.registry import RegistrySettings
from watcher.core.facts import Pullspec
from watcher.ports import BuildOrder, Refused, Transient

pytestmark = [pytest.mark.real("docker-registry"), pytest.mark.real("buildah")]
_PATIENCE_SECONDS = 20.0


only_guarded = pytest.mark.parametrize("site", ["login-and-private-ca"], indirect=True)
only_plain = pytest.mark.parametrize("site", ["plain"], indirect=True)


@only_guarded
async def test_a_run_step_runs_and_its_output_streams(site: Site) -> None:
    builder = await site.buildah()
    order = site.order(f"FROM x.y/z\nRUN echo made > /etc/made; echo told {PASSWORD} '\\033[31m'\n")
    lines = Lines()
    image = await builder.build(order, lines.take)
    assert (await top_layer(site, image))["etc/made"].size == 5
    assert "told *** " in "\n".join(lines)
    assert "\x1b" not in "".join(lines)
    assert PASSWORD not in "".join(lines)


@only_plain
async def test_a_base_is_pulled_even_if_the_storage_has_it_under_another_name(site: Site) -> None:
    builder, order = await site.buildah(), site.order(COPY_ONLY, motd="m")
    await builder.build(order, Lines().take)
    away = Pullspec(f"127.0.0.1:1/rhcos@{site.base.digest}")
    with pytest.raises(Transient, match="connection refused"):
        await builder.build(replace(order, base=away), Lines().take)


@only_plain
async def test_a_failing_run_step_is_refused_with_its_last_words(site: Site) -> None:
    builder = await site.buildah()
    with pytest.raises(Refused, match=r"exit code 3.*no such package"):
        await builder.build(
            site.order("FROM x.y/z\nRUN echo no such package; exit 3\n"), Lines().take
        )
    await nothing_left(builder, site)


@only_plain
async def test_words_of_a_run_step_do_not_make_its_failure_transient(site: Site) -> None:
    text = "FROM x.y/z\nRUN echo 'Error: connection refused'; exit 125\n"
    with pytest.raises(Refused, match="exit code 125"):
        await (await site.buildah()).build(site.order(text), Lines().take)


@only_guarded
async def test_without_the_ca_or_the_login_buildah_is_refused(site: Site) -> None:
    order = site.order(COPY_ONLY, motd="m")
    settings = BuildahSettings(work=site.directory / "w")
    stranger = await Buildah.found(
        settings, replace(site.registry.settings, ca_files={}), site.access
    )
    with pytest.raises(Refused, match="certificate"):
        await stranger.build(order, Lines().take)
    nobody = await Buildah.found(settings, site.registry.settings, OnlyWays())
    with pytest.raises(Refused, match="authentication"):
        await nobody.build(order, Lines().take)


def listed(work: Path, *what: str) -> set[str]:
    """Ids of images or containers in a builder's storage."""
    storage = ["--root", str(work / "storage"), "--runroot", str(work / "run")]
    argv = ["buildah", *storage, "--storage-driver", "overlay", *what, "--quiet"]
    return set(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())


def mount_small(directory: Path) -> bool:
    directory.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(directory)]
    return subprocess.run(argv, check=False).returncode == 0


def unmount(directory: Path) -> None:
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def worker_building(order: BuildOrder, work: Path, host: str) -> subprocess.Popen[str]:
    arguments = [str(order.context), order.base, order.target, str(work), host]
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, text=True
    )


async def nothing_left(builder: Buildah, site: Site, work: str = "work") -> None:
    path = site.directory / work
    assert processes_of(path) == []
    assert mounts_below(path / "storage") == []
    assert not (path / "tmp").exists()
    assert not (path / "unclean").exists()
    assert listed(path, "containers", "--all") == set()


SLOW = "FROM x.y/z\nRUN echo begun; sleep 600\n"


@only_plain
async def test_a_cancelled_build_leaves_nothing(site: Site) -> None:
    builder = await site.buildah(grace_seconds=0.5)
    begun = asyncio.Event()

    async def log(line: str) -> None:
        if line == "begun":
            begun.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(builder.build(site.order(SLOW), log))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert task.cancelled()
    await nothing_left(builder, site)


@only_plain
async def test_a_build_that_takes_too_long_is_stopped(site: Site) -> None:
    builder = await site.buildah(grace_seconds=0.5, build_seconds=2.0)
    with pytest.raises(Transient, match="stopped after 2 s"):
        await builder.build(site.order(SLOW), Lines().take)
    await nothing_left(builder, site)


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.builds import OnlyWays, order_for
from tests.registries import settings_for
from watcher.clients.builders import Buildah, BuildahSettings
from watcher.core.facts import Pullspec, Repository

async def log(line):
    print(line, flush=True)

async def main(recipe, base, target, work, host):
    settings = BuildahSettings(work=Path(work))
    builder = await Buildah.found(settings, settings_for(host, None), OnlyWays())
    await builder.build(order_for(Path(recipe), Pullspec(base), Repository(target)), log)

asyncio.run(main(*sys.argv[1:]))
"""


@only_plain
@pytest.mark.parametrize("also_buildah", [False, True], ids=["we-die", "buildah-dies-too"])
async def test_after_kill_9_the_next_attempt_cleans_up_and_gives_the_same_image(
    site: Site, *, also_buildah: bool
) -> None:
    slow = site.order(SLOW)
    other = site.order(COPY_ONLY, motd="m")
    expected = await (await site.buildah("clean-room")).build(other, Lines().take)
    work = site.directory / "work"
    worker = worker_building(slow, work, site.registry.host)
    assert worker.stdout is not None
    with worker.stdout:
        assert any("begun" in line for line in worker.stdout if "RUN" not in line)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    orphans = processes_of(work)
    assert orphans
    if also_buildah:
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    builder = await site.buildah()
    await builder.clean(slow.build)
    await nothing_left(builder, site)
    assert await builder.build(other, Lines().take) == expected


@only_plain
async def test_a_full_disk_is_said_clearly_and_nothing_is_left(site: Site, tmp_path: Path) -> None:
    small = tmp_path / "small"
    if not mount_small(small):
        cannot_here("no filesystem can be mounted here")
    try:
        builder = await site.buildah(work=str(small / "work"))
        text = f"FROM x.y/z\nRUN while echo {'0' * 50}; do :; done > /f\n"
        with pytest.raises(Transient, match="disk is full"):
            await builder.build(site.order(text), Lines().take)
        await nothing_left(builder, site, work=str(small / "work"))
        await builder.build(site.order(COPY_ONLY, motd="m"), Lines().take)
    finally:
        unmount(small)


@only_plain
async def test_the_storage_keeps_only_the_newest_bases(site: Site) -> None:
    builder = await site.buildah(kept_bases=1)
    for version in ("418.94.202601010000-0", "418.94.202602020000-0"):
        base = await push(site.client, site.base.repository, base_image(version))
        site = replace(site, base=base)
        await builder.build(site.order(COPY_ONLY, motd=version), Lines().take)
    work = site.directory / "work"
    assert len(listed(work, "images")) == 2  # the base, and the last result


@only_plain
async def test_two_processes_do_not_build_in_one_directory(site: Site) -> None:
    one, other = await site.buildah(), await site.buildah()
    async with one._place.owned():
        with pytest.raises(Transient, match="another process builds"):
            await other.build(site.order(COPY_ONLY, motd="m"), Lines().take)


async def test_a_program_that_is_missing_is_refused(tmp_path: Path) -> None:
    settings = BuildahSettings(work=tmp_path, program="no-such-buildah")
    with pytest.raises(Refused, match="install it"):
        await Buildah.found(settings, RegistrySettings(), OnlyWays())


async def test_buildah_is_found_while_another_process_builds_in_the_same_place(
    tmp_path: Path,
) -> None:
    """Two replicas that start together must not end each other's start."""
    settings = BuildahSettings(work=tmp_path / "work")
    place = Workplace(settings)
    async with place.owned():
        assert await Buildah.found(settings, RegistrySettings(), OnlyWays())
