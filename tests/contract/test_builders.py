"""What every builder promises, on real registries with a login and a private CA."""

import gzip
import tarfile
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry.images import base_image, index_of, push
from tests.builds import COPY_ONLY, Lines, Site, order_for, top_layer
from tests.registries import PrivateCa, real_registry
from watcher.clients.access import Fixed
from watcher.clients.builders import Append, AppendSettings
from watcher.clients.registry import Platform, RegistryClient
from watcher.core.facts import Pullspec
from watcher.ports import Builder, Refused, Transient

pytestmark = [pytest.mark.real("docker-registry")]
BUILDAH = pytest.mark.real("buildah")


only_plain = pytest.mark.parametrize("site", ["plain"], indirect=True)


@pytest.fixture(params=["append", pytest.param("buildah", marks=BUILDAH)])
async def builder(request: pytest.FixtureRequest, site: Site) -> Builder:
    return Append(site.access) if request.param == "append" else await site.buildah()


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
    for builder in (Append(site.access), await site.buildah()):
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
    manifest = await site.client.manifest(await Append(site.access).build(order, Lines().take))
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
                await Append(Fixed(client)).build(order, lines.take)
                assert how in "\n".join(lines)


@only_plain
async def test_labels_alone_make_no_layer(site: Site) -> None:
    order = site.order("FROM x.y/z\nLABEL a=b\nENV C=d\n")
    config = await site.client.config(await Append(site.access).build(order, Lines().take))
    assert config.diff_ids == (await site.client.config(site.base)).diff_ids
    assert config.labels["a"] == "b"


@only_plain
async def test_an_archive_under_another_name_is_not_added(site: Site) -> None:
    order = site.order("FROM x.y/z\nADD data.bin /etc/app.d/data.bin\n")
    (order.context / "data.bin").write_bytes(gzip.compress(b"x"))
    order = order_for(order.context, site.base, order.target)
    with pytest.raises(Refused, match="unpack"):
        await Append(site.access).build(order, Lines().take)


@only_plain
async def test_a_place_that_cannot_be_written_is_said(site: Site, tmp_path: Path) -> None:
    settings = AppendSettings(scratch=tmp_path / "missing")
    with pytest.raises(Transient, match="cannot be written"):
        await Append(site.access, settings).build(site.order(COPY_ONLY, motd="m"), Lines().take)
