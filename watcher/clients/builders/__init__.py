"""Builders: what turns a recipe and a base into a pushed image.

`Append` adds one layer of copied files to the base's manifest and needs nothing but the registry;
`Buildah` runs containers and so can do any recipe. `docs/decisions/0002-builders.md` says why.
"""

from watcher.clients.builders.append import Append
from watcher.clients.builders.buildah import Buildah
from watcher.clients.builders.settings import AppendSettings, BuildahSettings

__all__ = ["Append", "AppendSettings", "Buildah", "BuildahSettings"]
