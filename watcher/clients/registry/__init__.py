"""Container registries: images read and written, every digest checked.

Small on purpose: what Relayer needs of the OCI distribution specification, and no policy. The names
below are what the rest of the product uses.

What speaks to a network is loaded when it is asked for: a command that reads files alone uses the
errors and limits of this package, and would wait for httpx.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from watcher.clients.registry.credentials import Credentials, Login
from watcher.clients.registry.errors import (
    BadContent,
    NotFound,
    Tampered,
    TooLarge,
    Unauthorised,
    Untrusted,
)
from watcher.clients.registry.logins import find_logins
from watcher.clients.registry.model import (
    LINUX_AMD64,
    Descriptor,
    ImageConfig,
    IndexEntry,
    Manifest,
    Platform,
)
from watcher.clients.registry.settings import Limits, RegistrySettings

if TYPE_CHECKING:
    from watcher.clients.registry.client import RegistryClient
    from watcher.clients.registry.payload import NoSuchTag, ReleasePayload, read_payload
    from watcher.clients.registry.writer import Carried

__all__ = [
    "LINUX_AMD64",
    "BadContent",
    "Carried",
    "Credentials",
    "Descriptor",
    "ImageConfig",
    "IndexEntry",
    "Limits",
    "Login",
    "Manifest",
    "NoSuchTag",
    "NotFound",
    "Platform",
    "RegistryClient",
    "RegistrySettings",
    "ReleasePayload",
    "Tampered",
    "TooLarge",
    "Unauthorised",
    "Untrusted",
    "find_logins",
    "read_payload",
]

_LATER = {
    "RegistryClient": "client",
    "NoSuchTag": "payload",
    "ReleasePayload": "payload",
    "read_payload": "payload",
    "Carried": "writer",
}
"""Name → the module that has it."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found
