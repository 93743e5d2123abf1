"""A recipe that cannot be built from, or no room to build: told, and mended by mending it."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import cannot_here
from tests.scenario.service import running, update_in
from tests.scenario.troubles import IMPATIENT, hasty, told, waits
from tests.scenario.world import CLUSTER, CONTAINERFILE, INFRA, World, world
from watcher.bootstrap import App
from watcher.service import PartEnded
from watcher.settings import Settings


@asynccontextmanager
async def _with_recipe(directory: Path, spoil: str | bytes) -> AsyncIterator[tuple[World, App]]:
    """A running service whose recipe has this Containerfile."""
    async with world(directory) as made:
        text = spoil.encode() if isinstance(spoil, str) else spoil
        (directory / "recipe/Containerfile").write_bytes(text)
        async with running(hasty(made), patience=IMPATIENT) as app:
            yield made, app


BASES: Mapping[str, tuple[str, str]] = {
    "no base": ("# nothing yet\n", "there is no FROM"),
    "scratch": ("FROM scratch\nCOPY motd /etc/motd\n", "line 1: FROM scratch"),
    "ambiguous": (
        "ARG A=quay.io/x/y\nFROM $A AS one\nFROM $A\nCOPY motd /etc/motd\n",
        "lines 3 and 2: both FROMs depend on A",
    ),
}


@pytest.mark.parametrize(("text", "says"), BASES.values(), ids=BASES)
async def test_a_recipe_without_one_clear_base_is_told_and_built_once_it_is_mended(
    text: str, says: str, tmp_path: Path
) -> None:
    async with _with_recipe(tmp_path, text) as (made, app):
        failed = await update_in(app, "failed")
        assert says in failed.ended_because
        await told(app, says, "`relayer rebuild prod/infra` tries it again")
        (tmp_path / "recipe/Containerfile").write_text(CONTAINERFILE)
        await update_in(app, "awaiting-approval", after=failed.id)
        assert made.override_writes() == 0


async def test_a_recipe_that_is_not_utf_8_is_told_and_built_once_it_is_mended(
    tmp_path: Path,
) -> None:
    async with _with_recipe(tmp_path, b"FROM x.y/z\nLABEL name=\xff\n") as (_, app):
        await told(app, "recipe infra-os cannot be used: 'Containerfile', line 2")
        assert await app.store.history(CLUSTER, INFRA, 1) == []
        (tmp_path / "recipe/Containerfile").write_text(CONTAINERFILE)
        await update_in(app, "awaiting-approval")


async def test_a_recipe_directory_that_vanishes_is_told_and_taken_up_when_it_returns(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, speed=600) as made:
        elsewhere = tmp_path / "moved"
        async with running(hasty(made), patience=IMPATIENT) as app:
            asked = await update_in(app, "awaiting-approval")
            (tmp_path / "recipe").rename(elsewhere)
            await told(app, "recipe infra-os cannot be used: there is no directory")
            assert (await update_in(app, "awaiting-approval")).id == asked.id
            elsewhere.rename(tmp_path / "recipe")
            await told(app, "runs the stock image")
            await app.people.approve(asked.id, by="token:ann")
            assert (await update_in(app, "done")).id == asked.id


async def test_a_link_out_of_the_recipe_directory_is_told_and_followed_never(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        link = tmp_path / "recipe/secret"
        link.symlink_to("../token")
        async with running(hasty(made), patience=IMPATIENT) as app:
            await told(app, "recipe infra-os cannot be used", "the link 'secret'")
            assert await app.store.history(CLUSTER, INFRA, 1) == []
            link.unlink()
            await update_in(app, "awaiting-approval")


# --- no room ------------------------------------------------------------------------------------


@contextmanager
def _small_disk(directory: Path, mebibytes: int) -> Iterator[Path]:
    directory.mkdir()
    size = f"size={mebibytes}m"
    argv = ["mount", "-t", "tmpfs", "-o", size, "none", str(directory)]
    if subprocess.run(argv, check=False).returncode:
        cannot_here("no filesystem can be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.mark.real("buildah")
async def test_a_full_disk_delays_the_build_until_there_is_room(tmp_path: Path) -> None:
    """Builds and the embedded store share the disk: neither may lose anything."""
    async with world(tmp_path / "world") as made:
        with _small_disk(tmp_path / "small", 64) as small:
            said = hasty(made)
            recipes = tuple(replace(one, builder="buildah") for one in said.recipes)
            said = replace(said, recipes=recipes, state_dir=small)
            ballast = small / "ballast"
            ballast.write_bytes(bytes(61 << 20))
            recipe = tmp_path / "world/recipe"
            fill = "FROM quay.io/x/rhcos:1\nCOPY big /big\n"
            (recipe / "Containerfile").write_text(fill)
            (recipe / "big").write_bytes(bytes(12 << 20))
            async with running(said, patience=IMPATIENT) as app:
                waiting = await update_in(app, "waiting-for-build")
                await waits(app, waiting.id, "disk is full")
                ballast.unlink()
                asked = await update_in(app, "awaiting-approval")
                assert asked.id == waiting.id
                assert made.override_writes() == 0


async def test_a_disk_without_any_room_ends_the_service_and_loses_nothing(tmp_path: Path) -> None:
    """The embedded store promises that what it took is on disk: without room it must not go on."""
    async with world(tmp_path / "world", speed=600) as made:
        with _small_disk(tmp_path / "small", 16) as small:
            said = replace(hasty(made), state_dir=small)
            with pytest.raises(ExceptionGroup) as seen:
                await _filled_while_running(said)
            assert seen.group_contains(PartEnded, match="store server .* AOF write error")
            (small / "ballast").unlink()
            async with running(said, patience=IMPATIENT) as app:
                asked = await update_in(app, "awaiting-approval")
                assert [entry.event for entry in await app.store.audit(asked.id)] == [
                    "Proposed",
                    "BuildReady",
                ]
                await app.people.approve(asked.id, by="token:ann")
                assert (await update_in(app, "done")).id == asked.id


async def _filled_while_running(settings: Settings) -> None:
    async with running(settings, patience=IMPATIENT) as app:
        await update_in(app, "awaiting-approval")
        with suppress(OSError):
            (settings.state_dir / "ballast").write_bytes(bytes(16 << 20))
        await asyncio.Event().wait()
