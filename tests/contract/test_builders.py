"""What every builder promises, on real registries with a login and a private CA."""

import asyncio
import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from simulator.registry.images import base_image, index_of, push
from tests.builds import base_with_shell, order_for, write_recipe
from tests.registries import PASSWORD, PrivateCa, Running, real_registry
from watcher.clients.builders import Append, Buildah, BuildahSettings
from watcher.clients.builders.process import processes_of
from watcher.clients.builders.workplace import mounts_below
from watcher.clients.registry import Platform, RegistryClient
from watcher.core.facts import Pullspec
from watcher.ports import Builder, BuildOrder, Refused, Transient

pytestmark = [pytest.mark.real("docker-registry")]
BUILDAH = pytest.mark.real("buildah")
COPY_ONLY = "FROM quay.io/x/rhcos:1\nCOPY motd /etc/motd\nLABEL team=storage\n"
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Site:
    """A registry with a base, and a place for recipes."""

    registry: Running
    client: RegistryClient
    base: Pullspec
    directory: Path

    def order(self, containerfile: str, *, path: str = "layered", **files: str) -> BuildOrder:
        recipe = self.directory / f"recipe-{len(list(self.directory.iterdir()))}"
        write_recipe(recipe, containerfile, files)
        return order_for(recipe, self.base, self.registry.repository(path))

    async def buildah(self, work: str = "work", **settings: object) -> Buildah:
        chosen = replace(BuildahSettings(work=self.directory / work), **settings)  # type: ignore[arg-type]
        return await Buildah.found(chosen, self.registry.settings, self.registry.credentials)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    return PrivateCa.made_in(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=["plain", "login-and-private-ca"])
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, ca: PrivateCa
) -> AsyncIterator[Site]:
    guarded = request.param != "plain"
    tls = ca if guarded else None
    async with (
        real_registry(tmp_path / "registry", basic=guarded, tls=tls) as registry,
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        base = await push(client, registry.repository("rhcos"), base_with_shell())
        recipes = tmp_path / "recipes"
        recipes.mkdir()
        yield Site(registry, client, base, recipes)
        for mount in mounts_below(tmp_path):
            raise AssertionError(f"left mounted: {mount}")


only_guarded = pytest.mark.parametrize("site", ["login-and-private-ca"], indirect=True)
only_plain = pytest.mark.parametrize("site", ["plain"], indirect=True)


@pytest.fixture(params=["append", pytest.param("buildah", marks=BUILDAH)])
async def builder(request: pytest.FixtureRequest, site: Site) -> Builder:
    return Append(site.client) if request.param == "append" else await site.buildah()


class Lines(list[str]):
    async def take(self, line: str) -> None:
        self.append(line)


async def top_layer(site: Site, image: Pullspec) -> dict[str, tarfile.TarInfo]:
    manifest = await site.client.platform_manifest(image)
    parts = [c async for c in site.client.blob(image.repository, manifest.layers[-1].digest)]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(b"".join(parts)))) as archive:
        return {info.name.strip("/"): info for info in archive}


async def test_the_result_stands_on_the_base(site: Site, builder: Builder) -> None:
    lines = Lines()
    order = site.order(COPY_ONLY, motd="hello\n")
    assert builder.refuses(order) == []

    image = await builder.build(order, lines.take)

    base = await site.client.config(site.base)
    manifest = await site.client.manifest((order.target, order.tag))
    config = await site.client.config_of(manifest)
    assert manifest.digest == image.digest
    assert config.diff_ids[:-1] == base.diff_ids
    assert config.labels == {**base.labels, **order.labels, "team": "storage"}
    assert order.labels.items() <= manifest.annotations.items()
    assert config.created == order.created
    assert lines


async def test_a_repeat_gives_the_same_image(site: Site, builder: Builder) -> None:
    order = site.order(COPY_ONLY, motd="hello\n")
    first = await builder.build(order, Lines().take)
    assert await builder.build(order, Lines().take) == first


@only_plain
async def test_an_index_gives_an_image_for_each_platform(site: Site, builder: Builder) -> None:
    index = index_of(base_image(), base_image(architecture="arm64"))
    site = replace(site, base=await push(site.client, site.base.repository, index))
    order = replace(site.order(COPY_ONLY, motd="m"), platforms=("linux/amd64", "linux/arm64"))

    image = await builder.build(order, Lines().take)

    for architecture in ("amd64", "arm64"):
        config = await site.client.config(image, Platform("linux", architecture))
        base = await site.client.config(site.base, Platform("linux", architecture))
        assert config.architecture == architecture
        assert config.diff_ids[: len(base.diff_ids)] == base.diff_ids
    assert await builder.build(order, Lines().take) == image


