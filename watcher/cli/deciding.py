"""Commands by which people decide. What counts is said by `people` and `planner`, not here."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal

from watcher import scopes, shown
from watcher.bootstrap import App, open_app, watching
from watcher.cli import output
from watcher.cli.exits import Code, NotFound, Usage
from watcher.cli.looking import print_plan
from watcher.cli.output import Format, pairs, say, tell
from watcher.cli.session import (
    LEFT_ALONE,
    SURFACE,
    agreed,
    identity,
    moment,
    only,
    pool_named,
    the_desk,
    update_named,
)
from watcher.core.facts import Digest, Malformed
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.engine import noted
from watcher.people import Outcome
from watcher.settings import PoolSettings, Settings


async def decide(
    settings: Settings,
    what: Literal["approve", "reject"],
    update_id: str,
    *,
    reason: str,
    binding: str,
    yes: bool,
    form: Format,
) -> Code:
    """Approve or reject exactly what is shown, or what `binding` names."""
    named = _digest(binding)
    async with the_desk(settings) as desk:
        update, _ = await update_named(desk.store, update_id)
        if not yes:
            _show(update)
        if not agreed(f"{what.capitalize()} this?", yes=yes):
            tell(LEFT_ALONE)
            return Code.DECLINED
        decision = desk.people.approve if what == "approve" else desk.people.reject
        outcome = await decision(
            update.id,
            by=identity(),
            binding=named or _bound(update),
            reason=reason,
            surface=SURFACE,
        )
    return _decided(outcome, form)


async def snooze(
    settings: Settings, update_id: str, *, until: str, binding: str, form: Format
) -> Code:
    """Put an update off, as it is shown or as `binding` names it."""
    named = _digest(binding)
    async with the_desk(settings) as desk:
        update, _ = await update_named(desk.store, update_id)
        at = moment(settings, f"{update.cluster}/{update.pool}", until, now=desk.clock.now())
        outcome = await desk.people.snooze(
            update.id, by=identity(), until=at, binding=named or _bound(update), surface=SURFACE
        )
    return _decided(outcome, form)


def _decided(outcome: Outcome, form: Format) -> Code:
    if form is Format.JSON:
        row = shown.update_row(outcome.update)
        output.as_json({"sentence": outcome.sentence, "update": row})
    else:
        say(outcome.sentence)
    return Code.OK


def _bound(update: Update) -> Digest | None:
    return update.binding.digest() if update.image else None


def _digest(binding: str) -> Digest | None:
    try:
        return Digest(binding) if binding else None
    except Malformed as error:
        raise Usage(f"--binding: {error}") from error


def _show(update: Update) -> None:
    """Tell on stderr what the decision is about, so that stdout stays the result."""
    row = shown.update_row(update)
    names = (
        "id",
        "state",
        "because",
        "change",
        "release",
        "base",
        "image",
        "recipe",
        "requested_by",
    )
    for name in names:
        if row[name]:
            tell(f"{name.replace('_', ' ')}: {row[name]}")
    tell(f"pool: {update.cluster}/{update.pool}")


async def rebuild(
    settings: Settings, pool: str, *, allow_downgrade: bool, yes: bool, form: Format
) -> Code:
    """Ask for an update of a pool though nothing asks for it by itself."""
    by = identity()

    async def ask(app: App, place: PoolSettings) -> Update:
        return await app.planner.rebuild(
            place.cluster, place.pool, by=by, allow_downgrade=allow_downgrade, surface=SURFACE
        )

    return await _asked(settings, pool, ("Rebuild", "Rebuild and update"), ask, yes=yes, form=form)


async def stock(settings: Settings, pool: str, *, yes: bool, form: Format) -> Code:
    """Ask for the stock image: our override is removed and the rollout followed."""
    by = identity()

    async def ask(app: App, place: PoolSettings) -> Update:
        return await app.planner.stock(place.cluster, place.pool, by=by, surface=SURFACE)

    return await _asked(
        settings, pool, ("Stock", "Go back to the stock image on"), ask, yes=yes, form=form
    )


async def _asked(
    settings: Settings,
    pool: str,
    what: tuple[str, str],
    ask: Callable[[App, PoolSettings], Awaitable[Update]],
    *,
    yes: bool,
    form: Format,
) -> Code:
    """`what`: the word for auditors, and how it begins a question."""
    place, (word, question) = pool_named(settings, pool), what
    async with (
        open_app(only(settings, {place.cluster})) as app,
        watching(app, place.cluster),
    ):
        if not yes and form is Format.TABLE:
            print_plan(shown.plan_row(await app.planner.plan(place.cluster, place.pool)))
        if not agreed(f"{question} {place.cluster}/{place.pool}?", yes=yes):
            tell(LEFT_ALONE)
            return Code.DECLINED
        async with scopes.declined_is_audited(
            app.store,
            app.clock,
            word,
            f"{place.cluster}/{place.pool}",
            by=identity(),
            surface=SURFACE,
        ):
            update = await ask(app, place)
    if form is Format.JSON:
        output.as_json({"update": shown.update_row(update)})
        return Code.OK
    awaits = update.state is UpdateState.AWAITING_APPROVAL
    pairs(
        [
            ("update", update.id),
            ("state", update.state),
            ("why", update.because),
            # The plan that was shown before the question had them already.
            *(("lint", sentence) for sentence in update.background.complaints if yes),
            ("next", f"relayer approve {update.id}" if awaits else "the service carries it on"),
        ]
    )
    return Code.OK


async def revive(settings: Settings, job_id: str, form: Format) -> Code:
    """Bring a dead letter back into the queue."""
    async with the_desk(settings) as desk:
        try:
            job = (await desk.store.get(job_id)).job
            entry = noted(job, "Revived", by=identity(), now=desk.clock.now())
            await desk.store.revive(job_id, replace(entry, surface=SURFACE))
        except KeyError:
            raise NotFound(f"{job_id} is no dead letter; `relayer dead` lists them") from None
    if form is Format.JSON:
        output.as_json({"revived": job_id})
    else:
        say(f"{job_id} is in the queue again")
    return Code.OK


async def cancel(settings: Settings, build_id: str, reason: str, form: Format) -> Code:
    """End a build that has not ended."""
    by = identity()
    async with (
        the_desk(settings) as desk,
        scopes.declined_is_audited(
            desk.store, desk.clock, "Cancel", "", by=by, surface=SURFACE, job=build_id
        ),
    ):
        try:
            build = await desk.people.cancel_build(build_id, by=by, reason=reason, surface=SURFACE)
        except KeyError:
            raise NotFound(f"there is no build {build_id}; `relayer status` lists them") from None
    if form is Format.JSON:
        output.as_json({"cancelled": build.id, "state": build.state})
    else:
        say(f"{build.id} is cancelled; the updates that waited for it fail, nothing was touched")
    return Code.OK
