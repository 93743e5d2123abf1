"""Make the layered image of a build: choose the builder, order, stream its output."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from watcher.core import images
from watcher.core.build import Build, BuildFailed, BuildStarted, Built, RunBuild, StartBuild
from watcher.core.facts import Pullspec
from watcher.core.recipe import Recipe
from watcher.core.recipe_diff import snapshot
from watcher.ports import Builder, BuildOrder, Refused, StillOurs, Store

LoadRecipe = Callable[[str], tuple[Recipe, Path, str]]
"""Recipe, its directory and the configured builder's name, by the recipe's name."""
TAG_LENGTH = 20
LOG_BATCH_LINES = 20


async def start(build: Build, action: StartBuild, still_ours: StillOurs) -> BuildStarted:
    """A worker has it now; saved before the first byte is moved."""
    return BuildStarted()


@dataclass(frozen=True, slots=True)
class RunBuildHandler:
    builders: Sequence[Builder]
    """In the order of preference of `auto`."""
    load_recipe: LoadRecipe
    store: Store

    async def __call__(
        self, build: Build, action: RunBuild, still_ours: StillOurs
    ) -> Built | BuildFailed:
        """Build and push; raise Transient for what may pass, Refused for what will not."""
        recipe, context, wanted = await self._recipe(build)
        if recipe.digest != build.recipe_digest:
            return BuildFailed(f"recipe {recipe.name} changed while the build waited")
        await self._keep(build, recipe)
        order = BuildOrder(
            build=build.id,
            base=build.base,
            recipe=recipe,
            context=context,
            target=build.target,
            tag=f"relayer-{build.key[:TAG_LENGTH]}",
            platforms=build.platforms,
            labels=labels(build),
            created=build.created_at,
            cluster=build.cluster,
        )
        return Built(await self._built(choose(self.builders, wanted, order), order))

    async def _keep(self, build: Build, recipe: Recipe) -> None:
        """So that approvers of the next one can be shown what changed since."""
        try:
            await self.store.keep(f"recipe:{recipe.digest}", snapshot(recipe))
        except Refused as refusal:  # what is only shown keeps nobody from building
            await self.store.add_log(build.id, [f"not kept for comparison: {refusal}"])

    async def _built(self, usable: Sequence[Builder], order: BuildOrder) -> Pullspec:
        """Build with the first that can; some find out only when they see the base."""
        first, *others = usable
        try:
            return await self._built_by(first, order)
        except Refused as refusal:
            if not others:
                raise
            await self.store.add_log(order.build, [f"{first.name} cannot: {refusal}"])
        return await self._built(others, order)

    async def _built_by(self, builder: Builder, order: BuildOrder) -> Pullspec:
        # What a crashed attempt left is in the way of this one.
        await builder.clean(order.build)
        await self.store.add_log(order.build, [f"building with {builder.name}"])
        lines = _Lines(self.store, order.build)
        try:
            return await builder.build(order, lines.add)
        finally:
            await lines.flush()

    async def _recipe(self, build: Build) -> tuple[Recipe, Path, str]:
        return await asyncio.to_thread(self.load_recipe, build.recipe)


def labels(build: Build) -> dict[str, str]:
    """Return the lineage that goes onto the image: see `watcher.core.lineage.from_image`."""
    return {
        images.BASE_DIGEST: build.base.digest,
        images.BASE_NAME: build.base,
        images.REVISION: build.recipe_digest,
        images.RECIPE: build.recipe_digest,
        images.CREATED: f"{build.created_at:%Y-%m-%dT%H:%M:%SZ}",
        images.BUILD_KEY: build.key,
        images.RELEASE: build.base_version,
    }


def choose(builders: Sequence[Builder], wanted: str, order: BuildOrder) -> list[Builder]:
    """Return the configured builder, or for `auto` all that may; Refused with every reason."""
    usable: list[Builder] = []
    reasons: list[str] = []
    for builder in builders:
        if wanted not in ("auto", builder.name):
            continue
        refusals = builder.refuses(order)
        reasons += [f"{builder.name}: {refusal}" for refusal in refusals]
        if not refusals:
            usable.append(builder)
    if usable:
        return usable
    why = "; ".join(reasons) or f"there is no builder {wanted!r} here"
    raise Refused(f"recipe {order.recipe.name} cannot be built: {why}")


class _Lines:
    """Sends output to the store in batches, so that a chatty build is not slowed by it."""

    def __init__(self, store: Store, build: str) -> None:
        self._store, self._build, self._waiting = store, build, list[str]()

    async def add(self, line: str) -> None:
        self._waiting.append(line)
        if len(self._waiting) >= LOG_BATCH_LINES:
            await self.flush()

    async def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            await self._store.add_log(self._build, waiting)
