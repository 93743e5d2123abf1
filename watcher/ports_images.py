"""What is asked of registries and builders, and of what says whether a release is genuine.

A part of `watcher.ports`, which has them all by name.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from watcher.core.facts import NO_CLUSTER, ClusterName, Digest, Pullspec, Repository
from watcher.core.genuine import Verdict
from watcher.core.images import ImageFacts, Payload
from watcher.core.recipe import Recipe


class Images(Protocol):
    """Registries. Everything read is checked against its digest to the last byte."""

    def seen_from(self, cluster: ClusterName) -> "Images":
        """The same, with the mirrors, logins and certificate authorities of one cluster."""

    async def payload(self, release: Pullspec) -> Payload:
        """Read a release image; Refused if it is no release payload or was tampered with."""

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        """Read manifest and configuration; Refused if absent, denied or of other architecture."""

    async def exists(self, image: Pullspec) -> bool: ...

    async def digest_of(self, reference: str) -> Digest:
        """What `repository[:tag]` means now, by the bytes of its manifest; without a tag `latest`.
        Raise Refused for what is no such name, or not there."""

    async def check_pullable(self, image: Pullspec, pull_secret: bytes) -> None:
        """Raise Refused unless manifest, configuration and layers can be read with this
        .dockerconfigjson, as a node would."""


class Memory(Protocol):
    """What outlives the process: a part of `ports.Store`."""

    async def keep(self, key: str, value: Mapping[str, object]) -> None: ...

    async def kept(self, key: str) -> Mapping[str, object]: ...


class Signatures(Protocol):
    """Says whether a release is genuine."""

    async def verdict(
        self, cluster: ClusterName, release: Pullspec, *, fresh: bool = False
    ) -> Verdict:
        """What its signatures prove, with the keys and stores of this cluster. Raises nothing of
        the ports: what cannot be asked is part of the verdict. `fresh`: with its keys as they are
        now; then raise Transient where the cluster does not tell them."""


Log = Callable[[str], Awaitable[None]]
"""Takes one line of output of a build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """Everything a builder needs; nothing is read from the environment."""

    build: str
    """Id of the build: leftovers are named by it, so that a repeat finds and removes them."""
    base: Pullspec
    recipe: Recipe
    context: Path
    """The recipe's directory."""
    target: Repository
    tag: str
    """Where the result is pushed; derived from the build key, so that a repeat lands there too."""
    platforms: tuple[str, ...]
    """`linux/amd64` … One gives an image, several an index."""
    labels: Mapping[str, str]
    """Set on the image, and as annotations on its manifest."""
    created: datetime
    """Goes into the image, so that the same order gives the same digest."""
    cluster: ClusterName = NO_CLUSTER
    """Whose mirrors and logins the base is read with; empty: only the configured ones."""


class Builder(Protocol):
    name: str

    def refuses(self, order: BuildOrder) -> list[str]:
        """Why this builder cannot make this order, naming lines; empty if it can."""

    async def build(self, order: BuildOrder, log: Log) -> Pullspec:
        """Build and push; return what was pushed. Cancelling it stops it and removes leftovers.
        Repeating it gives an equal image. Raise Refused (the recipe is at fault) or Transient."""

    async def clean(self, build: str) -> None:
        """Remove what a crashed attempt at this build left behind."""
