"""Reading through mirrors: who is asked, what counts, and what is told when nobody has it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry import Access, Account
from simulator.registry.images import base_image, push
from tests.mirrored import (
    BLOBS,
    IMAGE,
    LARGE,
    LAYER,
    MANIFESTS,
    NOBODY,
    SOURCE,
    World,
    a_world,
    fail,
    put_blob,
    read,
    seen,
)
from tests.registries import PASSWORD, USER, PrivateCa, simulated_registry
from watcher.clients.registry import (
    Carried,
    Credentials,
    Descriptor,
    NotFound,
    RegistryClient,
    Tampered,
)
from watcher.clients.registry.errors import Untrusted
from watcher.clients.registry.model import digest_of
from watcher.core.facts import Pullspec, Repository
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.ports import Refused, Transient


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def everything(client: RegistryClient, ref: Pullspec) -> None:
    manifest = await client.platform_manifest(ref)
    assert (manifest.repository, manifest.ref) == (ref.repository, ref)
    assert (await client.config_of(manifest)).digest == digest_of(IMAGE.config)
    assert (await client.head(ref)).digest == ref.digest
    assert await client.exists(ref)
    assert await client.blob_exists(ref.repository, digest_of(LAYER))
    assert await read(client, ref.repository, LAYER) == LAYER
    await client.readable(ref)


async def test_bytes_come_from_the_first_mirror_and_keep_the_name_of_the_source(
    world: World,
) -> None:
    await everything(await world.client(), world.ref)
    assert seen(world.first) > 0
    assert seen(world.second) + seen(world.source) == 0


async def test_without_mirrors_the_source_is_asked(world: World) -> None:
    await everything(await world.client(Mirrors()), world.ref)
    assert seen(world.first) + seen(world.second) == 0


async def test_the_source_comes_last_and_not_at_all_where_it_is_forbidden(world: World) -> None:
    for one in (world.first, world.second):
        for method in ("GET", "HEAD"):
            fail(one, "status", method=method, status=404)
    await everything(await world.client(), world.ref)
    before = seen(world.source)
    client = await world.client(world.rules(never=True))
    with pytest.raises(NotFound, match=world.second.host):
        await client.manifest(world.ref)
    assert not await client.exists(world.ref)
    assert seen(world.source) == before


async def test_a_forbidden_source_without_a_mirror_is_refused(world: World) -> None:
    client = await world.client(world.rules(never=True))
    with pytest.raises(Refused, match=r"NeverContactSource.*by tag"):
        await client.manifest((world.name, "x"))
    assert seen(world.source) == 0


async def test_a_tag_is_looked_for_by_the_rules_for_tags_only(world: World) -> None:
    digests, tags = await world.client(), await world.client(world.rules(tags=True))
    assert (await digests.manifest((world.name, "x"))).ref == world.ref
    assert (seen(world.first), seen(world.source)) == (0, 1)
    assert (await tags.manifest((world.name, "x"))).ref == world.ref
    assert (await tags.head((world.name, "x"))).digest == IMAGE.digest
    assert (seen(world.first), seen(world.source)) == (1, 1)
    await tags.using().manifest(world.ref)  # a client that has seen no tag
    assert (seen(world.first), seen(world.source)) == (1, 2)


# --- one place fails ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 416, 429, 500, 503])
async def test_a_mirror_that_says_no_is_passed_by(world: World, status: int) -> None:
    for method in ("GET", "HEAD"):
        fail(world.first, "status", method=method, status=status)
    await everything(await world.client(), world.ref)
    assert seen(world.source) == 0


async def test_a_mirror_with_a_wrong_manifest_is_passed_by(world: World) -> None:
    fail(world.first, "corrupt", MANIFESTS)
    client = await world.client()
    assert (await client.manifest(world.ref)).raw == IMAGE.manifest
    fail(world.second, "corrupt", MANIFESTS)
    with pytest.raises(Tampered, match=rf"{world.first.host}.*{world.second.host}"):
        await (await world.client(world.rules(never=True))).manifest(world.ref)


async def test_a_mirror_with_a_tampered_blob_is_passed_by(world: World) -> None:
    fail(world.first, "corrupt", BLOBS)
    client = await world.client()
    assert await read(client, world.name, LAYER) == LAYER
    named = Descriptor("x", digest_of(IMAGE.config), len(IMAGE.config))
    assert await client.small_blob(world.name, named, limit=10_000, name="c") == IMAGE.config
    fail(world.second, "corrupt", BLOBS)
    with pytest.raises(Tampered, match=rf"{world.first.host}.*{world.second.host}"):
        await read(await world.client(world.rules(never=True)), world.name, LAYER)


async def test_bad_bytes_that_were_handed_out_already_are_told_with_their_place(
    world: World,
) -> None:
    """What is too large to be held is the caller's to throw away; asking again goes elsewhere."""
    fail(world.first, "corrupt", BLOBS)
    client = await world.client()
    with pytest.raises(Tampered, match=world.first.host):
        await read(client, world.name, LAYER, sized=False)
    assert await read(client, world.name, LAYER, sized=False) == LAYER


