"""Commands that keep alerts quiet for a while: silence, unsilence, silences."""

from watcher.cli import output
from watcher.cli.door import Door
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Column, Format, minute, say

COLUMNS = (
    Column("SILENCE", lambda r: r["id"]),
    Column("WHERE", lambda r: r["scope"] or "everywhere"),
    Column("RULE", lambda r: r["rule"] or "every"),
    Column("BY", lambda r: r["by"]),
    Column("SINCE (UTC)", lambda r: minute(r["at"]), wide=True),
    Column("UNTIL (UTC)", lambda r: minute(r["until"])),
    Column("WHY", lambda r: r["because"]),
)


async def silence(
    door: Door, scope: str, *, rule: str, until: str, reason: str, form: Format
) -> Code:
    """Hold back what is told of alerts, of one rule or all, in a pool, a cluster, or anywhere."""
    if not reason.strip():
        raise Usage("--reason: say why; whoever wonders why nothing was told wants to know")
    made = await door.silence(scope, rule=rule, until=until, reason=reason)
    if form.is_data:
        output.data(made, form)
    else:
        say(made["sentence"])
    return Code.OK


async def unsilence(door: Door, silence_id: str, form: Format) -> Code:
    """Lift a silence."""
    lifted = await door.unsilence(silence_id)
    if form.is_data:
        output.data(lifted, form)
    else:
        say(lifted["sentence"])
    return Code.OK


async def silences(door: Door, form: Format) -> Code:
    """Every silence that is in force."""
    found = await door.silences()
    if form.is_data:
        output.data(found, form)
    elif found["silences"]:
        output.columns(COLUMNS, found["silences"], form)
    else:
        say("nothing is silenced")
    return Code.OK
