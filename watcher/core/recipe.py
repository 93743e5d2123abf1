"""A recipe: what turns a base into a layered image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from watcher.core.facts import Digest, Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    containerfile: str
    digest: Digest
    target: Repository
    build_args: Mapping[str, str] = field(default_factory=dict)
