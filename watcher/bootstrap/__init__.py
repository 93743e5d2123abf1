"""The one folder that knows every concrete class: it opens, joins and closes them.

No container library, no globals, nothing done at import time; what is opened goes into one stack.
"""

from watcher.bootstrap.app import App, open_app, open_store, watching
from watcher.bootstrap.clients import USUAL, Clusters, Patience, read_recipe
from watcher.bootstrap.serving import StoreEnded, serve

__all__ = [
    "USUAL",
    "App",
    "Clusters",
    "Patience",
    "StoreEnded",
    "open_app",
    "open_store",
    "read_recipe",
    "serve",
    "watching",
]
