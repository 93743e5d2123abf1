"""OpenPGP signatures of releases: where they are found, and what `gpgv` says of them."""

from watcher.clients.signatures.gpgv import Gpgv
from watcher.clients.signatures.stores import Stores
from watcher.clients.signatures.verdicts import GpgSignatures

__all__ = ["GpgSignatures", "Gpgv", "Stores"]
