"""Block Kit: each piece within Slack's limits, whatever is put in.

Text for mrkdwn objects comes ready from `text`; text for plain_text objects may come as it is.
Limits are those of https://docs.slack.dev/reference/block-kit.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from watcher.clients.slack.text import cut, plain, visible

Json = dict[str, Any]

SECTION, FIELD, CONTEXT, FALLBACK = 3000, 2000, 2000, 3000
FIELDS, ELEMENTS, BLOCKS, OPTIONS = 10, 10, 50, 100
OPTION_VALUE, METADATA, ID = 150, 3000, 255
VALUE = 500
"""Of a button. Slack takes 2000; ours are about 100, and count in what a message may hold."""
MESSAGE_BYTES = 12_000
"""Of all blocks of a message as JSON. Slack refuses more than about 13,200 characters
(`msg_blocks_too_long`) and does not say how it counts: slackapi/bolt-js#2509 and #2867."""


def carried(limit: int, **values: str) -> str:
    """Return what a button, an option or a form carries, as JSON in ASCII.

    Empty where that is too long: a part of it would mean something else.
    """
    text = json.dumps(values, separators=(",", ":"))
    return text if len(text) <= limit else ""


def mrkdwn(text: str, limit: int) -> Json:
    """`verbatim`: Slack makes no links and mentions of what only looks like one."""
    return {"type": "mrkdwn", "text": cut(text.strip(), limit) or "–", "verbatim": True}


def plain_text(text: str, limit: int) -> Json:
    return {"type": "plain_text", "text": plain(text, limit) or "–", "emoji": False}


def header(text: str) -> Json:
    return {"type": "header", "text": plain_text(text, 150)}


def section(text: str) -> Json:
    return {"type": "section", "text": mrkdwn(text, SECTION)}


def fields(texts: Sequence[str]) -> Json:
    """Two columns, one on a phone; there must be at least one text."""
    return {"type": "section", "fields": [mrkdwn(text, FIELD) for text in texts[:FIELDS]]}


def context(*texts: str) -> Json:
    """Small and grey."""
    return {"type": "context", "elements": [mrkdwn(text, CONTEXT) for text in texts[:ELEMENTS]]}


def divider() -> Json:
    return {"type": "divider"}


def actions(block_id: str, elements: Sequence[Json]) -> Json:
    """At least one element."""
    return {"type": "actions", "block_id": _id(block_id), "elements": list(elements[:25])}


def button(
    text: str, action_id: str, value: str, *, style: str = "", confirm: Json | None = None
) -> Json:
    """`value`: from `carried`. `style`: `primary`, `danger` or none."""
    pressed: Json = {
        "type": "button",
        "text": plain_text(text, 75),
        "action_id": _id(action_id),
        "value": value,
    }
    if style:
        pressed["style"] = style
    if confirm is not None:
        pressed["confirm"] = confirm
    return pressed


def confirm(title: str, text: str, yes: str, no: str) -> Json:
    """What is asked before a press counts."""
    return {
        "title": plain_text(title, 100),
        "text": plain_text(text, 300),
        "confirm": plain_text(yes, 30),
        "deny": plain_text(no, 30),
    }


def select(placeholder: str, action_id: str, options: Sequence[tuple[str, str]]) -> Json:
    """A menu of labels with what each carries; there must be at least one."""
    return {
        "type": "static_select",
        "action_id": _id(action_id),
        "placeholder": plain_text(placeholder, 150),
        "options": [
            {"text": plain_text(label, 75), "value": value} for label, value in options[:OPTIONS]
        ],
    }


def text_input(
    label: str, name: str, *, most: int, optional: bool, placeholder: str = "", hint: str = ""
) -> Json:
    """A field of a form to write in; `name` is its block_id and its action_id."""
    element: Json = {
        "type": "plain_text_input",
        "action_id": _id(name),
        "multiline": True,
        "max_length": min(most, 3000),
    }
    if placeholder:
        element["placeholder"] = plain_text(placeholder, 150)
    block: Json = {
        "type": "input",
        "block_id": _id(name),
        "label": plain_text(label, 2000),
        "element": element,
        "optional": optional,
    }
    if hint:
        block["hint"] = plain_text(hint, 2000)
    return block


def modal(
    title: str,
    blocks: Sequence[Json],
    *,
    callback_id: str = "",
    submit: str = "",
    close: str = "Close",
    metadata: str = "",
) -> Json:
    """A view; with `submit` it is a form. Slack takes twice as many blocks here as in messages."""
    view: Json = {
        "type": "modal",
        "title": plain_text(title, 24),
        "close": plain_text(close, 24),
        "blocks": list(blocks[: 2 * BLOCKS]),
    }
    if callback_id:
        view["callback_id"] = _id(callback_id)
    if submit:
        view["submit"] = plain_text(submit, 24)
    if metadata:
        view["private_metadata"] = metadata
    return view


def message(text: str, blocks: Sequence[Json], *, keep: Sequence[Json] = ()) -> Json:
    """Return what is posted: `text` for notifications, and the blocks that Slack takes.

    The last of `blocks` go first, and a line says how many; `keep` stands below them and goes last.
    """
    shown, kept = list(blocks), list(keep)
    said = [*shown, *kept]
    while _too_much(said):
        (shown or kept).pop()
        hidden = len(blocks) - len(shown)
        said = [*shown, context(f"… and {hidden} more"), *kept]
    return {"text": cut(text.strip(), FALLBACK) or "–", "blocks": said}


def _too_much(blocks: Sequence[Mapping[str, Any]]) -> bool:
    return len(blocks) > BLOCKS or len(as_bytes(blocks)) > MESSAGE_BYTES


def as_bytes(value: object) -> bytes:
    """Return it as JSON, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _id(text: str) -> str:
    return cut(visible(text), ID) or "–"
