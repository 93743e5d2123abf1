"""Commands that keep alerts quiet for a while: silence, unsilence, silences."""

from watcher import config, scopes, shown
from watcher.alert_rules import RULES
from watcher.cli import output
from watcher.cli.exits import Code, NotFound, Usage
from watcher.cli.output import Format, say, table
from watcher.cli.session import SURFACE, identity, moment, pool_named, the_desk, the_store
from watcher.clock import SystemClock
from watcher.settings import Settings


async def silence(
    settings: Settings, scope: str, *, rule: str, until: str, reason: str, form: Format
) -> Code:
    """Hold back what is told of alerts, of one rule or all, in a pool, a cluster, or anywhere."""
    if not reason.strip():
        raise Usage("--reason: say why; whoever wonders why nothing was told wants to know")
    if rule and rule not in RULES:
        raise Usage(f"--rule: no alert rule is called {rule}{config.nearest(rule, RULES)}")
    place, by = _place_named(settings, scope), identity()
    async with the_desk(settings) as desk:
        end = moment(settings, place, until, now=desk.clock.now())
        await desk.rights.check_silence(place, by=by, surface=SURFACE)
        async with scopes.declined_is_audited(
            desk.store, desk.clock, "Silence", place, by=by, surface=SURFACE
        ):
            made = await desk.people.silence(
                place, rule=rule, by=by, because=reason, until=end, surface=SURFACE
            )
    sentence = scopes.silenced_sentence(settings, made)
    if form is Format.JSON:
        output.as_json({"sentence": sentence, "silence": shown.silence_row(made)})
    else:
        say(sentence)
    return Code.OK


async def unsilence(settings: Settings, silence_id: str, form: Format) -> Code:
    """Lift a silence."""
    by = identity()
    async with the_desk(settings) as desk:
        lifted = await desk.rights.check_unsilence(silence_id, by=by, surface=SURFACE)
        async with scopes.declined_is_audited(
            desk.store, desk.clock, "Unsilence", lifted.scope, by=by, surface=SURFACE
        ):
            await desk.people.unsilence(lifted, by=by, surface=SURFACE)
        sentence = await scopes.unsilenced_sentence(desk.store, lifted, now=desk.clock.now())
    if form is Format.JSON:
        output.as_json({"sentence": sentence, "silence": shown.silence_row(lifted)})
    else:
        say(sentence)
    return Code.OK


async def silences(settings: Settings, form: Format) -> Code:
    """Every silence that is in force."""
    async with the_store(settings) as store:
        rows = await shown.silences(store, now=SystemClock().now())
    if form is Format.JSON:
        output.as_json({"silences": rows})
    elif rows:
        table(
            ("SILENCE", "WHERE", "RULE", "BY", "UNTIL (UTC)", "WHY"),
            [
                (
                    *(row["id"], row["scope"] or "everywhere", row["rule"] or "every", row["by"]),
                    *(output.minute(row["until"]), row["because"]),
                )
                for row in rows
            ],
        )
    else:
        say("nothing is silenced")
    return Code.OK


def _place_named(settings: Settings, scope: str) -> str:
    """Return the scope; a pool alone is enough where one cluster has it. Raise NotFound, Usage."""
    clusters = scopes.clusters_of(settings)
    if scope in clusters or not scope:
        return scope
    if "/" not in scope and any(pool.pool == scope for pool in settings.pools):
        place = pool_named(settings, scope)
        return f"{place.cluster}/{place.pool}"
    if because := scopes.why_no_place(settings, scope):
        raise NotFound(because + config.nearest(scope.partition("/")[0], clusters))
    return scope
