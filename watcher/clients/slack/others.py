"""Everything else that is said in Slack: details in a thread, nudges, notices and digests."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import assert_never

from watcher.clients.slack.blocks import (
    SECTION,
    Json,
    as_bytes,
    context,
    header,
    message,
    section,
)
from watcher.clients.slack.card import LINE, NAME, card, prose
from watcher.clients.slack.text import code, code_block, cut, duration, fit, mention, when
from watcher.core.letters import (
    Body,
    Card,
    Details,
    Diff,
    Digest,
    DigestRow,
    EventLine,
    NodeLine,
    Notice,
    Nudge,
    Severity,
)

SEVERITY = {Severity.INFO: "ℹ️", Severity.WARNING: "⚠️", Severity.CRITICAL: "🚨"}
NODES, EVENTS, LOG, DIFF = 1800, 2600, 2600, 1500
"""Most of each part of the details: together they leave room in one message."""


def render(body: Body) -> Json:
    """Return the message: `text` for notifications, and `blocks`."""
    match body:
        case Card():
            return card(body)
        case Details():
            return details(body)
        case Nudge():
            return nudge(body)
        case Notice():
            return notice(body)
        case Digest():
            return digest(body)
        case never:
            assert_never(never)


def fingerprint(body: Body) -> str:
    """Changes exactly when what is sent changes."""
    return hashlib.sha256(as_bytes(render(body))).hexdigest()


def details(said: Details) -> Json:
    """Return the one reply in the thread of an update."""
    return message(f"Details of {cut(code(said.update), NAME)}", details_blocks(said))


def details_blocks(said: Details) -> list[Json]:
    """Return the details as blocks, what tells most first."""
    update = cut(code(said.update), NAME)
    build = f"  ·  build {cut(code(said.build), NAME)}" if said.build else ""
    blocks = [section(f"*Details of* {update}{build}")]
    if said.nodes:
        blocks.append(section(_listed("*Nodes*", map(_node, _by_need(said.nodes)), NODES)))
    if said.events:
        blocks.append(section(_listed("*Events*", map(_event, said.events), EVENTS, last=True)))
    if said.build_log:
        end = code_block(said.build_log, LOG, last=True)
        blocks.append(section(f"*End of the build log*\n{end}"))
    if said.diff is not None:
        blocks.append(section(_diff(said.diff)))
    if len(blocks) == 1:
        blocks.append(section("Nothing has happened yet."))
    return blocks


def _listed(head: str, lines: Iterator[str], limit: int, *, last: bool = False) -> str:
    return "\n".join((head, *fit(list(lines), limit, last=last)))


def _by_need(nodes: Sequence[NodeLine]) -> list[NodeLine]:
    """Those that somebody may have to look at first."""
    return sorted(nodes, key=lambda node: (not _is_ill(node), node.updated, not node.reason))


def _is_ill(node: NodeLine) -> bool:
    return node.state.lower() == "degraded"


def _node(said: NodeLine) -> str:
    why = f": {prose(said.reason, LINE)}" if said.reason else ""
    sign = "⚠️" if _is_ill(said) else "✅" if said.updated else "⏳"
    return f"{sign} {cut(code(said.name), NAME)} {prose(said.state, NAME)}{why}"


def _event(said: EventLine) -> str:
    by = f" by {mention(said.by)}" if said.by else ""
    detail = f": {prose(said.detail, LINE)}" if said.detail else ""
    return f"{when(said.at)} {prose(said.what, NAME)}{by}{detail}"


def _diff(said: Diff) -> str:
    if not said.known:
        return "*Recipe:* nothing is remembered of the one that the running image was built from"
    if not said.lines:
        return f"*Recipe:* {prose(said.summary) or 'as in the running image'}"
    return (
        f"*Recipe since the running image:* {prose(said.summary)}\n{code_block(said.lines, DIFF)}"
    )


def nudge(said: Nudge) -> Json:
    """Return what is said once, naming those who shall wake."""
    woken = " ".join(mention(who) for who in said.mentions[:20])
    place = prose("/".join(filter(None, (said.cluster, said.pool))), LINE)
    where = f"*{place}*: " if place else ""
    text = f"{SEVERITY[said.severity]} {woken + ' ' * bool(woken)}{where}{prose(said.sentence)}"
    # About a notice it stands in that one's thread.
    keep = [context(cut(code(said.update), NAME))] if said.update else []
    return message(text, [section(text)], keep=keep)


def notice(said: Notice) -> Json:
    """Return one cause and the pools it concerns; once over, that it is."""
    over = said.over_at is not None
    silent = bool(said.silenced) and not over
    sign = "🔕" if silent else SEVERITY[said.severity]
    head = f"✅ Over: {said.title}" if over else f"{sign} {said.title}"
    blocks = [header(head), section(prose(said.sentence, SECTION))]
    if silent:
        blocks.append(section(f"*Silenced:* {prose(said.silenced, SECTION - NAME)}"))
    if said.places:
        were = "*Pools it concerned*" if over else "*Pools concerned*"
        lines = (f"• {prose(place, LINE)}" for place in said.places)
        blocks.append(section(_listed(were, lines, SECTION - NAME)))
    times = "  ·  ".join(filter(None, (_times(said), *_about(said))))
    where = prose(", ".join(said.places[:5]), LINE)
    text = prose(head, LINE) + f" ({where})" * bool(where) + f": {prose(said.sentence)}"
    return message(text, blocks, keep=[context(times)] if times else [])


def _about(said: Notice) -> Iterator[str]:
    """What it is called, for silences and settings, and why it is told here too."""
    if said.rule:
        yield f"alert {code(said.rule)}"
    if said.escalated:
        yield "told here too, as it lasts"


def _times(said: Notice) -> str:
    if said.over_at is None:
        return f"Since {when(said.since)}" if said.since is not None else ""
    if said.since is None:
        return f"Over since {when(said.over_at)}"
    lasted = duration((said.over_at - said.since).total_seconds())
    return f"{when(said.since)} to {when(said.over_at)}, {lasted} in all"


def digest(said: Digest) -> Json:
    """Return the summary of a day or a week; what needs a person comes first."""
    groups = (
        ("❌ Failed", said.failed),
        ("🙋 Waiting for somebody", said.waiting),
        ("⚠️ Behind", said.behind),
        ("✅ Done", said.done),
    )
    summary = _summary(said)
    blocks = [header(f"{said.title}  ·  {said.day}"), section(summary)]
    for name, rows in groups:
        if rows:
            lines = map(_row, rows)
            blocks.append(section(_listed(f"*{name}* ({len(rows)})", lines, 2500)))
    if said.frozen:
        frozen = (f"• {prose(what, LINE)}" for what in said.frozen)
        blocks.append(section(_listed(f"*🧊 Frozen* ({len(said.frozen)})", frozen, 2500)))
    return message(f"{prose(said.title, LINE)} {prose(said.day, NAME)}: {summary}", blocks)


def _summary(said: Digest) -> str:
    counts = (
        (said.failed, "failed"),
        (said.waiting, "waiting"),
        (said.behind, "behind"),
        (said.done, "done"),
        (said.frozen, "frozen"),
    )
    told = [f"{len(rows)} {word}" for rows, word in counts if rows]
    steady = f"{said.in_step} pool{'s' * (said.in_step != 1)} in step"
    return "  ·  ".join((*told, steady)) if told else f"Nothing to tell: {steady}."


def _row(said: DigestRow) -> str:
    update = f" ({cut(code(said.update), NAME)})" if said.update else ""
    return f"• *{prose(said.place, NAME)}* {prose(said.text, LINE)}{update}"
