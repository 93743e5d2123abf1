"""What `relayer image-for -o json` says beside the image: of the image and of its release."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from watcher.cli.reach import Reach
from watcher.clients.registry import LINUX_AMD64, BadContent, Platform
from watcher.clients.registry.errors import clean
from watcher.clients.registry.model import ImageConfig, IndexEntry, Manifest
from watcher.clients.registry.payload import ReleasePayload
from watcher.core import os_version, streams
from watcher.core.facts import Malformed, Pullspec
from watcher.core.genuine import Proof, Verdict, Verify
from watcher.core.images import ARCHITECTURE
from watcher.errors import OutsideError
from watcher.ports import ReleaseSignatures


async def of(
    at: Reach,
    payload: ReleasePayload,
    *,
    tag: str,
    stream: str,
    image: str,
    wanted: Callable[[Platform], bool],
) -> dict[str, Any]:
    """Return all that is known; what could not be read is null, and `problems` says why.

    `stream`: what the tag was chosen for; `wanted`: whose platform's image is looked at first.
    """
    said: dict[str, Any] = {
        "image": image,
        "tag": tag,
        "stream": None,
        "machine_os_version": None,
        "created": None,
        "architectures": None,
        "layers": None,
        "release": await _release(at, payload),
        "problems": [],
    }
    labels: dict[str, str] = {}
    try:
        top, manifest = await manifests(at, Pullspec(image), wanted)
        config = await at.client.config_of(manifest)
    except (OutsideError, Malformed) as error:
        said["problems"] += [f"the image itself cannot be read: {error}", *at.notes]
    else:
        labels = config.labels
        said["created"] = _moment(config.created)
        said["architectures"] = _architectures(top, config)
        said["layers"] = len(manifest.layers)
    version = os_version.machine_os_of(payload.annotations.get(tag, {}), labels)
    said["machine_os_version"] = version or None
    said["stream"] = _stream(stream, labels, version)
    return said


async def _release(at: Reach, payload: ReleasePayload) -> dict[str, Any]:
    return {
        "image": payload.image,
        "version": clean(payload.version),
        "architecture": clean(payload.metadata.get(ARCHITECTURE, "")) or None,
        "url": clean(payload.metadata.get("url", ""), limit=500) or None,
        "signature": _signature(await _verdict(at, payload.image)),
    }


def _stream(chosen: str, labels: dict[str, str], version: str) -> str | None:
    """What the image says, else what it was chosen for, unless it is of another RHEL.

    4.12 has one OS image, of RHEL 8, which no stream is called after.
    """
    if told := labels.get(streams.STREAM_CLASS):
        return clean(told)
    parsed = os_version.parse(version)
    if parsed and parsed.line.removeprefix("el") != chosen.rpartition("-")[2]:
        return None
    return chosen or None


async def manifests(
    at: Reach, image: Pullspec, wanted: Callable[[Platform], bool]
) -> tuple[Manifest, Manifest]:
    """What the digest names, and the manifest of one platform: a wanted one, amd64, or any.

    Raise BadContent for an index of nothing.
    """
    top = await at.client.manifest(image)
    if not top.is_index:
        return top, top

    def rank(entry: IndexEntry) -> tuple[bool, bool]:
        there = entry.platform
        return not (there and wanted(there)), there != LINUX_AMD64

    chosen = min(top.entries, key=rank, default=None)
    if chosen is None:
        raise BadContent(f"{image} is an index of nothing")
    return top, await at.client.child(top, chosen.descriptor)


def _architectures(top: Manifest, config: ImageConfig) -> list[str]:
    if not top.is_index:
        return [clean(config.architecture)]
    there = (entry.platform.architecture for entry in top.entries if entry.platform)
    return list(dict.fromkeys(map(clean, there)))


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
    if at.release.verify == Verify.OFF:
        return Verdict(proof=Proof.UNCHECKED, because="not looked at: release.verify is off")
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