@only_plain
async def test_a_base_that_is_not_there_is_refused(site: Site, builder: Builder) -> None:
    order = site.order(COPY_ONLY, motd="m")
    gone = Pullspec(f"{site.base.repository}@sha256:{'0' * 64}")
    with pytest.raises(Refused):
        await builder.build(replace(order, base=gone), Lines().take)


@only_plain
async def test_a_registry_that_is_away_is_tried_again_later(site: Site, builder: Builder) -> None:
    away = Pullspec(f"127.0.0.1:1/rhcos@{site.base.digest}")
    with pytest.raises(Transient):
        await builder.build(replace(site.order(COPY_ONLY, motd="m"), base=away), Lines().take)


@only_plain
async def test_a_file_changed_since_it_was_ordered_is_not_built(
    site: Site, builder: Builder
) -> None:
    order = site.order(COPY_ONLY, motd="approved")
    (order.context / "motd").write_text("slipped in")
    with pytest.raises(Transient, match="changed"):
        await builder.build(order, Lines().take)


@only_plain
@BUILDAH
async def test_both_builders_put_the_same_files_into_the_layer(site: Site) -> None:
    text = textwrap.dedent("""\
        FROM quay.io/x/rhcos:1
        ARG NAME=one
        COPY tree/ /etc/tree/
        COPY other.txt /etc/app.d/
        COPY --chmod=0600 --chown=7:8 tree/run.sh /etc/app.d/${NAME}.conf
        COPY *.conf other.txt /usr/share/confs/
        COPY tree/sub /usr/lib/deep/er
        ADD other.txt /usr/bin/other
        ENV A=1 B="two words"
        LABEL x=y
        """)
    files = {
        "tree/run.sh": "#!/bin/sh\n",
        "tree/sub/file": "f",
        "tree/sub/more/leaf": "l",
        "a.conf": "a",
        "b.conf": "b",
        "other.txt": "o",
        "ignored.conf": "no",
        ".containerignore": "ignored.conf\n",
    }
    order = site.order(text, **files)
    (order.context / "tree/link").symlink_to("sub/file")
    (order.context / "tree/run.sh").chmod(0o755)
    order = order_for(order.context, site.base, order.target)

    seen = []
    for builder in (Append(site.client), await site.buildah()):
        image = await builder.build(order, Lines().take)
        layer = await top_layer(site, image)
        config = (await site.client.config(image)).document()["config"]
        seen.append(
            (
                _told(layer),
                sorted(e for e in config["Env"] if not e.startswith("PATH=")),
                config["Labels"],
            )
        )
    for ours, theirs in zip(*seen, strict=True):
        assert ours == theirs


def _told(layer: dict[str, tarfile.TarInfo]) -> dict[str, tuple[object, ...]]:
    # buildah also lists what every container gets.
    extra = {"etc/hosts", "etc/resolv.conf", "etc/hostname", "run", "run/.containerenv", "proc"}
    return {
        name: (
            info.type,
            oct(info.mode & 0o7777),
            info.uid,
            info.gid,
            info.size,
            info.linkname,
            info.mtime,
        )
        for name, info in layer.items()
        if name not in extra | {"dev", "sys", "tmp", ""}
    }


# --- append ---------------------------------------------------------------------------------


@only_plain
async def test_a_base_in_docker_form_becomes_an_image_in_oci_form(site: Site) -> None:
    docker = await push(site.client, site.base.repository, base_image(docker=True))
    order = replace(site.order(COPY_ONLY, motd="m"), base=docker)
    manifest = await site.client.manifest(await Append(site.client).build(order, Lines().take))
    base = await site.client.manifest(docker)
    assert {layer.media_type for layer in manifest.layers} == {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    }
    assert [layer.digest for layer in manifest.layers[:-1]] == [b.digest for b in base.layers]


@only_plain
async def test_blobs_are_streamed_from_another_registry_and_mounted_within_one(
    site: Site, tmp_path: Path, ca: PrivateCa
) -> None:
    async with real_registry(tmp_path / "other") as other:
        hosts = frozenset({site.registry.host, other.host})
        settings = replace(site.registry.settings, insecure_hosts=hosts)
        async with RegistryClient.opened(settings) as client:
            for registry, how in ((other, "4 copied"), (site.registry, "4 mounted")):
                order = site.order(COPY_ONLY, motd="m")
                order = replace(order, target=registry.repository("layered"))
                lines = Lines()
                await Append(client).build(order, lines.take)
                assert how in "\n".join(lines)


@only_plain
async def test_labels_alone_make_no_layer(site: Site) -> None:
    order = site.order("FROM x.y/z\nLABEL a=b\nENV C=d\n")
    config = await site.client.config(await Append(site.client).build(order, Lines().take))
    assert config.diff_ids == (await site.client.config(site.base)).diff_ids
    assert config.labels["a"] == "b"