async def test_a_mirror_whose_head_names_another_digest_is_passed_by(world: World) -> None:
    lie = (("Docker-Content-Digest", digest_of(b"other")), ("Content-Type", "x"))
    fail(world.first, "status", MANIFESTS, method="HEAD", status=200, headers=lie)
    client = await world.client()
    assert (await client.head(world.ref)).digest == IMAGE.digest
    assert seen(world.second, "HEAD") == 1


async def test_a_manifest_beyond_the_limit_is_passed_by(world: World) -> None:
    fail(world.first, "status", MANIFESTS, status=200, body=b"x" * 5_000_000)
    client = await world.client()
    assert (await client.manifest(world.ref)).raw == IMAGE.manifest


@pytest.mark.parametrize("kind", ["cut", "hang-mid-blob"])
async def test_a_blob_that_breaks_off_is_continued_at_the_next_place(
    world: World, kind: str
) -> None:
    if kind == "cut":
        fail(world.first, "cut", BLOBS, after=50)
    else:
        fail(world.first, "slow", BLOBS, pause_seconds=30.0)
    client = await world.client(read_seconds=0.2)
    assert await read(client, world.name, LAYER) == LAYER
    asked = seen(world.first)
    assert await read(client, world.name, IMAGE.config) == IMAGE.config
    assert seen(world.first) == asked, "it is remembered"
    assert world.second.simulated
    ranges = [one.headers.get("Range") for one in world.second.simulated.requests]
    assert (ranges[0] is not None) is (kind == "cut")


async def test_a_mirror_that_hangs_in_the_middle_of_a_large_blob_is_left(world: World) -> None:
    image = replace(IMAGE, layers=(LARGE,), manifest=b"")
    for one in (world.first, world.second):
        await put_blob(one, image.layers[0], f"mirror/{SOURCE.path}")
    fail(world.first, "slow", BLOBS, pause_seconds=0.05)
    client = await world.client(blob_seconds=0.3)
    assert await read(client, world.name, LARGE) == LARGE
    assert world.second.simulated
    (asked,) = world.second.simulated.requests
    assert asked.headers["Range"].startswith("bytes=")


async def test_a_mirror_that_does_not_begin_to_answer_is_left_in_time(world: World) -> None:
    fail(world.first, "hang")
    client = await world.client(call_seconds=0.2)
    named = Descriptor("x", digest_of(IMAGE.config), len(IMAGE.config))
    async with asyncio.timeout(5):
        assert await client.small_blob(world.name, named, limit=10_000, name="c") == IMAGE.config
        fail(world.first, "hang", method="HEAD")
        assert (await (await world.client(call_seconds=0.2)).head(world.ref)).digest == IMAGE.digest


async def test_a_bad_rest_after_a_good_beginning_blames_nobody_before_it_is_heard_alone(
    world: World,
) -> None:
    """Whose bytes were bad cannot be told: so the second is asked once more, from the start."""
    fail(world.first, "cut", BLOBS, after=50)
    rest = (("Content-Range", f"bytes 50-{len(LAYER) - 1}/{len(LAYER)}"),)
    fail(
        world.second,
        "status",
        BLOBS,
        status=206,
        body=b"z" * (len(LAYER) - 50),
        headers=rest,
        count=1,
    )
    client = await world.client(world.rules(never=True))
    assert await read(client, world.name, LAYER) == LAYER


async def test_a_mirror_whose_certificate_is_not_trusted_is_passed_by(
    world: World, tmp_path: Path
) -> None:
    async with simulated_registry(tls=PrivateCa.made_in(tmp_path)) as private:
        rule = MirrorRule(
            source=world.source.host, mirrors=(f"{private.host}/m", f"{world.first.host}/mirror")
        )
        client = await world.client(Mirrors((rule,)))
        await everything(client, world.ref)
        only = replace(rule, mirrors=(f"{private.host}/m",), never_contact_source=True)
        with pytest.raises(Untrusted, match=rf"{private.host}/m/ocp/base: .*certificate"):
            await (await world.client(Mirrors((only,)))).manifest(world.ref)


