"""What can be chosen about an installation, checked: from a file, from options, or both."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from watcher.manifests.reading import COMPONENTS, OVERLAYS

NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
"""A DNS label; 40 characters, so that `-recipe-<name>` still fits behind it."""
_DIGEST = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)+@sha256:[0-9a-f]{64}")
_TAGGED = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)+(:[\w.-]+)?")
_SIZE = re.compile(r"[1-9][0-9]*(Mi|Gi|Ti)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_MOST_BYTES = 1 << 20
_LIKE = "registry.example.com/relayer/relayer@sha256:…"


class BadValues(Exception):
    """What was chosen does not make an installation; the sentence says what to choose instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """All that can be chosen; everything but the image has a default."""

    image: str
    """By digest."""
    overlay: str = "single"
    components: tuple[str, ...] = ()
    """Beside those of the overlay."""
    name: str = "relayer"
    """Of every object; two installations on one cluster need two."""
    namespace: str = "relayer"
    storage_class: str = ""
    """Empty: the cluster's default."""
    storage_size: str = "10Gi"
    redis_image: str = ""
    """By digest; for component `redis`."""
    redis_url: str = ""
    """Replaces that of the configuration that comes with highly-available."""
    host: str = ""
    """Of the Route; empty: the router's choice."""
    config: Path | None = None
    """One's own relayer.yaml."""
    recipes: Mapping[str, Path] = field(default_factory=dict)
    """Name → directory; mounted at /etc/relayer/recipes/<name>."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Of the service's container: HTTPS_PROXY and the like. No secrets: many may read it."""
    egress_ports: tuple[int, ...] = ()
    """Beside 443, 6443 and Redis: registries and proxies on other ports."""
    allow_tag: bool = False

    def __post_init__(self) -> None:
        """Raise BadValues for the first thing that cannot be."""
        _one_of("overlay", self.overlay, OVERLAYS)
        for component in self.components:
            _one_of("components", component, COMPONENTS)
        self._check_names()
        if not _SIZE.fullmatch(self.storage_size):
            raise BadValues(f"storage_size {_shown(self.storage_size)}: write it like 10Gi")
        if any(not 0 < port < 65536 for port in self.egress_ports):
            raise BadValues("egress_ports: numbers from 1 to 65535")
        self._check_image("image", self.image, is_needed=self.overlay != "watched")
        self._check_image("redis_image", self.redis_image, is_needed="redis" in self.components)
        self._check_redis()
        self._check_together()

    def _check_names(self) -> None:
        for what in ("name", "namespace"):
            if not NAME.fullmatch(getattr(self, what)):
                raise BadValues(
                    f"{what} {_shown(getattr(self, what))}: lower-case letters, digits and hyphens,"
                    " at most 40, beginning with a letter"
                )
        for recipe in self.recipes:
            if not NAME.fullmatch(recipe):
                raise BadValues(
                    f"recipe {_shown(recipe)}: its ConfigMap cannot be named so; take lower-case"
                    " letters, digits and hyphens, at most 40, beginning with a letter"
                )
        for variable in self.env:
            if not _VARIABLE.fullmatch(variable) or variable == "RELAYER_CONFIG":
                raise BadValues(f"env {_shown(variable)}: not a variable that can be set here")
        if self.storage_class and not _HOST.fullmatch(f"x.{self.storage_class}"):
            raise BadValues(
                f"storage_class {_shown(self.storage_class)}: no name of a StorageClass;"
                " `oc get storageclass` lists them"
            )
        if self.host and not _HOST.fullmatch(self.host):
            raise BadValues(f"host {_shown(self.host)}: write a name like relayer.apps.example.com")

    def _check_image(self, what: str, pullspec: str, *, is_needed: bool) -> None:
        if not pullspec:
            if is_needed:
                raise BadValues(f"{what} is not set: name it by digest, as {_LIKE}")
        elif _DIGEST.fullmatch(pullspec):
            return
        elif not _TAGGED.fullmatch(pullspec):
            raise BadValues(f"{what} {_shown(pullspec)}: no pullspec with a registry, as {_LIKE}")
        elif not self.allow_tag:
            raise BadValues(
                f"{what} {_shown(pullspec)} has no digest, and a tag may be another image tomorrow:"
                " `oc image info` tells the digest; --allow-tag takes the tag"
            )

    def _check_redis(self) -> None:
        if self.overlay != "highly-available" and ("redis" in self.components or self.redis_url):
            raise BadValues(f"overlay {self.overlay} has no Redis: take highly-available")
        if not self.redis_url:
            return
        if "redis" in self.components:
            raise BadValues("redis_url and component redis: choose one Redis")
        if self.config:
            raise BadValues("redis_url and config: write redis.url into that configuration")
        if not re.fullmatch(r"rediss?://[\w.-]+(:\d+)?(/\d+)?", self.redis_url):
            raise BadValues(
                "redis_url: redis:// or rediss:// with a host, and no password: that goes into the"
                " Secret"
            )

    def _check_together(self) -> None:
        if self.host and "route" not in self.components:
            raise BadValues("host: only component route has a host")
        if self.recipes and not self.config:
            raise BadValues(
                "recipes without config: nothing would use them; name the configuration"
            )
        if self.overlay == "watched" and (self.components or self.config or self.image):
            raise BadValues(
                "overlay watched has nothing but rights: no image, components or configuration"
            )
        if self.overlay == "disconnected" and "disconnected" in self.components:
            raise BadValues("overlay disconnected has component disconnected already")
        if len(set(self.components)) != len(self.components):
            raise BadValues("components: one is named twice")


def from_file(path: Path) -> dict[str, Any]:
    """The values that a file gives, by name. Raise BadValues for what is none of them."""
    import yaml

    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        said = yaml.safe_load(raw.decode("utf-8-sig")) if len(raw) <= _MOST_BYTES else None
    except OSError as error:
        raise BadValues(f"values {path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadValues(f"values {path}: no YAML ({_shown(str(error))})") from error
    if said is None and len(raw) <= _MOST_BYTES:
        said = {}
    if not isinstance(said, dict):
        raise BadValues(f"values {path}: a mapping of names and values, smaller than 1 MiB")
    return {name: _typed(str(name), value, path.parent) for name, value in said.items()}


_KINDS: dict[str, type] = {
    "components": list,
    "egress_ports": list,
    "env": dict,
    "recipes": dict,
    "allow_tag": bool,
}


def _typed(name: str, value: object, directory: Path) -> Any:
    known = [one.name for one in fields(Values)]
    if name not in known:
        raise BadValues(f"values: {_shown(name)} is unknown; known are {', '.join(known)}")
    wanted = _KINDS.get(name, str)
    if not isinstance(value, wanted):
        words = {list: "a list", dict: "a mapping", bool: "true or false", str: "a text"}
        raise BadValues(f"values: {name} must be {words[wanted]}")
    if isinstance(value, list):
        item = int if name == "egress_ports" else str
        if not all(type(one) is item for one in value):
            raise BadValues(f"values: {name} must be a list of {item.__name__}")
        return tuple(value)
    if isinstance(value, dict):
        made = directory.joinpath if name == "recipes" else str
        return {str(key): made(str(one)) for key, one in value.items()}
    return directory / value if name == "config" and isinstance(value, str) else value


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadValues(f"{what} {_shown(value)} is unknown; known are {', '.join(known)}")


def _shown(text: str) -> str:
    """Bounded, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:120])
