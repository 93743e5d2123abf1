"""What Slack sends for what people do: clicks, modals, commands and events."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from simulator.slack import modals
from simulator.slack.blocks import elements_of
from simulator.slack.hooks import Hooks
from simulator.slack.workspace import Channel, Json, Message, OpenView, User, Workspace


class CannotDo(LookupError):
    """A person could not do that: the button, the option or the field is not there."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something a person did, ready to be delivered, once or more often."""

    type: str
    """As envelopes are typed: interactive, slash_commands, events_api."""
    payload: Json
    accepts_response_payload: bool = False
    view: OpenView | None = None
    """The modal that is submitted."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What Slack POSTs in HTTP mode."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose payload it claims to be; None is this workspace and this app."""

    team: str | None = None
    app: str | None = None


def click(
    workspace: Workspace,
    hooks: Hooks,
    user: User,
    message: Message,
    action: Json,
    *,
    origin: Origin,
) -> Interaction:
    """Somebody presses something in a message."""
    channel = workspace.channels[message.channel]
    payload = _common(workspace, "block_actions", user, origin) | {
        "container": _container(message),
        "trigger_id": workspace.new_trigger(user.id),
        "channel": {"id": channel.id, "name": channel.name},
        "state": {"values": _chosen(action)},
        "response_url": hooks.new(channel.id, user.id, workspace.there(message)),
        "actions": [action],
    }
    if not message.only_for:
        payload["message"] = _message(workspace, message)
    return Interaction("interactive", payload)


def action(
    workspace: Workspace,
    blocks: list[Json],
    action_id: str,
    *,
    block_id: str | None = None,
    value: str | None = None,
) -> Json:
    """The entry of `actions` for pressing or choosing; raises CannotDo."""
    found = [
        (block, element)
        for block in blocks
        for element in elements_of(block)
        if element.get("action_id") == action_id and block_id in {None, block["block_id"]}
    ]
    if not found:
        there = [e.get("action_id") for block in blocks for e in elements_of(block)]
        raise CannotDo(f"nothing called {action_id!r} is to be pressed, only {there}")
    block, element = found[0]
    pressed: Json = {
        "type": element["type"],
        "action_id": action_id,
        "block_id": block["block_id"],
        "action_ts": workspace.new_ts(),
    }
    if element["type"] == "button":
        given = element.get("value") if value is None else value
        return pressed | {"text": element["text"]} | ({} if given is None else {"value": given})
    return pressed | _filled(element, value)


def submission(
    workspace: Workspace, opened: OpenView, values: dict[str, Any], *, origin: Origin
) -> Interaction:
    """Somebody fills in a modal and submits it; raises CannotDo."""
    user = workspace.users[opened.user]
    filled: Json = {}
    for block in opened.view["blocks"]:
        if block["type"] == "input":
            filled |= _field(block, values.get(block["block_id"]))
    if unknown := values.keys() - filled.keys():
        raise CannotDo(f"no field {sorted(unknown)}, only {sorted(filled)}")
    payload = _common(workspace, "view_submission", user, origin) | {
        "trigger_id": workspace.new_trigger(user.id),
        "view": modals.as_json(workspace, opened, filled),
        "response_urls": [],
    }
    return Interaction("interactive", payload, accepts_response_payload=True, view=opened)


def closing(workspace: Workspace, opened: OpenView, *, origin: Origin) -> Interaction:
    """Somebody closes a modal without submitting it."""
    user = workspace.users[opened.user]
    payload = _common(workspace, "view_closed", user, origin) | {
        "view": modals.as_json(workspace, opened),
        "is_cleared": False,
    }
    return Interaction("interactive", payload)


def command(
    workspace: Workspace,
    hooks: Hooks,
    user: User,
    name: str,
    text: str,
    channel: Channel,
    *,
    origin: Origin,
) -> Interaction:
    """Somebody types a slash command."""
    payload = {
        "token": workspace.verification_token,
        "team_id": origin.team or workspace.team_id,
        "team_domain": workspace.domain,
        "channel_id": channel.id,
        "channel_name": channel.name,
        "user_id": user.id,
        "user_name": user.name,
        "command": name,
        "text": text,
        "api_app_id": origin.app or workspace.app_id,
        "is_enterprise_install": "false",
        "response_url": hooks.new(channel.id, user.id),
        "trigger_id": workspace.new_trigger(user.id),
    }
    return Interaction("slash_commands", payload, accepts_response_payload=True)


