"""A cluster and a registry for `relayer doctor`: all is well until a test changes that."""

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from simulator.apiserver import ApiServer
from simulator.apiserver import kinds as served
from simulator.cluster import PoolSpec, Release, SimulatedCluster
from simulator.registry import Fault
from simulator.registry.images import MadeImage, MadeIndex, base_image, push_to, release_image
from simulator.signing import signer_here
from tests.registries import PASSWORD, USER, Running, simulated_registry
from watcher.cli.doctor_registry import registry as doctor_registry
from watcher.cli.doctor_release import Asked
from watcher.cli.doctor_release import release as doctor_release
from watcher.cli.doctor_steps import Patience
from watcher.cli.exits import Code
from watcher.cli.output import Format
from watcher.cli.reach import Flags
from watcher.clients.registry import RegistrySettings
from watcher.config import effective
from watcher.core.facts import ClusterName, PoolName, Repository
from watcher.settings import ClusterSettings, PoolSettings, RecipeSettings, Settings
from watcher.settings_registry import RegistrySettings as SaidRegistry
from watcher.settings_registry import ReleaseSettings

VERSION = "4.18.9"
BASE = base_image("418.94.202510010000-0")
COPY_ONLY = "FROM quay.io/example/rhel-coreos:latest\nCOPY motd /etc/motd\n"
WITH_RUN = "FROM quay.io/example/rhel-coreos:latest\nRUN dnf install -y tree\n"
IMAGES = served.Kind("config.openshift.io", "v1", "images", "Image")
QUICK = Patience(
    step_seconds=10.0,
    payload_seconds=10.0,
    registry=RegistrySettings(
        attempts=2,
        backoff_seconds=0.01,
        connect_seconds=2.0,
        read_seconds=2.0,
        call_seconds=3.0,
        use_proxy_environment=False,
    ),
)


@dataclass(frozen=True)
class Report:
    """What was printed."""

    code: Code
    rows: list[dict[str, str]]
    text: str

    def said(self, what: str) -> str:
        """All that is said under a name, which may be given without the cluster."""
        return "\n".join(row["said"] for row in self._of(what))

    def levels(self, what: str) -> list[str]:
        return [row["level"] for row in self._of(what)]

    def _of(self, what: str) -> Iterator[dict[str, str]]:
        return (r for r in self.rows if r["what"].removeprefix("prod ") == what)

    def names(self, level: str) -> list[str]:
        return [r["what"].removeprefix("prod ") for r in self.rows if r["level"] == level]

    @property
    def failed(self) -> list[str]:
        return self.names("failed")

    @property
    def warned(self) -> list[str]:
        return self.names("warning")


