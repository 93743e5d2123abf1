"""What Slack refuses about blocks and views, in its own words.

Limits are those of Slack's block reference. A refusal lists every fault with a JSON pointer, since
a person who builds messages wants to see all of them.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from simulator.slack.workspace import Json

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Text:
    """A text object: up to so many characters, `plain` if mrkdwn is not taken."""

    most: int
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a block or an element."""

    is_: int | Text | str | None = None
    """Most characters of a string, a text object, or the name of a rule below; None is anything."""
    required: bool = False


_OPTION = {
    "text": Field(Text(75), True),
    "value": Field(150, True),
    "description": Field(Text(75, True)),
    "url": Field(3000),
}
_CONFIRM = {
    "title": Field(Text(100, True)),
    "text": Field(Text(300)),
    "confirm": Field(Text(30, True)),
    "deny": Field(Text(30, True)),
    "style": Field(20),
}
_ACT = {"action_id": Field(255), "confirm": Field("confirm"), "focus_on_load": Field()}
_HINTED = {**_ACT, "placeholder": Field(Text(150, True))}
_CHOICE = {**_HINTED, "options": Field("options"), "option_groups": Field()}
_MANY = {"max_selected_items": Field(), "initial_options": Field()}
_TYPED = {
    **_HINTED,
    "initial_value": Field(3000),
    "dispatch_action_config": Field(),
    "min_length": Field(),
    "max_length": Field(),
}
_PICKED = {
    "response_url_enabled": Field(),
    "filter": Field(),
    "default_to_current_conversation": Field(),
}

ELEMENTS: dict[str, dict[str, Field]] = {
    "button": {
        **_ACT,
        "text": Field(Text(75, True), True),
        "value": Field(2000),
        "url": Field(3000),
        "style": Field("style"),
        "accessibility_label": Field(75),
    },
    "overflow": {**_ACT, "options": Field("few options", True)},
    "static_select": {**_CHOICE, "initial_option": Field("option")},
    "multi_static_select": {**_CHOICE, **_MANY},
    "radio_buttons": {**_ACT, "options": Field("ten options", True), "initial_option": Field()},
    "checkboxes": {**_ACT, "options": Field("ten options", True), "initial_options": Field()},
    "users_select": {**_HINTED, "initial_user": Field()},
    "multi_users_select": {**_HINTED, **_MANY, "initial_users": Field()},
    "conversations_select": {**_HINTED, **_PICKED, "initial_conversation": Field()},
    "channels_select": {**_HINTED, "response_url_enabled": Field(), "initial_channel": Field()},
    "datepicker": {**_HINTED, "initial_date": Field()},
    "timepicker": {**_HINTED, "initial_time": Field(), "timezone": Field()},
    "datetimepicker": {**_ACT, "initial_date_time": Field()},
    "plain_text_input": {**_TYPED, "multiline": Field()},
    "number_input": {
        **_TYPED,
        "is_decimal_allowed": Field(),
        "min_value": Field(),
        "max_value": Field(),
    },
    "url_text_input": _TYPED,
    "email_text_input": _TYPED,
    "image": {"image_url": Field(3000), "slack_file": Field(), "alt_text": Field(2000, True)},
}
_INPUTS = frozenset(ELEMENTS) - {"button", "overflow", "image"}
_BUTTONS = frozenset(name for name in ELEMENTS if name != "image" and "input" not in name)

