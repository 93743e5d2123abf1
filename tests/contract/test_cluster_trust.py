"""What a cluster trusts, read from its API: release keys and signatures, additionalTrustedCA."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from simulator.apiserver import ApiServer, Fault
from simulator.apiserver import kinds as served
from simulator.cluster import Release, SimClock, SimulatedCluster
from simulator.signing import Signer
from tests.contract.scripted_api import BRIEF, VirtualTime
from tests.facts import digest, release_image
from watcher.clients.kube.cluster import KubeCluster
from watcher.clients.kube.credentials import TokenFile
from watcher.clients.signatures import GpgSignatures, Gpgv, Stores
from watcher.core.facts import ClusterName
from watcher.core.genuine import Proof
from watcher.ports import Refused, ReleaseSignatures, Transient
from watcher.settings_registry import ReleaseSettings

RELEASE = release_image("4.16.3")
MANAGED = "openshift-config-managed"
MAPS = f"/api/v1/namespaces/{MANAGED}/configmaps"
KEY = f"{RELEASE.digest.replace(':', '-')}-1"
LABELLED = {"labels": {"release.openshift.io/verification-signatures": ""}}
ANNOTATED = {"annotations": {"release.openshift.io/verification-config-map": ""}}
NOTHING = ReleaseSignatures(keys={}, stores=(), signatures=())


@asynccontextmanager
async def a_cluster(url: str) -> AsyncIterator[KubeCluster]:
    async with KubeCluster(
        ClusterName("east"), credentials=TokenFile(url), clock=VirtualTime(), limits=BRIEF
    ) as cluster:
        yield cluster


def put(api: ApiServer, name: str, meta: dict[str, Any], **said: Any) -> None:
    """A ConfigMap in openshift-config-managed; `meta`: its labels and annotations."""
    metadata = {"name": name, "namespace": MANAGED, **meta}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **said}
    api.writer.create(served.CONFIG_MAPS, document)


def put_signatures(api: ApiServer, name: str, **signatures: bytes) -> None:
    encoded = {key: base64.b64encode(raw).decode() for key, raw in signatures.items()}
    put(api, name, LABELLED, binaryData=encoded)


def put_keys(api: ApiServer, data: dict[str, str], *, annotated: bool = True) -> None:
    put(api, "release-verification", ANNOTATED if annotated else {}, data=data)


async def read(api: ApiServer) -> ReleaseSignatures:
    async with a_cluster(api.url) as cluster:
        return await cluster.release_signatures(RELEASE.digest)


async def test_a_cluster_that_holds_nothing_says_so() -> None:
    async with ApiServer.start() as api:
        assert await read(api) == NOTHING


async def test_keys_stores_and_the_signatures_of_this_release_are_read() -> None:
    async with ApiServer.start() as api:
        keys = {"verifier-public-key-b": "B", "verifier-public-key-a": "A", "other": "x"}
        put_keys(api, {**keys, "store-b": "https://b\n", "store-a": "https://a"})
        another = digest("another release").replace(":", "-") + "-1"
        put_signatures(api, "mirrored", **{KEY: b"one", KEY[:-1] + "2": b"two", another: b"no"})
        put_signatures(api, "signatures-managed", **{KEY[:-1] + "0": b"one", KEY[:-1] + "3": b"3"})
        assert await read(api) == ReleaseSignatures(
            keys={"verifier-public-key-a": b"A", "verifier-public-key-b": b"B"},
            stores=("https://a", "https://b"),
            signatures=(b"one", b"two", b"3"),
        )


async def test_keys_of_a_config_map_without_the_annotation_do_not_count() -> None:
    async with ApiServer.start() as api:
        keys = {"verifier-public-key-a": "A", "store-a": "https://a"}
        put_keys(api, keys, annotated=False)
        assert await read(api) == NOTHING


async def test_signatures_without_the_label_do_not_count() -> None:
    async with ApiServer.start() as api:
        put(api, "unlabelled", {}, binaryData={KEY: base64.b64encode(b"one").decode()})
        assert (await read(api)).signatures == ()


async def test_signatures_are_read_page_by_page_and_not_without_end() -> None:
    async with ApiServer.start() as api:
        for number in range(45):
            put_signatures(api, f"mirrored-{number:02}", **{KEY: b"%d" % number})
        assert len((await read(api)).signatures) == 20
        pages = [r.query for r in api.requests.find(path=MAPS)]
        assert [page["limit"] for page in pages] == ["20"] * 3
        assert all(p["labelSelector"].endswith("verification-signatures") for p in pages)


async def test_what_is_no_base64_is_left_to_whoever_checks_it() -> None:
    async with ApiServer.start() as api:
        put(api, "broken", LABELLED, binaryData={KEY: "!"})
        put(api, "of-another-form", LABELLED, binaryData=["?"])
        assert (await read(api)).signatures == (b"",)


async def test_what_may_not_be_read_does_not_look_absent() -> None:
    for verb in ("get", "list"):
        async with ApiServer.start() as api:
            put_keys(api, {"verifier-public-key-a": "A"})
            api.denials.deny([verb], "configmaps")
            with pytest.raises(Refused, match=rf"resources: \[configmaps\], verbs: \[{verb}\]"):
                await read(api)


async def test_a_server_in_trouble_is_transient() -> None:
    async with ApiServer.start() as api:
        api.faults.add(Fault(code=503))
        with pytest.raises(Transient, match="503"):
            await read(api)


# --- as the simulated cluster holds them ----------------------------------------------------------


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    with Signer.made() as made:
        yield made


def release(version: str, *, signed: bool = True) -> Release:
    base = f"quay.io/openshift-release-dev/ocp-v4.0-art-dev@{digest(version)}"
    return Release(version=version, image=str(release_image(version)), os_image=base, signed=signed)


def verified(cluster: SimulatedCluster) -> list[bool]:
    found = cluster.world.store.get(served.CLUSTER_VERSIONS, "version").object
    return [entry["verified"] for entry in found["status"]["history"]]


@pytest.mark.real("gpg")
@pytest.mark.parametrize("signed", [True, False])
async def test_a_signed_release_is_verified_when_it_is_taken(signer: Signer, signed: bool) -> None:
    clock = SimClock()
    async with ApiServer.start(now=clock.now) as api:
        cluster = SimulatedCluster.create(
            api, release=release("4.16.1"), clock=clock, signer=signer
        )
        assert (await read(api)).signatures == ()
        cluster.start_upgrade(release("4.16.3", signed=signed))
        await cluster.advance(30)
        assert verified(cluster) == [signed, True]
        found = await read(api)
        assert list(found.keys.values()) == [signer.public_key.encode()]
        assert len(found.signatures) == int(signed)


@pytest.mark.real("gpg", "gpgv")
async def test_a_signed_release_of_a_simulated_cluster_is_genuine(signer: Signer) -> None:
    async with ApiServer.start() as api:
        SimulatedCluster.create(api, release=release("4.16.3"), signer=signer)
        async with a_cluster(api.url) as cluster, Stores() as stores:
            asked = GpgSignatures(
                ReleaseSettings(),
                {cluster.name: cluster},
                gpgv=Gpgv(),
                stores=stores,
                clock=VirtualTime(),
            )
            said = await asked.verdict(cluster.name, RELEASE)
            assert (said.proof, said.signers) == (Proof.GOOD, (signer.fingerprint,))
            other = await asked.verdict(cluster.name, release_image("4.16.4"))
            assert other.proof is Proof.MISSING


async def test_without_a_signer_a_simulated_cluster_takes_releases_unverified() -> None:
    async with ApiServer.start() as api:
        cluster = SimulatedCluster.create(api, release=release("4.16.3"))
        assert verified(cluster) == [False]
        assert await read(api) == NOTHING


# --- additionalTrustedCA --------------------------------------------------------------------------

IMAGES = "/apis/config.openshift.io/v1/images/cluster"
CA_MAP = "/api/v1/namespaces/openshift-config/configmaps/registry-cas"


@asynccontextmanager
async def answering(answers: dict[str, tuple[int, object]]) -> AsyncIterator[KubeCluster]:
    """An API server that knows only these paths."""

    async def answer(request: web.Request) -> web.Response:
        status, body = answers.get(request.path, (404, {"kind": "Status", "code": 404}))
        return web.Response(status=status, text=json.dumps(body), content_type="application/json")

    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with a_cluster(f"http://127.0.0.1:{runner.addresses[0][1]}") as cluster:
            yield cluster
    finally:
        await runner.cleanup()


def image_config(name: str = "registry-cas") -> tuple[int, object]:
    return 200, {"metadata": {"name": "cluster"}, "spec": {"additionalTrustedCA": {"name": name}}}


async def test_trusted_authorities_are_read_and_ports_are_put_right() -> None:
    data = {
        "registry.example.com": "PEM 1",
        "registry.example.com..5000": "PEM 2",
        "odd..name": "PEM 3",
    }
    found = {"metadata": {"name": "registry-cas"}, "data": data}
    async with answering({IMAGES: image_config(), CA_MAP: (200, found)}) as cluster:
        assert await cluster.trusted_cas() == {
            "registry.example.com": "PEM 1",
            "registry.example.com:5000": "PEM 2",
            "odd..name": "PEM 3",
        }


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({}, id="no image configuration"),
        pytest.param({IMAGES: (200, {"spec": {}})}, id="none named"),
        pytest.param({IMAGES: image_config("")}, id="an empty name"),
        pytest.param(
            {IMAGES: image_config(), CA_MAP: (200, {"metadata": {"name": "a"}})}, id="no data"
        ),
    ],
)
async def test_without_trusted_authorities_there_are_none(
    answers: dict[str, tuple[int, object]],
) -> None:
    async with answering(answers) as cluster:
        assert await cluster.trusted_cas() == {}


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        pytest.param({IMAGES: image_config()}, "openshift-config/registry-cas, which", id="gone"),
        pytest.param(
            {IMAGES: image_config("registry-cas?x=y"), CA_MAP: (200, {"metadata": {"name": "a"}})},
            "registry-cas.x=y, which",
            id="a name that is part of an address",
        ),
        pytest.param(
            {IMAGES: (403, {})}, r"resources: \[images\], verbs: \[get\]", id="403 of the image"
        ),
        pytest.param(
            {IMAGES: image_config(), CA_MAP: (403, {})}, r"\[configmaps\]", id="403 of the map"
        ),
        pytest.param({IMAGES: (200, [])}, "cannot be read", id="not an object"),
        pytest.param(
            {IMAGES: image_config(), CA_MAP: (200, {"data": 1})}, "cannot be read", id="data 1"
        ),
    ],
)
async def test_trusted_authorities_that_cannot_be_had_are_told(
    answers: dict[str, tuple[int, object]], says: str
) -> None:
    async with answering(answers) as cluster:
        with pytest.raises(Refused, match=says):
            await cluster.trusted_cas()


async def test_a_server_that_gives_the_same_page_again_is_left() -> None:
    page = {"metadata": {"continue": "again"}, "items": []}
    async with answering({MAPS: (200, page)}) as cluster:
        with pytest.raises(Refused, match="the same page again"):
            await cluster.release_signatures(RELEASE.digest)


async def test_signatures_without_an_end_are_left() -> None:
    item = {"binaryData": {"other": "A" * 33 * 1024 * 1024}}
    page = {"metadata": {"continue": "more"}, "items": [item]}
    async with answering({MAPS: (200, page)}) as cluster:
        with pytest.raises(Refused, match="signatures of more than 67108864 bytes"):
            await cluster.release_signatures(RELEASE.digest)
