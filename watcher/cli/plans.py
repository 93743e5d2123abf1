"""`relayer plan`: what would be done about a pool, and why."""

from watcher.cli import output
from watcher.cli.door import Door, Row
from watcher.cli.exits import Code
from watcher.cli.output import Format, pairs, say


async def plan(door: Door, pool: str | None, form: Format) -> Code:
    """What would be done about one pool, or about all, and why; changes nothing."""
    planned = await door.plans(pool)
    if form.is_data:
        output.data(planned, form)
        return Code.OK
    for number, row in enumerate(planned["plans"]):
        if number:
            say()
        print_plan(row, form)
    return Code.OK


def print_plan(row: Row, form: Format) -> None:
    """Print one plan for people."""
    active, is_wide = row["update"], form is Format.WIDE
    pairs(
        [
            ("pool", output.place(row)),
            ("decision", row["decision"]),
            ("why", row["because"]),
            ("release", row["release"]),
            ("runs", row["running"] or "the stock image"),
            ("base", row["base"]),
            ("base release", row["base_release"] if is_wide else ""),
            ("recipe", row["recipe"]),
            ("recipe digest", row["recipe_digest"]),
            ("build key", row["build_key"]),
            ("active update", f"{active['id']} ({active['state']})" if active else ""),
            ("because", active["because"] if active and is_wide else ""),
            ("image", active["image"] if active and is_wide else ""),
            ("binding", active["binding"] if active and is_wide else ""),
            *(("in the way now", sentence) for sentence in row["unmet"]),
            *(("lint", sentence) for sentence in row["complaints"]),
        ]
    )
