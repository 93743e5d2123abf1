"""Commands that stop and let go: freeze and unfreeze, of one pool called hold and unhold."""

from watcher import scopes, shown
from watcher.cli import output
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, say, table, tell
from watcher.cli.session import (
    LEFT_ALONE,
    SURFACE,
    agreed,
    cluster_named,
    identity,
    moment,
    pool_named,
    the_desk,
    the_store,
)
from watcher.clock import SystemClock
from watcher.core import timing
from watcher.settings import Settings


async def freeze(
    settings: Settings, cluster: str | None, *, until: str, reason: str, form: Format
) -> Code:
    """Let nothing begin in a cluster, or anywhere."""
    if not reason.strip():
        raise Usage("--reason: say why; whoever finds it frozen wants to know")
    scope = cluster_named(settings, cluster) if cluster else ""
    return await _frozen(settings, scope, until, reason, form)


async def hold(settings: Settings, pool: str, *, until: str, reason: str, form: Format) -> Code:
    """Let nothing begin on a pool."""
    return await _frozen(settings, _scope(settings, pool), until, reason, form)


async def unfreeze(settings: Settings, cluster: str | None, *, yes: bool, form: Format) -> Code:
    """Lift the freeze of a cluster, or of everything."""
    scope = cluster_named(settings, cluster) if cluster else ""
    return await _lifted(settings, scope, "Unfreeze", yes=yes, form=form)


async def unhold(settings: Settings, pool: str, *, yes: bool, form: Format) -> Code:
    """Lift the hold of a pool."""
    return await _lifted(settings, _scope(settings, pool), "Let go of", yes=yes, form=form)


def _scope(settings: Settings, pool: str) -> str:
    place = pool_named(settings, pool)
    return f"{place.cluster}/{place.pool}"


async def _frozen(settings: Settings, scope: str, until: str, reason: str, form: Format) -> Code:
    by = identity()
    async with the_desk(settings) as desk:
        end = moment(settings, scope, until, now=desk.clock.now()) if until else None
        await desk.rights.check_freeze(scope, by=by, surface=SURFACE)
        async with scopes.declined_is_audited(
            desk.store, desk.clock, "Freeze", scope, by=by, surface=SURFACE
        ):
            made = await desk.people.freeze(
                scope, by=by, because=reason, until=end, surface=SURFACE
            )
    sentence = scopes.frozen_sentence(made)
    if form is Format.JSON:
        output.as_json({"sentence": sentence, "freeze": shown.freeze_row(made)})
    else:
        say(sentence)
    return Code.OK


async def _lifted(settings: Settings, scope: str, word: str, *, yes: bool, form: Format) -> Code:
    by = identity()
    async with the_desk(settings) as desk:
        there = [one for one in await desk.store.freezes() if one.scope == scope]
        for one in there if not yes else ():
            tell(f"{scope or 'everything'}: {timing.freeze_sentence(one)}")
        question = f"{word} {scope or 'everything'}? What waits may begin at once."
        if there and not agreed(question, yes=yes):
            tell(LEFT_ALONE)
            return Code.DECLINED
        await desk.rights.check("Unfreeze", scope, by=by, surface=SURFACE)
        async with scopes.declined_is_audited(
            desk.store, desk.clock, "Unfreeze", scope, by=by, surface=SURFACE
        ):
            await desk.people.unfreeze(scope, by=by, surface=SURFACE)
        sentence = await scopes.lifted_sentence(desk.store, scope, now=desk.clock.now())
    if form is Format.JSON:
        output.as_json({"sentence": sentence, "scope": scope})
    else:
        say(sentence)
    return Code.OK


async def freezes(settings: Settings, form: Format) -> Code:
    """Every freeze and hold that is in force."""
    async with the_store(settings) as store:
        rows = await shown.freezes(store, now=SystemClock().now())
    if form is Format.JSON:
        output.as_json({"freezes": rows})
    elif rows:
        print_freezes(rows)
    else:
        say("nothing is frozen or held")
    return Code.OK


def print_freezes(rows: list[shown.Row]) -> None:
    """Print what is frozen or held, for people."""
    table(
        ("FROZEN", "BY", "SINCE (UTC)", "UNTIL (UTC)", "WHY"),
        [
            (
                *(row["scope"] or "everything", row["by"], output.minute(row["at"])),
                *(output.minute(row["until"]) or "it is ended", row["because"]),
            )
            for row in rows
        ],
    )
