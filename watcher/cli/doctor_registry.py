"""`relayer doctor registry`: whether what recipes make can be built, pushed and pulled."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from watcher.bootstrap import clients
from watcher.cli import doctor
from watcher.cli.doctor_cluster import ClusterSteps, Common, Concerned, concerned
from watcher.cli.doctor_places import Places
from watcher.cli.doctor_release import WIDTH, Asked, common
from watcher.cli.doctor_steps import shown, skipped, tried
from watcher.cli.exits import Code
from watcher.cli.output import Format
from watcher.clients import registries
from watcher.clients.access import Fixed
from watcher.clients.builders import Append, Buildah, BuildahSettings
from watcher.core.facts import Digest, Repository
from watcher.errors import Refused
from watcher.findings import Finding, Level
from watcher.ports import BuildOrder
from watcher.settings import RecipeSettings, Settings

_ANY_BASE = Repository("example.invalid/base").at(Digest("sha256:" + "0" * 64))
"""Stands for the base where only the recipe is looked at."""


async def registry(settings: Settings, asked: Asked, form: Format) -> Code:
    """Check each recipe's target and the bases of its pools; none of it stops the rest."""
    if not settings.recipes:
        why = "there are no recipes in it; docs/reference/configuration.md says how to write one"
        return await doctor.unusable(why, form)
    is_named = asked.pool or asked.flags.cluster or asked.flags.kubeconfig
    what = concerned(settings, asked.flags, asked.pool) if settings.clusters or is_named else []
    async with common(settings, asked) as shared:
        findings = _all(shared, what, every=not (asked.pool or asked.flags.cluster))
        printed = (shown(finding, shared.hidden) async for finding in findings)
        found = await doctor.printed(printed, form, width=WIDTH)
    return doctor.ended(found, form)


async def _all(shared: Common, what: list[Concerned], *, every: bool) -> AsyncIterator[Finding]:
    """Cluster by cluster, since each has its own logins; then the recipes of no pool."""
    settings, told = shared.settings, set[str]()
    for one in what:
        recipes = _recipes(settings, one)
        if not recipes:
            continue
        steps = ClusterSteps(shared, one)
        async for finding in steps.run():
            yield finding
        for recipe in recipes:
            if recipe.name not in told:
                async for finding in _recipe(shared, recipe):
                    yield finding
            told.add(recipe.name)
            async for finding in steps.places.push(recipe.target, recipe.name):
                yield finding
            yield await _pull(steps, recipe)
        async for finding in steps.bases():
            yield finding
    for recipe in settings.recipes if every else ():
        if recipe.name not in told:
            async for finding in _of_no_pool(shared, recipe):
                yield finding


def _recipes(settings: Settings, what: Concerned) -> list[RecipeSettings]:
    """Those of the cluster's pools, each once; all where its pools are not configured."""
    if what.cluster.name not in {one.name for one in settings.clusters}:
        return list(settings.recipes)
    names = [
        pool.recipe
        for pool in settings.pools
        if pool.cluster == what.cluster.name and pool.pool in what.pools
    ]
    return [settings.recipe(name) for name in dict.fromkeys(names)]


async def _of_no_pool(shared: Common, recipe: RecipeSettings) -> AsyncIterator[Finding]:
    async for finding in _recipe(shared, recipe):
        yield finding
    places = Places(
        shared.client, shared.configured, (shared.logins,), patience=shared.patience, prefix=""
    )
    async for finding in places.push(recipe.target, recipe.name):
        yield finding
    yield skipped(f"pull {recipe.name}", "no pool has this recipe, so no node pulls it")


async def _pull(steps: ClusterSteps, recipe: RecipeSettings) -> Finding:
    what, target = f"{steps.prefix}pull {recipe.name}", recipe.target
    if steps.pull_secret is None:
        return skipped(what, "the pull secret cannot be read, see above")
    if not steps.places.answers(target.host):
        return skipped(what, f"there is no connection to {target.host}")
    secret = f"the pull secret of {steps.name}"
    return await steps.places.pull(steps.nodes_client, target, recipe.name, secret=secret)


async def _recipe(shared: Common, said: RecipeSettings) -> AsyncIterator[Finding]:
    """Its files, and what builds it."""
    seconds = shared.patience.step_seconds
    what = f"recipe {said.name}"

    async def read() -> tuple[str, BuildOrder]:
        recipe, directory, _ = await asyncio.to_thread(
            clients.read_recipe, shared.settings, said.name
        )
        order = BuildOrder(
            build="doctor",
            base=_ANY_BASE,
            recipe=recipe,
            context=directory,
            target=recipe.target,
            tag="doctor",
            platforms=("linux/amd64",),
            labels={},
            created=datetime(2000, 1, 1, tzinfo=UTC),
        )
        return f"{directory}, digest {recipe.digest.short}", order

    reading = await tried(what, read(), seconds=seconds)
    yield reading.finding
    if reading.result is None:
        yield skipped(f"builder {said.name}", "the recipe cannot be read, see above")
        return
    order = reading.result
    building = await tried(f"builder {said.name}", _builder(shared, said, order), seconds=seconds)
    finding = building.finding
    if building.error is not None and finding.level is Level.FAILED:
        finding = replace(finding, said=f"{finding.said}{_step(said)}")
    yield finding


def _step(said: RecipeSettings) -> str:
    if said.builder == "append":
        return f"; set builder of recipe {said.name} to auto, and have buildah for it"
    return (
        "; install buildah (`dnf install buildah`, `apt-get install buildah`), or change "
        f"the recipe {said.name} so that it needs no RUN"
    )


async def _builder(shared: Common, said: RecipeSettings, order: BuildOrder) -> tuple[str, None]:
    """What would build it, as `handlers.build.choose` chooses; raise Refused if nothing can."""
    access = Fixed(shared.client, shared.configured)
    reasons = []
    if said.builder in ("auto", "append"):
        refusals = Append(access).refuses(order)
        if not refusals:
            return "append, which needs no program", None
        reasons += [f"append: {refusal}" for refusal in refusals[:3]]
    if said.builder in ("auto", "buildah"):
        tuned = registries.tuned(shared.settings.registry)
        with tempfile.TemporaryDirectory(prefix="relayer-doctor-") as name:
            try:
                found = await Buildah.found(
                    BuildahSettings(work=Path(name), program=shared.buildah), tuned, access
                )
            except Refused as error:
                reasons.append(f"buildah: {error}")
            else:
                version = ".".join(map(str, found._version))
                refusals = found.refuses(order)
                if not refusals:
                    return f"buildah {version}", None
                reasons += [f"buildah {version}: {refusal}" for refusal in refusals[:3]]
    raise Refused("; ".join(reasons))
