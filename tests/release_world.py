"""A vendor's registry with releases, an update service, and clusters: for commands beside `oc`."""

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from simulator.apiserver import ApiServer
from simulator.apiserver.kinds import CLUSTER_VERSIONS
from simulator.cluster import Release, SimClock, SimulatedCluster
from simulator.registry.images import (
    MadeImage,
    MadeIndex,
    Tag,
    base_image,
    make_image,
    push_to,
    release_image,
)
from simulator.signing import Signer
from tests.facts import digest, image
from tests.registries import Running
from watcher.cli import main
from watcher.core import images
from watcher.core.facts import Pullspec

ART = "quay.io/openshift-release-dev/ocp-v4.0-art-dev"
OS, CLI = image("the OS image", ART), image("the client", ART)
GONE = "registry.example.com/ocp/release@" + digest("a release that nobody reads")
BUILT = {
    "4.16.1": "416.94.202408010000-0",
    "4.16.3": "416.94.202409040013-0",
    "4.17.2": "417.94.202411010000-0",
    "4.17.3": "417.94.202411080000-0",
}
"""Release → version of its OS image."""
OURS = {
    images.BUILD_KEY: "key-1",
    images.RECIPE: digest("recipe"),
    images.BASE_DIGEST: OS.digest,
    images.BASE_NAME: OS.repository,
    images.RELEASE: "4.16.3",
    images.VERSION: BUILT["4.16.3"],
}
_EMPTIED = (
    "REGISTRY_AUTH_FILE",
    "DOCKER_CONFIG",
    "XDG_CONFIG_HOME",
    "KUBECONFIG",
    "RELAYER_CONFIG",
)
Tags = Mapping[str, Tag | str]


@dataclass(frozen=True)
class Ran:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


