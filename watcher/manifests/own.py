"""Somebody's own relayer.yaml and recipes, checked against what the pod will find."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.errors import Refused, Transient
from watcher.manifests.values import BadValues, Values

if TYPE_CHECKING:
    from watcher.core.recipe import RecipeEntry
    from watcher.settings import Settings

MOUNTED = Path("/etc/relayer/recipes")
STATE = Path("/var/lib/relayer")
PORT = 8080
_ANY = ("0.0.0.0", "::", "[::]")  # noqa: S104
_MOST_BYTES = 900_000
"""Of one recipe: a ConfigMap takes 1 MiB in all (k8s.io/api core/v1 MaxSecretSize), base64 and
names included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnConfig:
    text: str
    recipes: dict[str, dict[str, tuple[bytes, bool]]] = field(default_factory=dict)
    """Name → path → content, and whether it is executable."""

    def digested(self) -> bytes:
        """All of it, for a digest."""
        parts = [self.text.encode()]
        for name, files in sorted(self.recipes.items()):
            for path, (content, is_executable) in sorted(files.items()):
                parts += [f"{name}/{path} {is_executable} {len(content)}".encode(), content]
        return b"\0".join(parts)


def read_own(values: Values) -> OwnConfig:
    """Read and check both. Raise BadValues, or ConfigError with every mistake of the file."""
    from watcher import config

    assert values.config is not None
    settings = config.load(values.config)
    text = values.config.read_text("utf-8-sig")
    for problem in _problems(settings, values):
        raise BadValues(f"config {values.config}: {problem}")
    return OwnConfig(text=text, recipes={n: _files(n, p) for n, p in values.recipes.items()})


def _problems(settings: "Settings", values: Values) -> Iterator[str]:
    """What a pod made of these objects could not work with."""
    if not settings.pools:
        yield "no pools, so the service would end at once"
    if settings.web.host not in _ANY:
        yield f"web.host {settings.web.host}: probes come from outside the pod; set 0.0.0.0"
    if settings.web.port != PORT:
        yield f"web.port {settings.web.port}: the objects say {PORT}; leave it out"
    if settings.state_dir != STATE:
        yield f"state_dir {settings.state_dir}: the volume is at {STATE}; leave it out"
    if bool(settings.redis.url) != (values.overlay == "highly-available"):
        yield (
            "two replicas need one Redis: set redis.url"
            if not settings.redis.url
            else f"redis.url is set, and overlay {values.overlay} keeps a store of its own: take"
            " highly-available, or leave it out"
        )
    for recipe in settings.recipes:
        if recipe.path.parent != MOUNTED:
            yield f"path of recipe {recipe.name}: recipes are mounted below {MOUNTED}"
        elif recipe.path.name not in values.recipes:
            yield (
                f"recipe {recipe.name}: nothing is mounted at {recipe.path}; add"
                f" --recipe {recipe.path.name}=DIRECTORY"
            )


def _files(name: str, directory: Path) -> dict[str, tuple[bytes, bool]]:
    """What the service itself would read there; raise BadValues for what a ConfigMap cannot hold.

    Empty directories and links change the recipe's digest, so leaving them out would not be honest.
    """
    from watcher.clients.recipes import load_recipe
    from watcher.core.facts import Repository
    from watcher.core.recipe import EntryKind

    try:
        recipe = load_recipe(directory, name=name, target=Repository("localhost/not-pushed"))
    except (Refused, Transient) as error:
        raise BadValues(str(error)) from error
    of_kind: dict[EntryKind, list[RecipeEntry]] = {kind: [] for kind in EntryKind}
    for entry in recipe.entries:
        of_kind[entry.kind].append(entry)
    files = of_kind[EntryKind.FILE]
    for entry in of_kind[EntryKind.SYMLINK]:
        raise BadValues(f"recipe {name}: {entry.path!a} is a link; a ConfigMap holds files only")
    for entry in of_kind[EntryKind.DIRECTORY]:
        if not any(file.path.startswith(f"{entry.path}/") for file in files):
            raise BadValues(f"recipe {name}: {entry.path!a} is empty; a ConfigMap holds files only")
    if sum(file.size_bytes for file in files) > _MOST_BYTES:
        raise BadValues(
            f"recipe {name}: more than {_MOST_BYTES} bytes, which no ConfigMap holds: fetch large"
            " files in the Containerfile, or mount a volume of your own"
        )
    return {f.path: ((directory / f.path).read_bytes(), f.executable) for f in files}
