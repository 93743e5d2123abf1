"""A cluster that cannot reach the source: all there is lives in a mirror.

The source's host does not resolve, as where there is no way out.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import pytest

from simulator.registry import Fault
from simulator.registry.images import base_image, index_of, push, release_image
from tests.builds import COPY_ONLY, Lines, base_with_shell, order_for, write_recipe
from tests.registries import PrivateCa, Running, real_registry, simulated_registry
from watcher.clients.access import Fixed, Ways
from watcher.clients.builders import Append, Buildah, BuildahSettings, manifests
from watcher.clients.images import RegistryImages
from watcher.clients.registry import RegistryClient, read_payload
from watcher.core.facts import Pullspec, Repository
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.ports import BuildOrder, Transient

T = TypeVar("T", bound=Callable[..., object])
RELEASE = Repository("source.invalid/ocp/release")
PARTS = Repository("source.invalid/ocp/parts")
REAL = pytest.mark.real("docker-registry")
BUILDAH = [pytest.mark.real("buildah")]
BASE = base_with_shell()
any_builder = pytest.mark.parametrize("builder", ["append", pytest.param("buildah", marks=BUILDAH)])
_SIMULATED = pytest.mark.parametrize("mirror", ["simulated"], indirect=True)
_FORBIDDEN = pytest.mark.parametrize("island", [True], ids=["never-contact-source"], indirect=True)


def in_one_way(test: T) -> T:
    """For what does not hang on the registry or the policy."""
    one: T = _SIMULATED(_FORBIDDEN(test))
    return one


@dataclass(frozen=True)
class Island:
    """A mirror with a release and its base, and nothing else that answers."""

    mirror: Running
    access: Fixed
    directory: Path
    base: Pullspec

    def under(self, *given: MirrorRule) -> "Island":
        """The same with these mirror sets only."""
        mirrors = Mirrors(given)
        said = replace(self.access.said, mirrors=mirrors)
        return replace(self, access=Fixed(self.client.using(mirrors=mirrors), said))

    async def builder(self, name: str) -> Append | Buildah:
        return Append(self.access) if name == "append" else await self.buildah()

    @property
    def client(self) -> RegistryClient:
        return self.access.one

    def order(self, text: str = COPY_ONLY) -> BuildOrder:
        recipe = write_recipe(self.directory / "recipe", text, {"motd": "hello\n"})
        return order_for(recipe, self.base, self.mirror.repository("layered"))

    async def buildah(self) -> Buildah:
        settings = BuildahSettings(work=self.directory / "work")
        return await Buildah.found(settings, self.mirror.settings, self.access)


def rules(mirror: Running, *, never: bool) -> tuple[MirrorRule, ...]:
    return (
        MirrorRule(
            source="source.invalid/ocp/release",
            mirrors=("dead.invalid/ocp", f"{mirror.host}/mirrored/release"),
            never_contact_source=never,
        ),
        MirrorRule(
            source="*.invalid",
            mirrors=(f"{mirror.host}/mirrored",),
            never_contact_source=never,
        ),
        MirrorRule(
            source="source.invalid/ocp/release",
            mirrors=(f"{mirror.host}/tags/release",),
            by_digest=False,
        ),
    )


async def fill(mirror: Running) -> Pullspec:
    """Mirror a release and its parts; return the release by the name of its source."""
    release = release_image("4.18.30", {"rhel-coreos": PARTS.at(BASE.digest)})
    async with RegistryClient.opened(mirror.settings, mirror.credentials) as client:
        await push(client, mirror.repository("mirrored/release"), release)
        await push(client, mirror.repository("tags/release"), release, tag="4.18.30")
        await push(client, mirror.repository("mirrored/ocp/parts"), BASE)
    return RELEASE.at(release.digest)


@pytest.fixture(params=["simulated", pytest.param("real", marks=REAL)])
async def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    ca = PrivateCa.made_in(tmp_path / "ca")
    opened = (
        real_registry(tmp_path / "registry", basic=True, tls=ca)
        if request.param == "real"
        else simulated_registry(basic=True, tls=ca)
    )
    async with opened as running:
        yield running


@pytest.fixture(params=[False, True], ids=["source-last", "never-contact-source"])
async def island(
    request: pytest.FixtureRequest, mirror: Running, tmp_path: Path
) -> AsyncIterator[Island]:
    await fill(mirror)
    ways = Ways(credentials=mirror.credentials, mirrors=Mirrors(rules(mirror, never=request.param)))
    async with RegistryClient.opened(
        mirror.settings, ways.credentials, mirrors=ways.mirrors
    ) as client:
        yield Island(mirror, Fixed(client, ways), tmp_path, PARTS.at(BASE.digest))


async def test_a_release_is_read_and_names_its_images_as_it_was_published(island: Island) -> None:
    release = (await island.client.manifest((RELEASE, "4.18.30"))).ref
    payload = await read_payload(island.client, release)
    assert payload.image == release
    assert payload.image_for("rhel-coreos") == island.base
    manifest = await island.client.platform_manifest(island.base)
    assert manifest.ref == island.base
    assert (await island.client.config_of(manifest)).raw == BASE.config
    facts = await RegistryImages(island.access).facts(island.base)
    assert facts.image == island.base


@any_builder
async def test_an_image_is_built_on_a_base_that_only_a_mirror_has(
    island: Island, builder: str
) -> None:
    order = island.order()
    image = await (await island.builder(builder)).build(order, Lines().take)
    config = await island.client.config(image)
    base = await island.client.config(island.base)
    assert config.diff_ids[: len(base.diff_ids)] == base.diff_ids
    assert config.labels.items() >= order.labels.items()
    await RegistryImages(island.access).check_pullable(image, island.mirror.auth_json().encode())


@in_one_way
@any_builder
async def test_without_the_mirror_sets_there_is_no_base(island: Island, builder: str) -> None:
    alone = island.under()
    with pytest.raises(Transient, match=r"source\.invalid"):
        await (await alone.builder(builder)).build(alone.order(), Lines().take)


@in_one_way
@any_builder
async def test_a_mirror_that_is_down_is_tried_again_later(island: Island, builder: str) -> None:
    dead = MirrorRule(source="*.invalid", mirrors=("127.0.0.1:1/x",), never_contact_source=True)
    cut_off = island.under(dead)
    with pytest.raises(Transient, match=r"127\.0\.0\.1:1"):
        await (await cut_off.builder(builder)).build(cut_off.order(), Lines().take)


@in_one_way
@any_builder
@pytest.mark.parametrize("platforms", [("linux/amd64",), ("linux/amd64", "linux/arm64")])
async def test_what_is_built_is_pushed_to_the_target_itself(
    island: Island, builder: str, platforms: tuple[str, ...]
) -> None:
    """Even if it is a source that nodes must not contact, and a mirror has an image of the tag."""
    client, host = island.client, island.mirror.host
    both = index_of(base_image(), base_image(architecture="arm64"))
    await push(client, island.mirror.repository("mirrored/ocp/parts"), both)
    order = replace(island.order(), base=PARTS.at(both.digest), platforms=platforms)
    old = index_of(base_image("417.1"), base_image("417.1", architecture="arm64"))
    await push(client, island.mirror.repository("stale"), old, tag=order.tag)
    about = MirrorRule(source=order.target, mirrors=(f"{host}/stale",), never_contact_source=True)
    mirrored = island.under(
        *island.access.said.mirrors.rules, about, replace(about, by_digest=False)
    )
    image = await (await mirrored.builder(builder)).build(order, Lines().take)
    pushed = await client.direct.manifest((order.target, order.tag))
    assert pushed.digest == image.digest
    assert pushed.is_index is (len(platforms) > 1)
    for name in platforms:
        platform = manifests.platform(name)
        config = await client.direct.config(image, platform)
        base = await client.config(order.base, platform)
        assert config.diff_ids[: len(base.diff_ids)] == base.diff_ids


@in_one_way
@pytest.mark.parametrize("kind", ["corrupt", "cut"])
async def test_a_release_whose_layer_is_bad_at_one_mirror_is_read_from_the_next(
    island: Island, kind: Literal["corrupt", "cut"]
) -> None:
    host = island.mirror.host
    rule = MirrorRule(source=RELEASE, mirrors=(f"{host}/bad", f"{host}/mirrored/release"))
    release = release_image("4.18.31", {"rhel-coreos": island.base})
    for path in ("bad", "mirrored/release"):
        await push(island.client, island.mirror.repository(path), release)
    assert island.mirror.simulated
    bad = Fault(kind, path="/v2/bad/blobs/.*", count=99, after=40)
    island.mirror.simulated.faults.append(bad)
    payload = await read_payload(island.under(rule).client, RELEASE.at(release.digest))
    assert payload.image_for("rhel-coreos") == island.base


@in_one_way
@pytest.mark.parametrize("named", ["cluster", "certs.d"])
@pytest.mark.real("buildah")
async def test_buildah_trusts_what_the_cluster_and_certs_d_name(
    island: Island, tmp_path: Path, named: str
) -> None:
    mirror, said = island.mirror, island.access.said
    assert mirror.ca_file
    settings = replace(mirror.settings, ca_files={})
    if named == "cluster":
        said = replace(said, trusted={mirror.host: mirror.ca_file.read_text()})
    else:
        directory = tmp_path / "certs.d" / mirror.host
        directory.mkdir(parents=True)
        (directory / "any.crt").write_bytes(mirror.ca_file.read_bytes())
        settings = replace(settings, certs_dirs=(tmp_path / "none", tmp_path / "certs.d"))
    access = Fixed(island.client, said)
    builder = await Buildah.found(BuildahSettings(work=tmp_path / "w"), settings, access)
    assert await builder.build(island.order(), Lines().take)
