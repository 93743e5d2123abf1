"""Commands by which people decide. What counts is said by `people` and `planner`, not here."""

from collections.abc import Awaitable, Callable
from typing import Literal

from watcher import shown
from watcher.bootstrap import App, open_app, watching
from watcher.cli import output
from watcher.cli.exits import Code, NotFound, Usage
from watcher.cli.looking import print_plan
from watcher.cli.output import Format, pairs, say, tell
from watcher.cli.session import agreed, identity, only, pool_named, the_store, update_named
from watcher.clock import SystemClock
from watcher.core.facts import Digest, Malformed
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.engine import noted
from watcher.people import People
from watcher.settings import PoolSettings, Settings

LEFT_ALONE = "nothing was changed"


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
    async with the_store(settings) as store:
        update, _ = await update_named(store, update_id)
        if not yes:
            _show(update)
        if not agreed(f"{what.capitalize()} this?", yes=yes):
            tell(LEFT_ALONE)
            return Code.DECLINED
        people = People(store=store, clock=SystemClock())
        decision = people.approve if what == "approve" else people.reject
        shown_now = update.binding.digest() if update.image else None
        outcome = await decision(
            update.id, by=identity(), binding=named or shown_now, reason=reason
        )
    if form is Format.JSON:
        row = shown.update_row(outcome.update)
        output.as_json({"sentence": outcome.sentence, "update": row})
    else:
        say(outcome.sentence)
    return Code.OK


def _digest(binding: str) -> Digest | None:
    try:
        return Digest(binding) if binding else None
    except Malformed as error:
        raise Usage(f"--binding: {error}") from error


def _show(update: Update) -> None:
    """Tell on stderr what the decision is about, so that stdout stays the result."""
    row = shown.update_row(update)
    names = ("id", "state", "because", "release", "base", "image", "recipe", "requested_by")
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
            place.cluster, place.pool, by=by, allow_downgrade=allow_downgrade
        )

    return await _asked(settings, pool, "Rebuild and update", ask, yes=yes, form=form)


async def stock(settings: Settings, pool: str, *, yes: bool, form: Format) -> Code:
    """Ask for the stock image: our override is removed and the rollout followed."""
    by = identity()

    async def ask(app: App, place: PoolSettings) -> Update:
        return await app.planner.stock(place.cluster, place.pool, by=by)

    return await _asked(settings, pool, "Go back to the stock image on", ask, yes=yes, form=form)


async def _asked(
    settings: Settings,
    pool: str,
    what: str,
    ask: Callable[[App, PoolSettings], Awaitable[Update]],
    *,
    yes: bool,
    form: Format,
) -> Code:
    place = pool_named(settings, pool)
    async with (
        open_app(only(settings, {place.cluster})) as app,
        watching(app, place.cluster),
    ):
        if not yes and form is Format.TABLE:
            print_plan(shown.plan_row(await app.planner.plan(place.cluster, place.pool)))
        if not agreed(f"{what} {place.cluster}/{place.pool}?", yes=yes):
            tell(LEFT_ALONE)
            return Code.DECLINED
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
            ("next", f"relayer approve {update.id}" if awaits else "the service carries it on"),
        ]
    )
    return Code.OK


async def revive(settings: Settings, job_id: str, form: Format) -> Code:
    """Bring a dead letter back into the queue."""
    now = SystemClock().now()
    async with the_store(settings) as store:
        try:
            job = (await store.get(job_id)).job
            await store.revive(job_id, noted(job, "Revived", by=identity(), now=now))
        except KeyError:
            raise NotFound(f"{job_id} is no dead letter; `relayer dead` lists them") from None
    if form is Format.JSON:
        output.as_json({"revived": job_id})
    else:
        say(f"{job_id} is in the queue again")
    return Code.OK


async def cancel(settings: Settings, build_id: str, reason: str, form: Format) -> Code:
    """End a build that has not ended."""
    async with the_store(settings) as store:
        people = People(store=store, clock=SystemClock())
        try:
            build = await people.cancel_build(build_id, by=identity(), reason=reason)
        except KeyError:
            raise NotFound(f"there is no build {build_id}; `relayer status` lists them") from None
    if form is Format.JSON:
        output.as_json({"cancelled": build.id, "state": build.state})
    else:
        say(f"{build.id} is cancelled; the updates that waited for it fail, nothing was touched")
    return Code.OK
