"""What `relayer image-for -o json` says beside the image: of the image and of its release."""

from datetime import datetime
from typing import Any

from watcher.cli.reach import Reach
from watcher.clients.registry import Platform
from watcher.clients.registry.model import ImageConfig, Manifest
from watcher.clients.registry.payload import ReleasePayload
from watcher.core import os_version, streams
from watcher.core.facts import Malformed, Pullspec
from watcher.core.genuine import Verdict
from watcher.core.images import ARCHITECTURE
from watcher.errors import OutsideError
from watcher.ports import ReleaseSignatures


async def of(
    at: Reach, payload: ReleasePayload, *, tag: str, stream: str, image: str
) -> dict[str, Any]:
    """Return all that is known; what could not be read is null, and `problems` says why."""
    said: dict[str, Any] = {
        "image": image,
        "tag": tag,
        "stream": stream or None,
        "machine_os_version": None,
        "created": None,
        "architectures": None,
        "layers": None,
        "release": {
            "image": payload.image,
            "version": payload.version,
            "architecture": payload.metadata.get(ARCHITECTURE) or None,
            "url": payload.metadata.get("url") or None,
            "signature": _signature(await _verdict(at, payload.image)),
        },
        "problems": [],
    }
    noted = payload.annotations.get(tag, {})
    labels: dict[str, str] = {}
    try:
        top, config, manifest = await _image(at, Pullspec(image))
    except (OutsideError, Malformed) as error:
        said["problems"].append(f"the image itself cannot be read: {error}")
    else:
        labels = config.labels
        said["stream"] = stream or labels.get(streams.STREAM_CLASS) or None
        said["created"] = _moment(config.created)
        said["architectures"] = _architectures(top, config)
        said["layers"] = len(manifest.layers)
    said["machine_os_version"] = os_version.machine_os_of(noted, labels) or None
    return said


async def _image(at: Reach, image: Pullspec) -> tuple[Manifest, ImageConfig, Manifest]:
    """What the digest names, and config and manifest of its first platform, amd64 if it has it."""
    top = await at.client.manifest(image)
    manifest = top
    if top.is_index:
        amd64 = Platform("linux", "amd64")
        entries = sorted(top.entries, key=lambda entry: entry.platform != amd64)
        if not entries:
            raise Malformed(f"{image} is an index of nothing")
        manifest = await at.client.child(top, entries[0].descriptor)
    return top, await at.client.config_of(manifest), manifest


def _architectures(top: Manifest, config: ImageConfig) -> list[str]:
    if not top.is_index:
        return [config.architecture]
    return [entry.platform.architecture for entry in top.entries if entry.platform]


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _signature(verdict: Verdict) -> dict[str, Any]:
    return {
        "proof": str(verdict.proof),
        "because": verdict.because,
        "signers": list(verdict.signers),
        "source": verdict.source or None,
    }


async def _verdict(at: Reach, release: Pullspec) -> Verdict:
    from watcher.clients.signatures import GpgSignatures, Gpgv, Stores
    from watcher.clock import SystemClock

    clusters = {at.name: at.seen} if at.seen else {}
    async with Stores() as stores:
        signatures = GpgSignatures(
            at.release, clusters, gpgv=Gpgv(), stores=stores, clock=SystemClock()
        )
        if at.seen:
            return await signatures.verdict(at.name, release)
        nothing = ReleaseSignatures(keys={}, stores=(), signatures=())
        return await signatures.verdict_with(nothing, release.digest)
