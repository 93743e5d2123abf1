"""The distribution protocol itself, spoken plainly: what our client does not use, others do."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from simulator.registry import Access, Account, SimulatedRegistry
from simulator.registry.images import base_image, push
from simulator.registry.store import digest_of
from tests.registries import (
    PASSWORD,
    USER,
    Running,
    real_registry,
    settings_for,
    simulated_registry,
)
from watcher.clients.registry import RegistryClient
from watcher.clients.registry.model import DOCKER_MANIFEST, OCI_MANIFEST

DATA = b"0123456789" * 100
DIGEST = digest_of(DATA)
ABSENT = "sha256:" + "0" * 64
KINDS = ["simulated", "directory", pytest.param("real", marks=pytest.mark.real("docker-registry"))]


STRICT = pytest.mark.parametrize("registry", KINDS[:2], indirect=True)
"""The specification asks for it; docker-registry 2.8 does not keep it."""


@pytest.fixture(params=KINDS)
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    if request.param == "directory":
        async with SimulatedRegistry(directory=tmp_path / "blobs") as held:
            yield Running(held.host, held.url, settings=settings_for(held.host, None))
        return
    real = request.param == "real"
    async with real_registry(tmp_path) if real else simulated_registry() as running:
        yield running


@pytest.fixture
async def http(registry: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=registry.url, verify=False, trust_env=False) as opened:
        yield opened


async def begun(http: httpx.AsyncClient, name: str = "team/a") -> str:
    answer = await http.post(f"/v2/{name}/blobs/uploads/")
    assert answer.status_code == 202
    return str(answer.headers["location"])


async def stored(http: httpx.AsyncClient, name: str = "team/a") -> str:
    place = httpx.URL(await begun(http, name)).copy_merge_params({"digest": DIGEST})
    assert (await http.put(place, content=DATA)).status_code == 201
    return f"/v2/{name}/blobs/{DIGEST}"


async def test_the_api_says_that_it_is_there(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v2/")).status_code == 200


async def test_a_blob_is_sent_in_chunks_with_their_places(http: httpx.AsyncClient) -> None:
    place = await begun(http)
    for first, last in ((0, 399), (400, 999)):
        headers = {"Content-Range": f"{first}-{last}"}
        answer = await http.patch(place, content=DATA[first : last + 1], headers=headers)
        assert (answer.status_code, answer.headers["range"]) == (202, f"0-{last}")
        place = answer.headers["location"]
    done = httpx.URL(place).copy_merge_params({"digest": DIGEST})
    assert (await http.put(done)).status_code == 201
    assert (await http.get(f"/v2/team/a/blobs/{DIGEST}")).content == DATA


@STRICT
async def test_a_chunk_at_a_wrong_place_is_refused(http: httpx.AsyncClient) -> None:
    place = await begun(http)
    answer = await http.patch(place, content=b"x" * 10, headers={"Content-Range": "500-509"})
    assert answer.status_code == 416


async def test_content_of_another_digest_is_refused(http: httpx.AsyncClient) -> None:
    done = httpx.URL(await begun(http)).copy_merge_params({"digest": ABSENT})
    answer = await http.put(done, content=DATA)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


async def test_an_upload_can_be_given_up(http: httpx.AsyncClient) -> None:
    place = await begun(http)
    assert (await http.delete(place)).status_code == 204
    assert (await http.patch(place, content=DATA)).status_code == 404


async def test_a_part_of_a_blob_is_given_out(http: httpx.AsyncClient) -> None:
    blob = await stored(http)
    part = await http.get(blob, headers={"Range": "bytes=990-"})
    assert (part.status_code, part.content) == (206, DATA[990:])
    assert part.headers["content-range"] == "bytes 990-999/1000"
    whole = await http.head(blob)
    assert whole.headers["content-length"] == "1000"


@STRICT
async def test_a_part_beyond_the_end_is_refused(http: httpx.AsyncClient) -> None:
    beyond = {"Range": "bytes=2000-"}
    assert (await http.get(await stored(http), headers=beyond)).status_code == 416


async def test_a_repository_gives_out_only_what_is_its_own(http: httpx.AsyncClient) -> None:
    await stored(http, "team/a")
    other = f"/v2/team/b/blobs/{DIGEST}"
    assert (await http.get(other)).status_code == 404
    ask = {"mount": DIGEST, "from": "team/a"}
    assert (await http.post("/v2/team/b/blobs/uploads/", params=ask)).status_code == 201
    assert (await http.get(other)).content == DATA


async def test_what_is_deleted_is_gone(http: httpx.AsyncClient) -> None:
    blob = await stored(http)
    assert (await http.delete(blob)).status_code == 202
    assert (await http.get(blob)).status_code == 404


@STRICT
async def test_tags_are_listed_in_pages(http: httpx.AsyncClient, registry: Running) -> None:
    image = base_image()
    async with RegistryClient.opened(registry.settings) as client:
        for tag in ("c", "a", "b"):
            await push(client, registry.repository("team/a"), image, tag=tag)
    assert (await http.get("/v2/team/a/tags/list")).json()["tags"] == ["a", "b", "c"]
    page = await http.get("/v2/team/a/tags/list", params={"n": 2})
    assert page.json() == {"name": "team/a", "tags": ["a", "b"]}
    rest = await http.get(page.links["next"]["url"])
    assert rest.json()["tags"] == ["c"]
    assert (await http.get("/v2/team/none/tags/list")).status_code == 404


async def test_a_manifest_is_given_in_a_form_that_is_accepted(
    http: httpx.AsyncClient, registry: Running
) -> None:
    image = base_image()
    async with RegistryClient.opened(registry.settings) as client:
        ref = await push(client, registry.repository("team/a"), image, tag="latest")
    manifest = f"/v2/team/a/manifests/{ref.digest}"
    accept = {"Accept": OCI_MANIFEST}
    assert (await http.get(manifest, headers=accept)).content == image.manifest
    assert (await http.get(manifest, headers={"Accept": DOCKER_MANIFEST})).status_code == 404
    assert (await http.delete(manifest)).status_code == 202
    assert (await http.get(manifest, headers=accept)).status_code == 404


async def test_a_token_gives_what_its_account_may() -> None:
    access = Access("bearer", {USER: Account(PASSWORD, pull=("team/",), push=())})
    async with simulated_registry(access=access) as registry:
        assert registry.simulated
        registry.simulated.store.add_blob("team/a", DIGEST, DATA)
        async with httpx.AsyncClient(base_url=registry.url, trust_env=False) as http:
            refused = await http.get(f"/v2/team/a/blobs/{DIGEST}")
            assert (refused.status_code, refused.headers["www-authenticate"][:7]) == (
                401,
                "Bearer ",
            )
            wrong = await http.get("/token", auth=(USER, "wrong"))
            assert wrong.status_code == 401
            scope = {"scope": "repository:team/a:pull,push"}
            token = (await http.get("/token", params=scope, auth=(USER, PASSWORD))).json()["token"]
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await http.get(f"/v2/team/a/blobs/{DIGEST}", headers=bearer)).content == DATA
            assert (await http.post("/v2/team/a/blobs/uploads/", headers=bearer)).status_code == 401
