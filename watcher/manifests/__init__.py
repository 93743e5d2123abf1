"""The objects of an installation: the kustomize files of `config/manifests/`, fitted to values.

Those files are the one source. What is read here is the small part of kustomize that they use, so
that `relayer manifests` needs no other tool; a test compares the result with kustomize's own.
"""

from watcher.manifests.ordering import in_order
from watcher.manifests.reading import COMPONENTS, OVERLAYS, Object, load
from watcher.manifests.rendering import render
from watcher.manifests.text import as_files, as_text
from watcher.manifests.values import BadValues, Values, from_file

__all__ = [
    "COMPONENTS",
    "OVERLAYS",
    "BadValues",
    "Object",
    "Values",
    "as_files",
    "as_text",
    "from_file",
    "in_order",
    "load",
    "render",
]
