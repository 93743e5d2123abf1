"""Forms and windows in Slack. What a form is about travels in its `private_metadata`."""

from watcher.clients.slack.blocks import (
    METADATA,
    Json,
    carried,
    context,
    modal,
    section,
    text_input,
)
from watcher.clients.slack.card import LINE, NAME, place, prose
from watcher.clients.slack.others import details_blocks
from watcher.clients.slack.text import code, cut, fit, mention, named
from watcher.core.letters import Card, Details

REASON = 500
"""Most of a reason: it is read in one line of a card."""


def reject_modal(
    *, update: str, binding: str, pool: str, reason_required: bool, channel: str, ts: str
) -> Json:
    """Return the form that asks why; `channel` and `ts` name the message it was opened from."""
    asked = f"Reject the update of *{prose(pool, LINE)}* ({cut(code(update), NAME)})? "
    reason = text_input(
        "Reason",
        "reason",
        most=REASON,
        optional=not reason_required,
        placeholder="What must change before it may be approved?",
        hint="Everybody who sees the update sees the reason; it stays in the audit trail.",
    )
    return modal(
        "Reject",
        [section(asked + "The cluster stays as it is."), reason],
        callback_id="reject",
        submit="Reject",
        close="Cancel",
        metadata=carried(METADATA, u=update, b=binding, c=channel, t=ts),
    )


def details_modal(said: Details, card: Card) -> Json:
    """Return what the thread holds, and who may decide: nobody is woken by being named here."""
    blocks = [section(f"*{prose(place(card), LINE)}*: {prose(card.line, LINE)}")]
    if card.approvers:
        blocks.append(context(f"May decide: {_everybody(card)}"))
    return modal("Details", [*blocks, *details_blocks(said)])


def _everybody(card: Card) -> str:
    return ", ".join(fit([mention(one) for one in card.approvers], 1500))


def stock_modal(*, cluster: str, pool: str, sentence: str, channel: str = "") -> Json:
    """Return the question whether the pool shall go back to the stock image; `k`, `p`: which."""
    where = prose(f"{cluster}/{pool}", LINE)
    warning = (
        "Relayer's override is removed, and the nodes are drained and rebooted onto the release's "
        "own image. What the recipe adds is then gone from them. It must be approved like any "
        "update."
    )
    return modal(
        "Stock image",
        [section(f"*Take {where} back to the stock image?*\n{prose(sentence)}"), section(warning)],
        callback_id="stock",
        submit="Ask for it",
        close="Cancel",
        metadata=carried(METADATA, k=cluster, p=pool, c=channel),
    )


def failed(sentence: str) -> Json:
    """Return a window that says why something was not done; may replace a form."""
    return modal("Not done", [section(f"❌ {cut(named(sentence), 2900)}")])
