"""Builds without a container: one layer of copied files on top of the base's manifest.

Only the registry is talked to. The base is not pulled: its blobs are mounted into the target
repository, or streamed there when it is another registry, and the new layer is all that is made
here. For recipes of COPY, ADD of local files, LABEL and ENV; all else is refused by line.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watcher.clients.access import Access
from watcher.clients.builders import manifests
from watcher.clients.builders.copying import Layout, Placed
from watcher.clients.builders.layer import Layer, write_layer
from watcher.clients.builders.settings import AppendSettings
from watcher.clients.recipes import stage_recipe
from watcher.clients.registry import (
    Carried,
    Descriptor,
    ImageConfig,
    Manifest,
    Platform,
    RegistryClient,
)
from watcher.clients.registry.errors import clean
from watcher.clients.registry.model import OCI_INDEX, OCI_MANIFEST, digest_of
from watcher.core.append import CopyFiles, Source, Step, append_only, plan
from watcher.core.containerfile import scan
from watcher.core.facts import Malformed, Pullspec
from watcher.core.rebase import rebase
from watcher.ports import BuildOrder, Log, Refused, Transient

_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """The base for one platform."""

    platform: Platform
    manifest: Manifest
    config: ImageConfig
    steps: tuple[Step, ...]
    placed: tuple[Placed, ...]
    """What the layer shall hold; empty when there is none to make."""


class Append:
    """Builds over the registry client. It leaves nothing behind, so there is nothing to clean."""

    name = "append"

    def __init__(self, access: Access, settings: AppendSettings | None = None) -> None:
        self._access = access
        self._settings = settings or AppendSettings()

    def refuses(self, order: BuildOrder) -> list[str]:
        # The base's WorkingDir and environment are not known yet; they are looked at when building.
        try:
            reasons = [str(reason) for reason in append_only(scan(order.recipe.containerfile))]
            if not reasons:
                steps = _steps(order, manifests.platform(order.platforms[0]), env={})
                _placed(order, steps, self._settings, workdir="/")
        except (Malformed, Refused) as error:
            return [str(error)]
        return reasons

    async def build(self, order: BuildOrder, log: Log) -> Pullspec:
        if reasons := self.refuses(order):
            raise Refused("; ".join(reasons))
        client = await self._access.client(order.cluster)
        return await _Making(client, self._settings, order, log).image()

    async def clean(self, build: str) -> None:
        """Nothing: temporary files have no name while in use, and uploads expire by themselves."""


@dataclass(frozen=True, slots=True)
class _Making:
    """One build on its way."""

    client: RegistryClient
    settings: AppendSettings
    order: BuildOrder
    log: Log

    async def image(self) -> Pullspec:
        order = self.order
        bases = [await self._base(manifests.platform(name)) for name in order.platforms]
        layers: dict[tuple[Placed, ...], Layer] = {}
        try:
            results = [await self._image(base, layers) for base in bases]
        finally:
            for layer in layers.values():
                layer.file.close()
        raw, media_type = results[0].raw, OCI_MANIFEST
        if len(results) > 1:
            for part in results:
                await self.client.put_manifest(
                    order.target, part.digest, media_type=OCI_MANIFEST, raw=part.raw
                )
            raw, media_type = manifests.index(results, order.labels), OCI_INDEX
        # Last, and by tag: until now nobody could find a half-made image.
        digest = await self.client.put_manifest(
            order.target, order.tag, media_type=media_type, raw=raw
        )
        await self.log(f"pushed {order.target}:{order.tag} as {digest}")
        return order.target.at(digest)

    async def _base(self, platform: Platform) -> _Base:
        order = self.order
        manifest = await self.client.platform_manifest(order.base, platform)
        config = await self.client.config_of(manifest)
        if (config.os, config.architecture) != (platform.os, platform.architecture):
            found = clean(config.platform, limit=60)
            raise Refused(f"{order.base} is for {found}, not for {platform}")
        settings = manifests.Settings.read(config)
        try:
            steps = _steps(order, platform, env=settings.env)
        except Malformed as error:
            raise Refused(str(error)) from error
        placed = _placed(order, steps, self.settings, workdir=settings.workdir)
        return _Base(
            platform=platform, manifest=manifest, config=config, steps=steps, placed=placed
        )

    async def _layer(self, base: _Base) -> Layer:
        order = self.order
        unpacked = frozenset(
            source.path
            for step in base.steps
            if isinstance(step, CopyFiles) and step.unpacks
            for source in step.sources
            if isinstance(source, Source)
        )

        def made() -> Layer:
            # One function for both: if we are cancelled, this thread still removes its files.
            with tempfile.TemporaryDirectory(dir=self.settings.scratch) as directory:
                stage_recipe(order.recipe, order.context, into=Path(directory))
                return write_layer(
                    base.placed,
                    Path(directory),
                    mtime=int(order.created.timestamp()),
                    unpacked=unpacked,
                    memory_bytes=self.settings.memory_bytes,
                    scratch=self.settings.scratch,
                )

        try:
            return await asyncio.to_thread(made)
        except OSError as error:
            place = self.settings.scratch or tempfile.gettempdir()
            raise Transient(
                f"the layer cannot be written to {place} ({error.strerror}): free some space there"
            ) from error

    async def _image(self, base: _Base, layers: dict[tuple[Placed, ...], Layer]) -> manifests.Made:
        """Bring all blobs of one platform's image to the target: the base's while ours is made."""
        carried: Counter[Carried] = Counter()
        places = asyncio.Semaphore(self.settings.parallel_blobs)

        async def carry(blob: Descriptor) -> None:
            async with places:
                how = await self.client.copy_blob(
                    blob, source=self.order.base.repository, target=self.order.target
                )
                carried[how] += 1

        try:
            async with asyncio.TaskGroup() as group:
                own = group.create_task(self._own(base, layers))
                for blob in {blob.digest: blob for blob in base.manifest.layers}.values():
                    group.create_task(carry(blob))
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None
        if layer := layers.get(base.placed):
            await self.log(f"{base.platform}: layer {layer.digest}, {layer.entries} entries")
        told = ", ".join(f"{count} {how.value}" for how, count in sorted(carried.items()))
        await self.log(f"{base.platform}: layers of the base: {told}")
        return own.result()

    async def _own(self, base: _Base, layers: dict[tuple[Placed, ...], Layer]) -> manifests.Made:
        """Make and push what the base does not have: one layer, if any, and the config."""
        order = self.order
        if base.placed and base.placed not in layers:
            layers[base.placed] = await self._layer(base)
        layer = layers.get(base.placed)
        made = manifests.image(
            base.manifest,
            base.config,
            platform=base.platform,
            steps=base.steps,
            layer=layer,
            labels=order.labels,
            created=order.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self.client.upload_blob(order.target, made.config, digest=digest_of(made.config))
            )
            if layer:
                group.create_task(self._push_layer(layer))
        return made

    async def _push_layer(self, layer: Layer) -> None:
        target = self.order.target
        if layer.size <= self.settings.memory_bytes:
            # Sent even if it is there: asking costs as much as a small layer.
            layer.file.seek(0)
            await self.client.upload_blob(target, layer.file.read(), digest=layer.digest)
            return
        if await self.client.direct.blob_exists(target, layer.digest):
            return

        async def chunks() -> AsyncGenerator[bytes, None]:
            layer.file.seek(0)
            while chunk := await asyncio.to_thread(layer.file.read, _CHUNK_BYTES):
                yield chunk

        await self.client.upload_blob(target, chunks, digest=layer.digest, size=layer.size)


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first in a task group, which cancels the others for it."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _placed(
    order: BuildOrder, steps: Sequence[Step], settings: AppendSettings, *, workdir: str
) -> tuple[Placed, ...]:
    layout = Layout(order.recipe.entries, directory_modes=settings.directory_modes, workdir=workdir)
    for step in steps:
        if isinstance(step, CopyFiles):
            layout.copy(step)
    return layout.placed()


def _steps(order: BuildOrder, platform: Platform, *, env: Mapping[str, str]) -> tuple[Step, ...]:
    """The recipe's steps for one platform; raise Malformed."""
    recipe = order.recipe
    rebased = rebase(recipe.containerfile, order.base, build_args=recipe.build_args)
    # Containerfile reference, "Automatic platform ARGs": there where an ARG declares them.
    automatic = {
        "TARGETPLATFORM": str(platform),
        "TARGETOS": platform.os,
        "TARGETARCH": platform.architecture,
        "TARGETVARIANT": platform.variant or "",
    }
    given = {**automatic, **recipe.build_args, **rebased.build_args}
    return plan(scan(rebased.text), build_args=given, base_env=env)
