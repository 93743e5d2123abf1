"""Commands that stop and let go: freeze and unfreeze, of one pool called hold and unhold."""

from watcher.cli import output
from watcher.cli.asking import LEFT_ALONE, agreed
from watcher.cli.door import Door, Row
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Column, Format, minute, say, tell

COLUMNS = (
    Column("FROZEN", lambda r: r["scope"] or "everything"),
    Column("BY", lambda r: r["by"]),
    Column("SINCE (UTC)", lambda r: minute(r["at"])),
    Column("UNTIL (UTC)", lambda r: minute(r["until"]) or "it is ended"),
    Column("WHY", lambda r: r["because"]),
)


async def freeze(door: Door, cluster: str | None, *, until: str, reason: str, form: Format) -> Code:
    """Let nothing begin in a cluster, or anywhere."""
    if not reason.strip():
        raise Usage("--reason: say why; whoever finds it frozen wants to know")
    scope = await door.scope(cluster) if cluster else ""
    return _said(await door.freeze(scope, until=until, reason=reason), form)


async def hold(door: Door, pool: str, *, until: str, reason: str, form: Format) -> Code:
    """Let nothing begin on a pool."""
    scope = await door.place(pool)
    return _said(await door.freeze(scope, until=until, reason=reason), form)


async def unfreeze(door: Door, cluster: str | None, *, yes: bool, form: Format) -> Code:
    """Lift the freeze of a cluster, or of everything."""
    scope = await door.scope(cluster) if cluster else ""
    return await _lifted(door, scope, "Unfreeze", yes=yes, form=form)


async def unhold(door: Door, pool: str, *, yes: bool, form: Format) -> Code:
    """Lift the hold of a pool."""
    return await _lifted(door, await door.place(pool), "Let go of", yes=yes, form=form)


def _said(answer: Row, form: Format) -> Code:
    if form.is_data:
        output.data(answer, form)
    else:
        say(answer["sentence"])
    return Code.OK


async def _lifted(door: Door, scope: str, word: str, *, yes: bool, form: Format) -> Code:
    if not yes:
        there = [one for one in (await door.freezes())["freezes"] if one["scope"] == scope]
        for one in there:
            tell(f"{scope or 'everything'}: {one['sentence']}")
        question = f"{word} {scope or 'everything'}? What waits may begin at once."
        if there and not agreed(question, yes=yes):
            tell(LEFT_ALONE)
            return Code.DECLINED
    return _said(await door.unfreeze(scope), form)


async def freezes(door: Door, form: Format) -> Code:
    """Every freeze and hold that is in force."""
    found = await door.freezes()
    if form.is_data:
        output.data(found, form)
    elif found["freezes"]:
        print_freezes(found["freezes"], form)
    else:
        say("nothing is frozen or held")
    return Code.OK


def print_freezes(rows: list[Row], form: Format) -> None:
    """Print what is frozen or held, for people."""
    output.columns(COLUMNS, rows, form)