async def relayer(*words: object, code: int = 0) -> Ran:
    """Run a command of this process as a shell would; check its exit code."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        got = await asyncio.to_thread(main, [str(word) for word in words])
    structlog.reset_defaults()  # a command that asks a cluster logs to the stderr that it had
    ran = Ran(got, out.getvalue(), err.getvalue())
    assert got == code, f"exit code {got}: {ran.out}{ran.err}"
    assert "Traceback" not in ran.err
    return ran


def nobody_at_home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty home the user's: with the logins, clusters and proxies of nobody."""
    home = directory / "home"
    home.mkdir()
    for name in (*_EMPTIED, *(name for name in os.environ if name.lower().endswith("_proxy"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    return home


@dataclass
class Vendor:
    """A registry, and a configuration that reaches it."""

    running: Running
    directory: Path
    said: dict[str, Any] = field(default_factory=dict)
    """The configuration beside `registry.plain_http`."""

    async def push(self, path: str, made: MadeImage | MadeIndex, *, tag: str = "") -> Pullspec:
        at = self.running
        return await push_to(
            at.url,
            path,
            made,
            tag=tag or None,
            credentials=at.credentials,
            settings=at.settings,
        )

    async def release(
        self, version: str = "4.16.3", tags: Tags | None = None, *, tag: str = "", **more: Any
    ) -> Pullspec:
        """Push a release that names these images, by default an OS image and a client."""
        tags = {"rhel-coreos": OS, "cli": CLI} if tags is None else tags
        return await self.push("ocp/release", release_image(version, tags, **more), tag=tag)

    @property
    def config(self) -> Path:
        said = {"registry": {"plain_http": [self.running.host]}, **self.said}
        return write_json(self.directory / "relayer.yaml", said)

    async def image_for(self, *words: object, code: int = 0) -> Ran:
        return await relayer("image-for", *words, "-c", self.config, code=code)

    async def json(self, *words: object) -> Any:
        return (await self.image_for(*words, "-o", "json")).json()

    async def lineage(self, *words: object, code: int = 0) -> Ran:
        return await relayer("lineage", *words, "-c", self.config, code=code)


async def dual(vendor: Vendor) -> dict[str, Pullspec]:
    """Push a release of two streams as ocp/release:dual; return its OS images.

    Of which stream an image is only its labels tell.
    """
    versions = {"rhel-coreos": "9.8.20260601-0", "rhel-coreos-10": "10.2.20260605-0"}
    named, tags = {}, {}
    for tag, version in versions.items():
        stream = f"rhel-{version.partition('.')[0]}"
        named[tag] = await vendor.push("ocp/parts", base_image(version, stream=stream))
        noted = {"io.openshift.build.versions": f"machine-os={version}"}
        tags[tag] = Tag(str(named[tag]), noted)
    await vendor.release("4.22.1", {**tags, "cli": CLI}, tag="dual")
    return named


def os_image(version: str) -> MadeImage:
    """The OS image of a release: two layers, the second one of its own."""
    return layered(version, (), {images.VERSION: BUILT[version]})


def layered(version: str, more: tuple[str, ...], labels: dict[str, Any]) -> MadeImage:
    """An image on the base of a release, whatever its labels say."""
    layers = [{"usr/common": b""}, {"usr/of": version.encode()}]
    layers += [{f"etc/{name}": b""} for name in more]
    return make_image(layers, labels={name: str(value) for name, value in labels.items()})


async def a_release(vendor: Vendor, version: str) -> tuple[Pullspec, Pullspec]:
    """Push a release with its OS image; return both."""
    base = await vendor.push("ocp/parts", os_image(version))
    noted = {"io.openshift.build.versions": f"machine-os={BUILT[version]}"}
    return await vendor.release(version, {"rhel-coreos": Tag(str(base), noted)}), base


async def by_hand(vendor: Vendor, version: str) -> Pullspec:
    """Push an image on the base of a release that says nothing of itself."""
    return await vendor.push("team/os", layered(version, ("motd", "chrony"), {}))


def write_json(path: Path, value: object) -> Path:
    """Write a file; JSON is YAML."""
    path.write_text(json.dumps(value))
    return path


def mirror_set(*mirrors: str, source: object, kind: str = "ImageDigestMirrorSet") -> dict[str, Any]:
    """One of OpenShift's objects that name mirrors of a source."""
    is_old = kind == "ImageContentSourcePolicy"
    field_name = "repositoryDigestMirrors" if is_old else "imageDigestMirrors"
    return {
        "apiVersion": "operator.openshift.io/v1alpha1" if is_old else "config.openshift.io/v1",
        "kind": kind,
        "metadata": {"name": "m"},
        "spec": {field_name: [{"source": str(source), "mirrors": list(mirrors)}]},
    }


@dataclass
class Graphs:
    """An update service."""

    url: str = ""
    channels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Channel → nodes; another one is unknown, as far as the service says."""
    asked: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    """Another one is all that it answers."""

    def hold(self, channel: str, **releases: object) -> None:
        """Put releases into a channel: `v4_16_3=pullspec`."""
        self.channels[channel] = [
            {"version": name[1:].replace("_", "."), "payload": str(payload)}
            for name, payload in releases.items()
        ]

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if self.status != 200:
            return web.Response(status=self.status)
        nodes = self.channels.get(request.query["channel"])
        if nodes is None:
            return web.json_response({"kind": "no_channel", "value": "?"}, status=400)
        return web.json_response({"version": 1, "nodes": nodes, "edges": []})


@asynccontextmanager
async def graphs() -> AsyncIterator[Graphs]:
    made = Graphs()
    app = web.Application()
    app.router.add_get("/graph", made.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/graph"
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Site:
    """A settled cluster, and how one reaches it."""

    api: ApiServer
    simulated: SimulatedCluster
    kubeconfig: Path

    def edit(self, kind: Any, name: str, *, status: bool = False, **fields: Any) -> None:
        """Set fields of an object's spec, or of its status."""

        def change(document: dict[str, Any]) -> None:
            document["status" if status else "spec"].update(fields)

        self.simulated.world.edit(kind, name, change, "somebody", status=status)


class Sites:
    """Clusters that are opened one by one and closed together."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self._directory, self._stack = directory, stack

    async def open(
        self,
        release: object,
        version: str = "4.16.3",
        *,
        auths: dict[str, Any] | None = None,
        signer: Signer | None = None,
        **more: Any,
    ) -> Site:
        """Open a cluster on this release; `more` are fields of the simulator's Release."""
        api = await self._stack.enter_async_context(ApiServer.start())
        clock = SimClock()
        made = Release(version=version, image=str(release), os_image=str(OS), **more)
        simulated = SimulatedCluster.create(
            api, release=made, clock=clock, pull_secret_auths=auths, signer=signer
        )
        path = self._directory / f"kubeconfig-{api.port}"
        return Site(api, simulated, write_json(path, api.kubeconfig()))


@asynccontextmanager
async def sites(directory: Path) -> AsyncIterator[Sites]:
    async with AsyncExitStack() as stack:
        yield Sites(directory, stack)


def had(*releases: tuple[str, Pullspec]) -> list[dict[str, Any]]:
    began = {"state": "Completed", "startedTime": "2026-01-01T00:00:00Z"}
    return [{**began, "version": version, "image": str(image)} for version, image in releases]


async def a_cluster(clusters: Sites, *releases: tuple[str, Pullspec]) -> Site:
    """A cluster with this history, newest first, in no channel."""
    version, newest = releases[0]
    site = await clusters.open(newest, version)
    site.edit(CLUSTER_VERSIONS, "version", status=True, history=had(*releases))
    site.edit(CLUSTER_VERSIONS, "version", channel="")
    return site
