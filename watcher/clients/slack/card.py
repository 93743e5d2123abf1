"""One update as a Slack message: first what a phone shows, then the facts, then the buttons.

A card wakes nobody by what it names: approvers from Slack are only counted here, since the mention
of a group in a new message would wake all of it. Who shall be woken is told by a nudge.
"""

import re
from collections.abc import Iterator, Sequence

from watcher.clients.slack.blocks import (
    OPTION_VALUE,
    VALUE,
    Json,
    actions,
    button,
    carried,
    confirm,
    context,
    fields,
    header,
    message,
    section,
    select,
)
from watcher.clients.slack.text import (
    MOST,
    apart,
    code,
    cut,
    duration,
    fit,
    is_mention,
    mention,
    mrkdwn_plain,
    plain,
    when,
)
from watcher.core.changes import Change
from watcher.core.letters import Card, Diff, VoteLine
from watcher.core.update import NOT_BEGUN, UNTOUCHED_ENDS, UPDATE_ENDS
from watcher.core.update_events import Kind, UpdateState

S = UpdateState
_SIGNS: dict[str, str] = {
    S.WAITING_FOR_BUILD: "⏳",
    S.AWAITING_APPROVAL: "🙋",
    S.SCHEDULED: "🕑",
    S.APPLYING: "🔁",
    S.ROLLING_OUT: "🔁",
    S.SOAKING: "⏳",
    S.DONE: "✅",
    S.REJECTED: "❌",
    S.EXPIRED: "⌛",
    S.SUPERSEDED: "⏭️",
    S.FAILED: "❌",
    S.ROLLING_BACK: "↩️",
    S.ROLLED_BACK: "↩️",
    S.STUCK: "⚠️",
}
ASLEEP = "💤"
_IDENTITY = re.compile(r"(?:(?<=\s)|^)(slack:[UW][A-Z0-9]+)(?=[\s,;:.)]|$)")
_REJECTED = re.compile(r"rejected by (slack:[UW][A-Z0-9]+)(?=:|$)")
_CHANGES: dict[str, str] = {
    Change.PATCH: "patch",
    Change.MINOR: "minor upgrade",
    Change.RECIPE: "recipe change",
    Change.FIRST: "first layered image",
}
SENTENCE, NAME, LINE = 600, 100, 300
"""Most of a sentence, a name, a line of a list: a card is read on a phone."""


def card(said: Card) -> Json:
    """Return the message of one update."""
    top = f"{sign(said)} {plain(place(said), 70)}: {said.line}"
    blocks = [header(top), section(_first(said)), *map(section, _standing(said))]
    if facts := list(_facts(said)):
        blocks.append(fields(facts))
    return message(_fallback(said, top), blocks, keep=[decisions(said), context(*_small(said))])


def place(said: Card) -> str:
    """Return the pool's name, with its cluster where there are several."""
    return f"{said.cluster}/{said.pool}" if said.several_clusters else said.pool


def sign(said: Card) -> str:
    """Return the state as one sign."""
    if said.snoozed_until is not None and said.state in NOT_BEGUN:
        return ASLEEP
    return _SIGNS.get(said.state, "🔁")


def prose(text: str, limit: int = SENTENCE) -> str:
    """Return a sentence for a mrkdwn object, cut to what is read at a glance."""
    return cut(mrkdwn_plain(text), limit)


def _fallback(said: Card, top: str) -> str:
    because = _people(said, said.ended_because or said.because)
    return " — ".join(filter(None, (prose(top), _what(said), because)))


def _first(said: Card) -> str:
    """What changes, how it ended, and why it was proposed."""
    head = f"*{_what(said) or 'A new image'}*"
    if said.os_version:
        head += f"  ·  RHCOS {_from_to(said.from_os_version, said.os_version)}"
    if said.change:
        head += f"  ·  {prose(_CHANGES.get(said.change, said.change), NAME)}"
    if not said.ended_because:
        return f"{head}\n{_people(said, said.because)}"
    ended = f"*Why:* {_people(said, said.ended_because)}"
    return f"{head}\n{ended}\n*Proposed because* {_people(said, said.because)}"


def _what(said: Card) -> str:
    moved = _from_to(said.from_release, said.release)
    return f"Back to the stock image of {moved}" if said.kind == Kind.STOCK else moved


def _people(said: Card, sentence: str) -> str:
    """Return a sentence in which whoever the card names anyway is named as Slack does it.

    Nobody else: the rest of it may be a cluster's text. What begins a rejection is the core's.
    """
    known = {said.requested_by, said.snoozed_by, *(vote.by for vote in said.votes)}
    start = ""
    if said.state == S.REJECTED and (by := _REJECTED.match(sentence)):
        start, sentence = f"rejected by {mention(by.group(1))}", sentence[by.end() :]
    parts = _IDENTITY.split(sentence[:MOST])
    shown = "".join(mention(p) if p in known and is_mention(p) else apart(p) for p in parts)
    return cut((start + shown).strip(), SENTENCE)


def _from_to(before: str, after: str) -> str:
    if not before or before == after:
        return prose(after, NAME)
    return f"{prose(before, NAME)} → {prose(after or '?', NAME)}"


def _standing(said: Card) -> Iterator[str]:
    """Where it stands with people, and what is in its way."""
    if said.state in NOT_BEGUN and said.snoozed_until is not None:
        by = f" by {mention(said.snoozed_by)}" if said.snoozed_by else ""
        yield f"*Snoozed{by}* until {when(said.snoozed_until)}"
    if said.in_the_way:
        yield _list("*What stands in the way*", [prose(why, LINE) for why in said.in_the_way])
    if said.complaints:
        yield _list("*Lint of the recipe*", [prose(why, LINE) for why in said.complaints])
    if said.state == S.AWAITING_APPROVAL or said.votes:
        yield _list(_approvals(said), [_vote(vote) for vote in said.votes])