@dataclass
class Scene:
    """Change the settings, the cluster or the registry, then look."""

    api: ApiServer
    cluster: SimulatedCluster
    registry: Running
    directory: Path
    settings: Settings
    capture: pytest.CaptureFixture[str]
    release: Release
    patience: Patience = QUICK
    secrets: list[str] = field(default_factory=lambda: [PASSWORD])
    buildah: str = "buildah"

    async def look(self, subject: str = "release", pool: str = "", **flags: Any) -> Report:
        """The command, in this process. No secret is ever in what it prints."""
        asked = Asked(pool=pool, flags=Flags(**flags), patience=self.patience, buildah=self.buildah)
        work = doctor_release if subject == "release" else doctor_registry
        code = await work(self.settings, asked, Format.JSON)
        text = self.capture.readouterr().out
        for secret in self.secrets:
            pair = base64.b64encode(f"{USER}:{secret}".encode()).decode()
            assert secret not in text
            assert pair not in text
        printed = json.loads(text)
        assert printed["ok"] == (code is Code.OK)
        return Report(code, printed["checks"], text)

    async def screen(self, subject: str = "release") -> str:
        """The same as a person sees it."""
        asked = Asked(patience=self.patience)
        work = doctor_release if subject == "release" else doctor_registry
        await work(self.settings, asked, Format.TABLE)
        return self.capture.readouterr().out

    async def shell(self, *words: str, **environment: str) -> tuple[int, str, str]:
        """`relayer doctor …` as somebody types it."""
        config = self.directory / "relayer.yaml"
        config.write_text(effective(self.settings))
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        started = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("relayer")), "doctor"),
            *(*words, "-c", str(config)),
            env=kept | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await started.communicate()
        for secret in self.secrets:
            assert secret not in out.decode() + err.decode()
        return started.returncode or 0, out.decode(), err.decode()

    @property
    def faults(self) -> list[Fault]:
        """Of the simulated registry."""
        assert self.registry.simulated
        return self.registry.simulated.faults

    # --- what a test changes ----------------------------------------------------------------------

    def said(self, **registry: Any) -> None:
        """Settings of the section `registry`."""
        changed = replace(self.settings.registry, **registry)
        self.settings = replace(self.settings, registry=changed)

    def verify(self, **release: Any) -> None:
        """Settings of the section `release`."""
        changed = replace(self.settings.release, **release)
        self.settings = replace(self.settings, release=changed)

    def recipe(self, text: str, **said: Any) -> None:
        """Another recipe, or other settings of it."""
        (self.directory / "recipe/Containerfile").write_text(text)
        changed = replace(self.settings.recipes[0], **said)
        self.settings = replace(self.settings, recipes=(changed,))

    def logins(self, auths: dict[str, tuple[str, str]]) -> None:
        """The cluster's pull secret: name → user and password."""
        self.secrets += [password for _, password in auths.values()]
        entries = {name: entry(*login) for name, login in auths.items()}
        text = json.dumps({"auths": entries}).encode()

        def change(document: dict[str, Any]) -> None:
            document["data"][".dockerconfigjson"] = base64.b64encode(text).decode()

        self.cluster.world.edit(
            served.SECRETS, "pull-secret", change, "admin", namespace="openshift-config"
        )

    def architecture(self, name: str) -> None:
        """Of the nodes of pool infra."""

        def change(document: dict[str, Any]) -> None:
            document["status"]["nodeInfo"]["architecture"] = name

        for node in self.cluster.nodes_of("infra"):
            self.cluster.world.edit(served.NODES, node, change, "kubelet", status=True)

    def mirror(self, source: str, *mirrors: str, never: bool = False) -> None:
        """An ImageDigestMirrorSet."""
        policy = {"mirrorSourcePolicy": "NeverContactSource"} if never else {}
        spec = {"imageDigestMirrors": [{"source": source, "mirrors": [*mirrors], **policy}]}
        self.create(served.DIGEST_MIRROR_SETS, "mirrors", spec=spec)

    def trust(self, host: str, pem: str) -> None:
        """The cluster's additionalTrustedCA."""
        self.api.kinds = served.Kinds((*served.ALL, IMAGES))
        self.create(IMAGES, "cluster", spec={"additionalTrustedCA": {"name": "registries"}})
        data = {host.replace(":", ".."): pem}
        self.create(served.CONFIG_MAPS, "registries", "openshift-config", data=data)

    def create(self, kind: served.Kind, name: str, namespace: str = "", **more: Any) -> None:
        meta = {"name": name} | ({"namespace": namespace} if namespace else {})
        document = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **more}
        self.api.writer.create(kind, document)


def goes_on(report: Report) -> None:
    """What hangs on nothing that failed with the release was looked at all the same."""
    for what in ("pull secret", "trusted CA", "update graph"):
        assert report.levels(what) == ["ok"]


