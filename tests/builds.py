"""What tests and benchmarks of builders need: a base with a shell, recipes, orders."""

import gzip
import io
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from simulator.registry.images import File, Files, MadeImage, base_image, push
from tests.registries import PrivateCa, Running, real_registry
from watcher.clients.access import Fixed, Ways
from watcher.clients.builders import Buildah, BuildahSettings
from watcher.clients.builders.workplace import mounts_below
from watcher.clients.recipes import load_recipe
from watcher.clients.registry import RegistryClient
from watcher.core.facts import ClusterName, Pullspec, Repository
from watcher.core.images import BASE_DIGEST, BASE_NAME, BUILD_KEY, RECIPE
from watcher.core.recipe import build_key
from watcher.ports import BuildOrder

COPY_ONLY = "FROM quay.io/x/rhcos:1\nCOPY motd /etc/motd\nLABEL team=storage\n"
CREATED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
_LIBRARY = re.compile(r"(/\S+) \(0x")


def shell_layer(programs: Sequence[str] = ("/bin/sh", "/bin/sleep")) -> Files:
    """This machine's own programs with the libraries they load: enough for a RUN, and there
    wherever the tests run."""
    files: dict[str, File] = {}
    for program in programs:
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True)
        for path in (program, *_LIBRARY.findall(listed.stdout)):
            files[path.lstrip("/")] = File(Path(path).read_bytes(), 0o755)
    return files


def base_with_shell(version: str = "418.94.202601150800-0") -> MadeImage:
    return base_image(version, extra=[shell_layer()])


def write_recipe(directory: Path, containerfile: str, files: Mapping[str, str | bytes]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for path, content in {"Containerfile": containerfile, **files}.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def order_for(
    directory: Path,
    base: Pullspec,
    target: Repository,
    *,
    build: str = "b-1",
    platforms: tuple[str, ...] = ("linux/amd64",),
    build_args: Mapping[str, str] | None = None,
) -> BuildOrder:
    """The order that the service would make for this directory and base."""
    recipe = load_recipe(directory, name="test", target=target, build_args=build_args)
    key = build_key(base=base.digest, recipe=recipe.digest, platforms=platforms, builder_options={})
    labels = {BASE_DIGEST: base.digest, BASE_NAME: base, BUILD_KEY: key, RECIPE: recipe.digest}
    return BuildOrder(
        build=build,
        base=base,
        recipe=recipe,
        context=directory,
        target=target,
        tag=f"relayer-{key[:12]}",
        platforms=platforms,
        labels={name: str(value) for name, value in labels.items()},
        created=CREATED,
    )


class OnlyWays:
    """`Access` for what never asks for a client: only files are written from the ways."""

    def __init__(self, ways: Ways | None = None) -> None:
        self._ways = ways or Ways()

    async def ways(self, cluster: ClusterName) -> Ways:
        return self._ways

    async def client(self, cluster: ClusterName) -> RegistryClient:
        raise AssertionError("no client is needed for this")

    async def as_nodes(self, cluster: ClusterName) -> RegistryClient:
        raise AssertionError("builders do not ask as nodes")


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

    @property
    def access(self) -> Fixed:
        """The same ways to registries for everybody: those of the registry's user."""
        return Fixed(self.client, Ways(credentials=self.registry.credentials))

    async def buildah(self, work: str = "work", **settings: object) -> Buildah:
        chosen = replace(BuildahSettings(work=self.directory / work), **settings)  # type: ignore[arg-type]
        return await Buildah.found(chosen, self.registry.settings, self.access)


@asynccontextmanager
async def site_at(directory: Path, ca: PrivateCa | None) -> AsyncIterator[Site]:
    """A real registry with a base in it; with `ca` it asks for a login and speaks TLS."""
    async with (
        real_registry(directory / "registry", basic=ca is not None, tls=ca) as registry,
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        base = await push(client, registry.repository("rhcos"), base_with_shell())
        recipes = directory / "recipes"
        recipes.mkdir()
        yield Site(registry, client, base, recipes)
        assert not mounts_below(directory), "a builder left something mounted"


class Lines(list[str]):
    async def take(self, line: str) -> None:
        self.append(line)


async def top_layer(site: Site, image: Pullspec) -> dict[str, tarfile.TarInfo]:
    manifest = await site.client.platform_manifest(image)
    parts = [c async for c in site.client.blob(image.repository, manifest.layers[-1].digest)]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(b"".join(parts)))) as archive:
        return {info.name.strip("/"): info for info in archive}