def _approvals(said: Card) -> str:
    if said.state != S.AWAITING_APPROVAL:
        return "*Approvals*" if said.state in UNTOUCHED_ENDS else "*Approved by*"
    return "\n".join(filter(None, (_missing(said), _other(said), _may_decide(said))))


def _missing(said: Card) -> str:
    # Only the two-person rule asks for more than the quorum.
    given = said.quorum if _only_authors(said) else max(0, said.quorum - said.missing)
    head = f"*Approvals: {given} of {said.quorum}*"
    if said.missing:
        head += f", {said.missing} more needed"
        head += f" by {when(said.expires_at)}" if said.expires_at is not None else ""
    return head


def _only_authors(said: Card) -> bool:
    return said.two_person and said.missing > 0 and len(said.votes) >= said.quorum


def _other(said: Card) -> str:
    if not said.two_person:
        return ""
    takes = "it now takes" if _only_authors(said) else "one of them must be"
    return f"Two-person rule: {takes} somebody who neither asked for it nor wrote its recipe"


def _may_decide(said: Card) -> str:
    who = may_decide(said.approvers)
    return f"May decide: {who}" if who else ""


def may_decide(approvers: Sequence[str]) -> str:
    """Return who may decide without waking anybody: those from Slack are counted."""
    named = [mention(one) for one in approvers if not is_mention(one)]
    if others := len(approvers) - len(named):
        named.append(f"{others} {'more ' * bool(named)}from Slack (see Details)")
    return cut(", ".join(named), SENTENCE)


def _vote(vote: VoteLine) -> str:
    why = f": {prose(vote.reason, LINE)}" if vote.reason else ""
    return f"{mention(vote.by)} {when(vote.at)}{why}"


def _list(head: str, lines: Sequence[str]) -> str:
    return "\n".join((head, *fit([f"• {line}" for line in lines], 1500)))


def _facts(said: Card) -> Iterator[str]:
    if said.image:
        was = f" (was {short(said.from_image)})" if said.from_image else ""
        yield f"*Image*\n{short(said.image)}{was}"
    if said.base and said.base != said.image:
        yield f"*Base*\n{short(said.base)}"
    if said.recipe:
        recipe = f"{prose(said.recipe, NAME)} {short(said.recipe_digest)}"
        yield f"*Recipe*\n{recipe}\n{_diff(said.diff)}"
    if said.signature:
        yield f"*Release signature*\n{prose(said.signature, LINE)}"
    if said.state in UPDATE_ENDS:
        return
    if said.nodes:
        yield f"*Nodes*\n{nodes(said)}"
    if said.state not in NOT_BEGUN:
        return
    if said.scheduled_for is not None:
        yield f"*Scheduled for*\n{when(said.scheduled_for)}"
    elif said.next_window:
        yield f"*Next window*\n{prose(said.next_window, NAME)}"
    if said.state == S.SCHEDULED and said.expires_at is not None:
        yield f"*Approval good until*\n{when(said.expires_at)}"


def nodes(said: Card) -> str:
    """Return `6 nodes, about 2h 10m`."""
    count = f"{said.nodes} node{'s' * (said.nodes != 1)}"
    if said.estimate_seconds is None:
        return f"{count}, duration not known yet"
    return f"{count}, about {duration(said.estimate_seconds)}"


def _diff(diff: Diff | None) -> str:
    if diff is None or not diff.known:
        return "changes since the running image: not known"
    return prose(diff.summary, LINE) if diff.summary else "as in the running image"


def short(image: str) -> str:
    """Return the start of a digest or of an image's digest, as code; the whole stands below."""
    name, _, digest = image.rpartition("sha256:")
    return cut(code(digest[:12] if name or digest != image else image), NAME) if image else ""


def _small(said: Card) -> Iterator[str]:
    """What is copied rather than read."""
    base = said.base if said.base != said.image else ""
    for name, image in (("Image", said.image), ("Base", base), ("Replaces", said.from_image)):
        if image:
            yield f"{name} {cut(code(image), SENTENCE)}"
    asked = f"asked for by {mention(said.requested_by)}  ·  " if said.requested_by else ""
    yield f"{asked}{cut(code(said.update), NAME)}  ·  cluster {prose(said.cluster, NAME)}"


def decisions(said: Card) -> Json:
    """Return the buttons. Each carries what it was shown beside: a decision is about that only."""
    carries = carried(VALUE, u=said.update, b=said.binding)
    elements = []
    if said.can_approve:
        asked = confirm("Approve?", _consequence(said), "Approve", "Not yet")
        approve = button("Approve", "approve", carries, style="primary", confirm=asked)
        elements.append(approve)
    if said.can_reject:
        elements.append(button("Reject", "reject", carries, style="danger"))
    if said.can_snooze and (choices := _choices(said)):
        elements.append(select("Snooze", "snooze", choices))
    elements.append(button("Details", "details", carries))
    return actions(f"decide:{said.update}", elements)


def _consequence(said: Card) -> str:
    what = "the stock image" if said.kind == Kind.STOCK else f"release {said.release}"
    count = f"{said.nodes} node{'s' * (said.nodes != 1)}" if said.nodes else "The nodes"
    return f"{count} of {place(said)} will be drained and rebooted onto {what}."


def _choices(said: Card) -> list[tuple[str, str]]:
    values = [
        (label or word, carried(OPTION_VALUE, u=said.update, b=said.binding, c=word))
        for word, label in said.snooze_choices[:10]
    ]
    return [(label, value) for label, value in values if value]