@only_plain
async def test_an_archive_under_another_name_is_not_added(site: Site) -> None:
    order = site.order("FROM x.y/z\nADD data.bin /etc/app.d/data.bin\n")
    (order.context / "data.bin").write_bytes(gzip.compress(b"x"))
    order = order_for(order.context, site.base, order.target)
    with pytest.raises(Refused, match="unpack"):
        await Append(site.client).build(order, Lines().take)


# --- buildah --------------------------------------------------------------------------------


@only_guarded
@BUILDAH
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
@BUILDAH
async def test_nothing_of_our_environment_reaches_a_run_step(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYER_TOKEN", "of-the-service")
    lines = Lines()
    await (await site.buildah()).build(site.order("FROM x.y/z\nRUN set\n"), lines.take)
    assert not [line for line in lines if "of-the-service" in line]


@only_plain
@BUILDAH
async def test_a_failing_run_step_is_refused_with_its_last_words(site: Site) -> None:
    builder = await site.buildah()
    with pytest.raises(Refused, match=r"exit code 3.*no such package"):
        await builder.build(
            site.order("FROM x.y/z\nRUN echo no such package; exit 3\n"), Lines().take
        )
    await nothing_left(builder, site)


@only_plain
@BUILDAH
async def test_words_of_a_run_step_do_not_make_its_failure_transient(site: Site) -> None:
    text = "FROM x.y/z\nRUN echo 'Error: connection refused'; exit 125\n"
    with pytest.raises(Refused, match="exit code 125"):
        await (await site.buildah()).build(site.order(text), Lines().take)


@only_guarded
@BUILDAH
async def test_without_the_ca_or_the_login_buildah_is_refused(site: Site) -> None:
    order = site.order(COPY_ONLY, motd="m")
    settings = BuildahSettings(work=site.directory / "w")
    stranger = await Buildah.found(
        settings, replace(site.registry.settings, ca_files={}), site.registry.credentials
    )
    with pytest.raises(Refused, match="certificate"):
        await stranger.build(order, Lines().take)
    nobody = await Buildah.found(
        settings, site.registry.settings, type(site.registry.credentials)()
    )
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
@BUILDAH
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
@BUILDAH
async def test_a_build_that_takes_too_long_is_stopped(site: Site) -> None:
    builder = await site.buildah(grace_seconds=0.5, build_seconds=2.0)
    with pytest.raises(Transient, match="stopped after 2 s"):
        await builder.build(site.order(SLOW), Lines().take)
    await nothing_left(builder, site)


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.builds import order_for
from tests.registries import settings_for
from watcher.clients.builders import Buildah, BuildahSettings
from watcher.clients.registry import Credentials
from watcher.core.facts import Pullspec, Repository

async def log(line):
    print(line, flush=True)

async def main(recipe, base, target, work, host):
    settings = BuildahSettings(work=Path(work))
    builder = await Buildah.found(settings, settings_for(host, None), Credentials())
    await builder.build(order_for(Path(recipe), Pullspec(base), Repository(target)), log)

asyncio.run(main(*sys.argv[1:]))
"""


@only_plain
@BUILDAH
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
@BUILDAH
async def test_a_full_disk_is_said_clearly_and_nothing_is_left(site: Site, tmp_path: Path) -> None:
    small = tmp_path / "small"
    if not mount_small(small):
        pytest.skip("no filesystem can be mounted here")
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
@BUILDAH
async def test_the_storage_keeps_only_the_newest_bases(site: Site) -> None:
    builder = await site.buildah(kept_bases=1)
    for version in ("418.94.202601010000-0", "418.94.202602020000-0"):
        base = await push(site.client, site.base.repository, base_image(version))
        site = replace(site, base=base)
        await builder.build(site.order(COPY_ONLY, motd=version), Lines().take)
    work = site.directory / "work"
    assert len(listed(work, "images")) == 2  # the base, and the last result


@only_plain
@BUILDAH
async def test_two_processes_do_not_build_in_one_directory(site: Site) -> None:
    one, other = await site.buildah(), await site.buildah()
    async with one._place.owned():
        with pytest.raises(Transient, match="another process builds"):
            await other.build(site.order(COPY_ONLY, motd="m"), Lines().take)


async def test_a_program_that_is_missing_is_refused(tmp_path: Path) -> None:
    from watcher.clients.registry import Credentials, RegistrySettings

    settings = BuildahSettings(work=tmp_path, program="no-such-buildah")
    with pytest.raises(Refused, match="install it"):
        await Buildah.found(settings, RegistrySettings(), Credentials())