def entry(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@asynccontextmanager
async def scene(
    directory: Path,
    registry: Running,
    capture: pytest.CaptureFixture[str],
    *,
    source: str = "",
    base: MadeImage | MadeIndex = BASE,
    tags: dict[str, str] | None = None,
    says: str = VERSION,
    signed: bool | None = None,
    stream: str = "",
) -> AsyncIterator[Scene]:
    """`source`: the host that names have, where that is not the registry's own. `tags`: of the
    release, else its base as rhel-coreos; `says`: the version in the release image; `signed`: by
    the key that the cluster asks for, or None where nobody asks (signing takes a while);
    `stream`: of pool infra."""
    settings, host = registry.settings, source or registry.host
    pushing = {"credentials": registry.credentials, "settings": settings}
    await push_to(registry.url, "openshift/rhel-coreos", base, **pushing)  # type: ignore[arg-type]
    os_image = f"{host}/openshift/rhel-coreos@{base.digest}"
    payload = release_image(says, {"rhel-coreos": os_image} if tags is None else tags)
    await push_to(registry.url, "openshift/release", payload, **pushing)  # type: ignore[arg-type]
    image = f"{host}/openshift/release@{payload.digest}"
    release = Release(version=VERSION, image=image, os_image=os_image, signed=bool(signed))
    needed = {registry.host: entry(USER, PASSWORD)} if registry.needs_login else {}
    async with ApiServer.start() as api, update_service(VERSION, image) as graph:
        cluster = SimulatedCluster.create(
            api,
            release=release,
            pools=[
                PoolSpec(name="infra", nodes=1, os_image_stream=stream),
                *(PoolSpec(name=name, nodes=1) for name in ("master", "worker")),
            ],
            pull_secret_auths=needed,
            signer=None if signed is None else signer_here(),
        )
        configured = _settings(
            directory,
            api,
            registry,
            ReleaseSettings(verify="off" if signed is None else "require", graph_url=graph),
        )
        yield Scene(api, cluster, registry, directory, configured, capture, release)


def _settings(
    directory: Path, api: ApiServer, registry: Running, release: ReleaseSettings
) -> Settings:
    recipe = directory / "recipe"
    recipe.mkdir(parents=True)
    (recipe / "Containerfile").write_text(COPY_ONLY)
    (recipe / "motd").write_text("hello\n")
    (directory / "token").write_text("a-token\n")
    (directory / "auth.json").write_text('{"auths": {}}')
    host, ca_file = registry.host, registry.ca_file
    said = SaidRegistry(
        auth_file=directory / "auth.json",
        ca_files={host: ca_file} if ca_file else {},
        plain_http=() if ca_file else (host,),
        certs_dirs=(),
        requests_per_second=10_000.0,
    )
    cluster = ClusterName("prod")
    target = Repository(f"{host}/layered/infra")
    return Settings(
        state_dir=directory / "state",
        registry=said,
        release=release,
        clusters=(ClusterSettings(name=cluster, url=api.url, token_file=directory / "token"),),
        recipes=(RecipeSettings(name="infra-os", path=recipe, target=target),),
        pools=(PoolSettings(cluster=cluster, pool=PoolName("infra"), recipe="infra-os"),),
    )


Open = Callable[..., AbstractAsyncContextManager[Scene]]


def opener(directory: Path, capture: pytest.CaptureFixture[str]) -> Open:
    """Return what opens a scene: with the simulated registry, or with `registry` once opened."""

    @asynccontextmanager
    async def opened(registry: Any = None, **more: Any) -> AsyncIterator[Scene]:
        async with (
            registry or simulated_registry() as running,
            scene(directory, running, capture, **more) as made,
        ):
            yield made

    return opened


@asynccontextmanager
async def update_service(version: str, image: str) -> AsyncIterator[str]:
    """An update service that knows one release; yields its address."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nodes = [{"version": version, "payload": image}]
        return web.json_response({"version": 1, "nodes": nodes, "edges": []})

    made = web.Server(answer, access_log=None)
    listener = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/graph"
    finally:
        listener.close()
        await made.shutdown(1.0)


@contextmanager
def closed_port() -> Iterator[str]:
    """``host:port`` where nobody listens, and nobody else will meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"