async def test_there_are_few_attempts_while_there_are_others(world: World) -> None:
    for one in (world.first, world.second, world.source):
        fail(one, "status", MANIFESTS, status=503)
    with pytest.raises(Transient):
        await (await world.client()).manifest(world.ref)
    assert [seen(one) for one in (world.first, world.second, world.source)] == [2, 2, 5]


# --- what is remembered ---------------------------------------------------------------------


async def test_a_place_that_is_down_is_asked_last_by_everybody_on_the_same_connections(
    world: World,
) -> None:
    fail(world.first, "status", MANIFESTS, status=503)
    client = await world.client()
    await client.manifest(world.ref)
    asked = seen(world.first)
    await client.manifest(world.ref)
    await client.using(Credentials()).manifest(world.ref)
    assert seen(world.first) == asked


async def test_who_was_turned_away_does_not_decide_for_another_login(tmp_path: Path) -> None:
    accounts = {USER: Account(PASSWORD)}
    async with a_world(Access("basic", accounts)) as world:
        client = await world.client()
        await client.manifest(world.ref)
        asked = seen(world.first)
        await client.manifest(world.ref)
        assert seen(world.first) == asked, "no login there: asked last"
        friend = client.using(Credentials.parse(world.first.auth_json()))
        await friend.manifest(world.ref)
        assert seen(world.first) > asked


# --- nobody has it --------------------------------------------------------------------------


async def test_an_image_that_may_be_where_nobody_answers_is_not_called_absent(
    world: World,
) -> None:
    rule = MirrorRule(source="127.0.0.1:1", mirrors=(f"{world.first.host}/mirror",))
    client = await world.client(Mirrors((rule,)), attempts=1)
    assert await client.exists(Repository(NOBODY).at(IMAGE.digest))
    with pytest.raises(Transient, match=r"answered 404.*127\.0\.0\.1:1/ocp/base: .*no connection"):
        await client.exists(Repository(NOBODY).at(digest_of(b"other")))


# --- writing --------------------------------------------------------------------------------


async def test_what_is_pushed_goes_to_the_place_itself(world: World) -> None:
    client = await world.client()
    new = base_image("419.1")
    await push(await world.client(Mirrors()), world.at(world.first), new)
    blob = Descriptor("x", digest_of(new.layers[0]), len(new.layers[0]))
    assert await client.blob_exists(world.name, blob.digest), "a mirror has it"
    assert world.first.simulated
    world.first.simulated.requests.clear()
    here = Repository(f"{world.source.host}/elsewhere")
    assert await client.copy_blob(blob, source=world.name, target=here) is Carried.COPIED
    assert await client.copy_blob(blob, source=here, target=world.name) is Carried.MOUNTED
    assert await client.direct.blob_exists(world.name, blob.digest)
    await client.upload_blob(world.name, new.config, digest=digest_of(new.config))
    for layer in new.layers:
        await client.upload_blob(world.name, layer, digest=digest_of(layer))
    await client.put_manifest(world.name, "pushed", media_type=new.media_type, raw=new.manifest)
    assert await client.direct.exists((world.name, "pushed"))
    written = [one for one in world.first.simulated.requests if one.method not in {"GET", "HEAD"}]
    assert written == []


async def test_a_blob_is_mounted_from_a_mirror_in_the_registry_of_the_target(world: World) -> None:
    client = await world.client(world.rules(never=True))
    blob = Descriptor("x", digest_of(LAYER), len(LAYER))
    target = world.second.repository("layered")
    assert await client.copy_blob(blob, source=world.name, target=target) is Carried.MOUNTED
    assert seen(world.first) == 0


async def test_a_copy_of_a_blob_tampered_with_at_one_mirror_is_made_from_the_next(
    world: World,
) -> None:
    for one in (world.first, world.second):
        await put_blob(one, LARGE, f"mirror/{SOURCE.path}")
    fail(world.first, "corrupt", BLOBS)
    client = await world.client()
    blob = Descriptor("x", digest_of(LARGE), len(LARGE))
    target = world.source.repository("layered")
    assert await client.copy_blob(blob, source=world.name, target=target) is Carried.COPIED
    assert await client.direct.blob_exists(target, blob.digest)


async def test_what_another_login_can_pull_is_asked_of_the_mirrors_too(world: World) -> None:
    fail(world.source, "status", status=404)
    await (await world.client()).pullable(world.ref, Credentials())
    assert seen(world.first) > 0
