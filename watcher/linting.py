"""What lint says of a pool's recipe, beside each look at the pool: advice, nothing waits for it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from watcher.core.cluster import ClusterView, Pool
from watcher.core.lint import PoolContext, lint, sentences
from watcher.core.lint.of_pool import selected
from watcher.core.recipe import Recipe

Heads = Callable[[str], bytes | None]
"""The beginning of a file of a recipe, by its path; blocking."""
KEPT = 512
"""Recipes as pools have them: what neither changed is not looked at again."""


def _no_heads(recipe: str) -> Heads:
    return lambda path: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Linter:
    heads: Callable[[str], Heads] = _no_heads
    """By the name of a recipe; without it secrets are known by the names of files only."""
    _kept: OrderedDict[Hashable, tuple[str, ...]] = field(default_factory=OrderedDict)

    async def sentences(
        self, view: ClusterView, pool: Pool, recipe: Recipe, *, release: str, file: str
    ) -> tuple[str, ...]:
        """Return what a plan and an approval say of a recipe, errors first; see `core.lint`."""
        configs = selected(view, pool, release=release)
        # A name and a version say which object: nothing of it is compared.
        versions = tuple((mc.meta.name, mc.meta.uid, mc.meta.resource_version) for mc in configs)
        key = (view.cluster, recipe.name, recipe.digest, release, file, versions)
        if key not in self._kept:
            context = PoolContext.of(configs, release=release)
            self._kept[key] = await asyncio.to_thread(self._look, recipe, context, file)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _look(self, recipe: Recipe, context: PoolContext, file: str) -> tuple[str, ...]:
        heads = self.heads(recipe.name)
        return sentences(lint(recipe, context=context, contents=heads, file=file))
