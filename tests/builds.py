"""What tests and benchmarks of builders need: a base with a shell, recipes, orders."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from simulator.registry.images import File, Files, MadeImage, base_image
from watcher.clients.recipes import load_recipe
from watcher.core.facts import Pullspec, Repository
from watcher.core.images import BASE_DIGEST, BASE_NAME, BUILD_KEY, RECIPE
from watcher.core.recipe import build_key
from watcher.ports import BuildOrder

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