BLOCKS: dict[str, dict[str, Field]] = {
    "section": {
        "text": Field(Text(3000)),
        "fields": Field("fields"),
        "accessory": Field("accessory"),
        "expand": Field(),
    },
    "header": {"text": Field(Text(150, True), True)},
    "divider": {},
    "context": {"elements": Field("context elements", True)},
    "actions": {"elements": Field("action elements", True)},
    "input": {
        "label": Field(Text(2000, True), True),
        "element": Field("input element", True),
        "hint": Field(Text(2000, True)),
        "optional": Field(),
        "dispatch_action": Field(),
    },
    "image": {
        "image_url": Field(3000),
        "slack_file": Field(),
        "alt_text": Field(2000, True),
        "title": Field(Text(2000, True)),
    },
    "markdown": {"text": Field(12000, True)},
    "rich_text": {"elements": Field(required=True)},
}
VIEW: dict[str, Field] = {
    "type": Field(20, True),
    "title": Field(Text(24, True), True),
    "submit": Field(Text(24, True)),
    "close": Field(Text(24, True)),
    "private_metadata": Field(3000),
    "callback_id": Field(255),
    "external_id": Field(255),
    "blocks": Field(required=True),
    "clear_on_close": Field(),
    "notify_on_close": Field(),
    "submit_disabled": Field(),
}


