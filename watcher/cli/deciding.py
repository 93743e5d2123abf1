"""Commands by which people decide. What counts is said by `people` and `planner`, not here."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from watcher.cli import output
from watcher.cli.asking import LEFT_ALONE, agreed
from watcher.cli.door import Decision, Door, Row
from watcher.cli.exits import Code, NotFound, Usage
from watcher.cli.output import Format, pairs, say, tell
from watcher.cli.plans import print_plan

if TYPE_CHECKING:
    from watcher.settings import Settings

DECIDED_ABOUT = (
    *("id", "state", "because", "change", "release", "base", "image", "recipe", "requested_by"),
)


async def decide(
    door: Door,
    what: Decision,
    update_id: str,
    *,
    reason: str,
    binding: str,
    yes: bool,
    form: Format,
) -> Code:
    """Approve or reject exactly what is shown, or what `binding` names."""
    _check(binding)
    update = await door.update(update_id)
    if not yes:
        _show(update)
    if not agreed(f"{what.capitalize()} this?", yes=yes):
        tell(LEFT_ALONE)
        return Code.DECLINED
    bound = binding or update["binding"]
    return _said(await door.decide(what, update_id, binding=bound, reason=reason), form)


async def snooze(door: Door, update_id: str, *, until: str, binding: str, form: Format) -> Code:
    """Put an update off, as it is shown or as `binding` names it."""
    _check(binding)
    update = await door.update(update_id)
    bound = binding or update["binding"]
    return _said(await door.snooze(update_id, binding=bound, until=until), form)


def _said(outcome: Row, form: Format) -> Code:
    if form.is_data:
        output.data(outcome, form)
    else:
        say(outcome["sentence"])
    return Code.OK


def _check(binding: str) -> None:
    from watcher.core.facts import Digest, Malformed

    try:
        if binding:
            Digest(binding)
    except Malformed as error:
        raise Usage(f"--binding: {error}") from error


def _show(update: Row) -> None:
    """Tell on stderr what the decision is about, so that stdout stays the result."""
    for name in DECIDED_ABOUT:
        if update[name]:
            tell(f"{name.replace('_', ' ')}: {update[name]}")
    tell(f"pool: {output.place(update)}")


async def rebuild(door: Door, pool: str, *, allow_downgrade: bool, yes: bool, form: Format) -> Code:
    """Ask for an update of a pool though nothing asks for it by itself."""

    async def ask(place: str) -> Row:
        return await door.rebuild(place, allow_downgrade=allow_downgrade)

    return await _asked(door, pool, "Rebuild and update", ask, yes=yes, form=form)


async def stock(door: Door, pool: str, *, yes: bool, form: Format) -> Code:
    """Ask for the stock image: our override is removed and the rollout followed."""
    question = "Go back to the stock image on"
    return await _asked(door, pool, question, door.stock, yes=yes, form=form)


async def _asked(
    door: Door,
    pool: str,
    question: str,
    ask: Callable[[str], Awaitable[Row]],
    *,
    yes: bool,
    form: Format,
) -> Code:
    """`question`: how it begins, before the pool's name."""
    place = await door.place(pool)
    if not yes and not form.is_data:
        print_plan((await door.plans(place))["plans"][0], form)
    if not agreed(f"{question} {place}?", yes=yes):
        tell(LEFT_ALONE)
        return Code.DECLINED
    asked = await ask(place)
    if form.is_data:
        output.data(asked, form)
        return Code.OK
    update = asked["update"]
    awaits = update["state"] == "awaiting-approval"
    pairs(
        [
            ("update", update["id"]),
            ("state", update["state"]),
            ("why", update["because"]),
            # The plan that was shown before the question had them already.
            *(("lint", sentence) for sentence in update["background"]["complaints"] if yes),
            (
                "next",
                f"relayer approve {update['id']}" if awaits else "the service carries it on",
            ),
        ]
    )
    return Code.OK


async def revive(settings: "Settings", job_id: str, form: Format) -> Code:
    """Bring a dead letter back into the queue."""
    from dataclasses import replace

    from watcher.cli.session import SURFACE, identity
    from watcher.cli.stores import the_store
    from watcher.clock import SystemClock
    from watcher.engine import noted

    async with the_store(settings) as store:
        try:
            job = (await store.get(job_id)).job
            entry = noted(job, "Revived", by=identity(), now=SystemClock().now())
            await store.revive(job_id, replace(entry, surface=SURFACE))
        except KeyError:
            raise NotFound(f"{job_id} is no dead letter; `relayer dead` lists them") from None
    if form.is_data:
        output.data({"revived": job_id}, form)
    else:
        say(f"{job_id} is in the queue again")
    return Code.OK


async def cancel(settings: "Settings", build_id: str, reason: str, form: Format) -> Code:
    """End a build that has not ended."""
    from watcher import scopes
    from watcher.cli.session import SURFACE, desk_of, identity
    from watcher.cli.stores import the_store
    from watcher.clock import SystemClock

    by, clock = identity(), SystemClock()
    async with (
        the_store(settings) as store,
        scopes.declined_is_audited(
            store, clock, "Cancel", "", by=by, surface=SURFACE, job=build_id
        ),
    ):
        people = desk_of(settings, store, clock).people
        try:
            build = await people.cancel_build(build_id, by=by, reason=reason, surface=SURFACE)
        except KeyError:
            raise NotFound(f"there is no build {build_id}; `relayer status` lists them") from None
    if form.is_data:
        output.data({"cancelled": build.id, "state": build.state}, form)
    else:
        say(f"{build.id} is cancelled; the updates that waited for it fail, nothing was touched")
    return Code.OK
