"""HTTP: probes, metrics, the API for decisions, and a small local page."""

from watcher.web.app import make_app
from watcher.web.server import serve_web

__all__ = ["make_app", "serve_web"]