def faults_of_blocks(blocks: Any, *, most: int = MESSAGE_BLOCKS, at: str = "/blocks") -> list[str]:
    """Every reason why Slack would refuse these blocks; none if it takes them."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return [_said("must be an array of blocks", at)]
    faults = [_said(f"no more than {most} items allowed", at)] if len(blocks) > most else []
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        place = f"{at}/{number}"
        faults += _block(block, place)
        if (name := block.get("block_id")) and name in seen:
            faults.append(_said(f'"block_id" already exists: {name}', f"{place}/block_id"))
        seen.add(name or "")
    return faults


def faults_of_view(view: Any) -> list[str]:
    """Every reason why Slack would refuse this modal."""
    if not isinstance(view, dict):
        return [_said("must be an object", "/view")]
    faults = list(_object(view, VIEW, "/view"))
    blocks = view.get("blocks", [])
    faults += faults_of_blocks(blocks, most=VIEW_BLOCKS, at="/view/blocks")
    if view.get("type") != "modal":
        faults.append(_said("unsupported type", "/view/type"))
    asks = isinstance(blocks, list) and any(
        isinstance(b, dict) and b.get("type") == "input" for b in blocks
    )
    if asks and "submit" not in view:
        faults.append(_said("missing required field: submit", "/view"))
    return faults


def named(blocks: list[Json]) -> list[Json]:
    """The same blocks with the ids that Slack gives where the app gave none."""
    for block in blocks:
        if not block.get("block_id"):
            block["block_id"] = f"b{next(_numbers):04x}"
        for element in elements_of(block):
            if element.get("type") != "image" and not element.get("action_id"):
                element["action_id"] = f"a{next(_numbers):04x}"
    return blocks


def elements_of(block: Json) -> Iterator[Json]:
    """What can be pressed or filled in within a block."""
    if block.get("type") == "actions":
        yield from block["elements"]
    elif block.get("type") == "section" and "accessory" in block:
        yield block["accessory"]
    elif block.get("type") == "input":
        yield block["element"]


def _block(block: Json, at: str) -> Iterator[str]:
    known = BLOCKS.get(block.get("type", ""))
    if known is None:
        yield _said(f"unsupported type: {block.get('type')}", f"{at}/type")
        return
    yield from _object(block, {"type": Field(), "block_id": Field(255), **known}, at)
    if block["type"] == "section" and not block.get("text") and not block.get("fields"):
        yield _said("missing required field: text", at)


def _object(thing: Json, known: dict[str, Field], at: str) -> Iterator[str]:
    for name, one in known.items():
        if one.required and name not in thing:
            yield _said(f"missing required field: {name}", at)
    for name, value in thing.items():
        place = f"{at}/{name}"
        if name not in known:
            yield _said(f"invalid additional property: {name}", at)
        elif isinstance(wanted := known[name].is_, int):
            # An empty private_metadata, value or url is taken; an empty id is not.
            yield from _string(value, wanted, place, least=int(name.endswith("_id")))
        elif isinstance(wanted, Text):
            yield from _text(value, wanted, place)
        elif wanted is not None:
            yield from _RULES[wanted](value, place)


def _string(value: Any, most: int, at: str, *, least: int) -> Iterator[str]:
    if not isinstance(value, str):
        yield _said("must be a string", at)
    elif len(value) < least:
        yield _said(f"must be more than {least - 1} characters", at)
    elif len(value) > most:
        yield _said(f"must be less than {most + 1} characters", at)


def _text(value: Any, wanted: Text, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _said("must provide an object", at)
        return
    if value.get("type") not in ({"plain_text"} if wanted.plain else {"plain_text", "mrkdwn"}):
        yield _said(f"unsupported type: {value.get('type')}", f"{at}/type")
    if value.keys() - {"type", "text", "emoji", "verbatim"}:
        yield _said("invalid additional property", at)
    yield from _string(value.get("text"), wanted.most, f"{at}/text", least=1)


def _list(value: Any, at: str, *, least: int, most: int) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        yield _said("must be an array", at)
    elif len(value) > most:
        yield _said(f"no more than {most} items allowed", at)
    elif len(value) < least:
        yield _said(f"no fewer than {least} items allowed", at)


def _options(least: int, most: int) -> Callable[[Any, str], Iterator[str]]:
    def rule(value: Any, at: str) -> Iterator[str]:
        faults = list(_list(value, at, least=least, most=most))
        yield from faults
        for number, option in enumerate([] if faults else value):
            yield from _object(option, _OPTION, f"{at}/{number}")

    return rule


def _elements(kinds: frozenset[str], most: int) -> Callable[[Any, str], Iterator[str]]:
    def rule(value: Any, at: str) -> Iterator[str]:
        faults = list(_list(value, at, least=1, most=most))
        yield from faults
        seen: set[str] = set()
        for number, element in enumerate([] if faults else value):
            yield from _element(element, kinds, f"{at}/{number}")
            if (name := element.get("action_id")) and name in seen:
                yield _said(f'"action_id" already exists: {name}', f"{at}/{number}/action_id")
            seen.add(name or "")

    return rule


def _one_of(kinds: frozenset[str]) -> Callable[[Any, str], Iterator[str]]:
    return lambda value, at: _element(value, kinds, at)


def _element(element: Any, kinds: frozenset[str], at: str) -> Iterator[str]:
    kind = element.get("type") if isinstance(element, dict) else None
    if kind not in kinds:
        yield _said(f"unsupported type: {kind}", f"{at}/type")
        return
    yield from _object(element, {"type": Field(), **ELEMENTS[kind]}, at)


def _context(value: Any, at: str) -> Iterator[str]:
    faults = list(_list(value, at, least=1, most=10))
    yield from faults
    for number, element in enumerate([] if faults else value):
        place = f"{at}/{number}"
        if element.get("type") == "image":
            yield from _element(element, frozenset({"image"}), place)
        else:
            yield from _text(element, Text(2000), place)


def _fields(value: Any, at: str) -> Iterator[str]:
    faults = list(_list(value, at, least=1, most=10))
    yield from faults
    for number, text in enumerate([] if faults else value):
        yield from _text(text, Text(2000), f"{at}/{number}")


def _style(value: Any, at: str) -> Iterator[str]:
    if value not in {"primary", "danger"}:
        yield _said(f"invalid style: {value}", at)


def _confirm(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _object(value, _CONFIRM, at)
    else:
        yield _said("must provide an object", at)


def _option(value: Any, at: str) -> Iterator[str]:
    yield from _options(1, 1)([value], at)


_RULES: dict[str, Callable[[Any, str], Iterator[str]]] = {
    "options": _options(1, 100),
    "few options": _options(1, 5),
    "ten options": _options(1, 10),
    "option": _option,
    "confirm": _confirm,
    "style": _style,
    "fields": _fields,
    "context elements": _context,
    "action elements": _elements(_BUTTONS, 25),
    "accessory": _one_of(_BUTTONS | {"image"}),
    "input element": _one_of(_INPUTS),
}


def _said(what: str, at: str) -> str:
    return f"[ERROR] {what} [json-pointer:{at}]"
