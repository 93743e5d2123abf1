"""Builders that lie, caught on images that really are in a registry."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry.images import base_image, make_image, push
from tests.builds import COPY_ONLY, Lines, Site, site_at
from watcher.clients.builders import Append
from watcher.clients.images import RegistryImages
from watcher.core.facts import Pullspec
from watcher.core.images import BUILD_KEY
from watcher.core.verify import Expected, verify
from watcher.ports import BuildOrder, Refused

pytestmark = [pytest.mark.real("docker-registry")]
OTHER = base_image("417.94.202501010000-0")
Lie = Callable[[Site, BuildOrder], Awaitable[Pullspec]]


async def builds_on_another_base(site: Site, order: BuildOrder) -> Pullspec:
    other = await push(site.client, site.base.repository, OTHER)
    return await Append(site.access).build(replace(order, base=other), Lines().take)


async def puts_foreign_layers_first(site: Site, order: BuildOrder) -> Pullspec:
    base = (await site.client.config(site.base)).labels
    image = make_image([{"usr/bin/evil": b"x"}], labels={**base, **order.labels})
    return await push(site.client, order.target, image)


async def builds_for_another_architecture(site: Site, order: BuildOrder) -> Pullspec:
    arm = await push(site.client, site.base.repository, base_image(architecture="arm64"))
    wrong = replace(order, base=arm, platforms=("linux/arm64",))
    return await Append(site.access).build(wrong, Lines().take)


async def forgets_the_build_key(site: Site, order: BuildOrder) -> Pullspec:
    labels = {name: value for name, value in order.labels.items() if name != BUILD_KEY}
    return await Append(site.access).build(replace(order, labels=labels), Lines().take)


async def hands_back_the_base(site: Site, order: BuildOrder) -> Pullspec:
    return site.base


async def names_what_it_never_pushed(site: Site, order: BuildOrder) -> Pullspec:
    return Pullspec(f"{order.target}@sha256:{'5' * 64}")


async def judged(site: Site, order: BuildOrder, image: Pullspec) -> list[str]:
    images = RegistryImages(site.access)
    expected = Expected(
        image=image,
        base=order.base,
        architecture="amd64",
        build_key=order.labels[BUILD_KEY],
        recipe=order.recipe.digest,
        labels=order.labels,
    )
    return verify(await images.facts(order.base), await images.facts(image), expected=expected)


async def test_an_honest_builder_is_believed(tmp_path: Path) -> None:
    async with site_at(tmp_path, None) as site:
        order = site.order(COPY_ONLY, motd="m")
        image = await Append(site.access).build(order, Lines().take)
        assert await judged(site, order, image) == []


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (builds_on_another_base, "another base"),
        (puts_foreign_layers_first, "another base"),
        (forgets_the_build_key, "io.relayer.build is missing"),
        (hands_back_the_base, "the base itself"),
    ],
)
async def test_a_lying_builder_is_caught(tmp_path: Path, lie: Lie, said: str) -> None:
    async with site_at(tmp_path, None) as site:
        order = site.order(COPY_ONLY, motd="m")
        assert said in "; ".join(await judged(site, order, await lie(site, order)))


@pytest.mark.parametrize("lie", [builds_for_another_architecture, names_what_it_never_pushed])
async def test_an_image_that_cannot_be_read_as_ordered_is_refused(tmp_path: Path, lie: Lie) -> None:
    async with site_at(tmp_path, None) as site:
        order = site.order(COPY_ONLY, motd="m")
        with pytest.raises(Refused):
            await judged(site, order, await lie(site, order))


async def test_a_tag_that_moved_changes_nothing(tmp_path: Path) -> None:
    """Only the digest is followed: whoever moves the tag afterwards moves nobody."""
    async with site_at(tmp_path, None) as site:
        order = site.order(COPY_ONLY, motd="m")
        image = await Append(site.access).build(order, Lines().take)
        await push(site.client, order.target, OTHER, tag=order.tag)
        assert await judged(site, order, image) == []
        moved = (await site.client.manifest((order.target, order.tag))).ref
        assert "another base" in "; ".join(await judged(site, order, moved))