def event(workspace: Workspace, happened: Json, *, origin: Origin) -> Interaction:
    """Something that the app subscribed to."""
    payload = {
        "token": workspace.verification_token,
        "team_id": origin.team or workspace.team_id,
        "api_app_id": origin.app or workspace.app_id,
        "event": {"event_ts": workspace.new_ts(), **happened},
        "type": "event_callback",
        "event_id": workspace.new_id("Ev"),
        "event_time": int(workspace.clock()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": workspace.team_id,
                "user_id": workspace.bot.id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
    }
    return Interaction("events_api", payload)


def signed(interaction: Interaction, *, at: float, secret: str) -> SignedRequest:
    """The request that carries it in HTTP mode."""
    kind = "application/x-www-form-urlencoded"
    if interaction.type == "slash_commands":
        body = urlencode(interaction.payload)
    elif interaction.type == "events_api":
        kind, body = "application/json", json.dumps(interaction.payload)
    else:
        body = urlencode({"payload": json.dumps(interaction.payload)})
    base = f"v0:{int(at)}:{body}".encode()
    digest = hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": kind,
        "X-Slack-Request-Timestamp": str(int(at)),
        "X-Slack-Signature": f"v0={digest}",
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
    }
    return SignedRequest(headers, body.encode())


def _common(workspace: Workspace, kind: str, user: User, origin: Origin) -> Json:
    team = origin.team or workspace.team_id
    return {
        "type": kind,
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": team},
        "team": {"id": team, "domain": workspace.domain},
        "api_app_id": origin.app or workspace.app_id,
        "token": workspace.verification_token,
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _container(message: Message) -> Json:
    place: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": message.channel,
        "is_ephemeral": message.only_for is not None,
    }
    return place | ({"thread_ts": message.thread_ts} if message.thread_ts else {})


def _message(workspace: Workspace, message: Message) -> Json:
    shown: Json = {
        "type": "message",
        "user": message.user,
        "bot_id": workspace.bot_id,
        "app_id": workspace.app_id,
        "team": workspace.team_id,
        "text": message.text,
        "ts": message.ts,
        "blocks": message.blocks,
    }
    if message.thread_ts:
        shown["thread_ts"] = message.thread_ts
    return shown | ({"metadata": message.metadata} if message.metadata else {})


def _chosen(action: Json) -> Json:
    """The state of a message's inputs: what was just chosen; buttons have no state."""
    if action["type"] in {"button", "overflow"}:
        return {}
    kept = {k: v for k, v in action.items() if k not in {"action_id", "block_id", "action_ts"}}
    return {action["block_id"]: {action["action_id"]: kept}}


def _field(block: Json, value: Any) -> Json:
    """One field of a modal as it is submitted; raises CannotDo as Slack's own form would."""
    element, name = block["element"], block["block_id"]
    if value is None:
        value = element.get("initial_value")
    if value in (None, "") and not block.get("optional"):
        raise CannotDo(f"the field {name!r} must be filled in")
    if isinstance(value, str) and "max_length" in element and len(value) > element["max_length"]:
        raise CannotDo(f"the field {name!r} takes no more than {element['max_length']}")
    if isinstance(value, str) and len(value) < element.get("min_length", 0):
        raise CannotDo(f"the field {name!r} wants at least {element['min_length']}")
    state = {"type": element["type"], **_filled(element, value)}
    return {name: {element["action_id"]: state}}


def _filled(element: Json, value: Any) -> Json:
    """What an element says once it has this value; raises CannotDo for an unknown option."""
    kind = element["type"]
    if kind in {"static_select", "overflow", "radio_buttons"}:
        return {"selected_option": None if value is None else _option(element, value)}
    if kind in {"multi_static_select", "checkboxes"}:
        return {"selected_options": [_option(element, one) for one in value or ()]}
    if kind.endswith("_select"):
        what = kind.removeprefix("multi_").removesuffix("s_select")
        many = kind.startswith("multi_")
        return {f"selected_{what}s": list(value or ())} if many else {f"selected_{what}": value}
    if kind in {"datepicker", "timepicker"}:
        return {f"selected_{kind.removesuffix('picker')}": value}
    return {"value": value or None}


def _option(element: Json, value: str) -> Json:
    groups = element.get("option_groups") or [{"options": element.get("options", [])}]
    options = [option for group in groups for option in group["options"]]
    for option in options:
        if option["value"] == value:
            chosen: Json = option
            return chosen
    raise CannotDo(f"no option {value!r}, only {[option['value'] for option in options]}")
