"""What Slack sends about clicks, modals and commands, read into our own values.

The signature or the socket proves that it comes from Slack; that it is our workspace and our app is
checked here, for the event and for the person (a shared channel has people of other workspaces).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from watcher.core.facts import Malformed
from watcher.ports_telling import Click, Command, Heard, Submitted

Payload = Mapping[str, Any]


def why_foreign(payload: Payload, *, team: str, app: str) -> str | None:
    """Return why an event is none of ours, or None."""
    sent_by = _team(payload)
    if sent_by != team:
        return f"it comes from workspace {sent_by[:40] or 'unknown'}, not {team}"
    meant = str(payload.get("api_app_id", ""))
    if meant != app:
        return f"it is for app {meant[:40] or 'unknown'}, not {app}"
    home = str(_part(payload, "user").get("team_id", team))
    if home != team:
        return f"whoever did it belongs to workspace {home[:40]}, not {team}"
    return None


def anybody(payload: Payload) -> Heard:
    """Return who did it and no more, for an event that goes no further."""
    return Heard(delivery=_delivery(payload), user=_user(payload))


def click(payload: Payload) -> Click:
    """Read `block_actions`; raise Malformed."""
    actions = payload.get("actions")
    if not isinstance(actions, list) or len(actions) != 1 or not isinstance(actions[0], Mapping):
        raise Malformed("a click without exactly one action")
    action, container = actions[0], _part(payload, "container")
    chosen = _part(action, "selected_option").get("value")
    return Click(
        delivery=_delivery(payload),
        user=_user(payload),
        channel=str(_part(payload, "channel").get("id") or container.get("channel_id") or ""),
        message=str(container.get("message_ts") or ""),
        action=str(action.get("action_id", "")),
        value=str(chosen if chosen is not None else action.get("value", "")),
    )


def submitted(payload: Payload) -> Submitted:
    """Read `view_submission`; raise Malformed."""
    view = _part(payload, "view")
    if not view:
        raise Malformed("a modal that was sent without its view")
    blocks = _part(_part(view, "state"), "values")
    values = {
        str(block): str(item.get("value") or "")
        for block in blocks
        for item in _part(blocks, block).values()
        if isinstance(item, Mapping)
    }
    return Submitted(
        delivery=_delivery(payload),
        user=_user(payload),
        form=str(view.get("callback_id", "")),
        carried=str(view.get("private_metadata", "")),
        values=values,
    )


def command(payload: Payload) -> Command:
    """Read a slash command."""
    return Command(
        delivery=_delivery(payload),
        user=_user(payload),
        channel=str(payload.get("channel_id", "")),
        text=str(payload.get("text", ""))[:2000],
    )


def trigger(payload: Payload) -> str:
    """What opens a modal within 3 s."""
    return str(payload.get("trigger_id", ""))


def response_url(payload: Payload) -> str:
    """Where a private answer goes; empty for modals."""
    return str(payload.get("response_url") or "")


def _part(of: Payload, name: str) -> Payload:
    """A part that is an object; empty where it is not, or not there."""
    found = of.get(name)
    return found if isinstance(found, Mapping) else {}


def _team(payload: Payload) -> str:
    if "team" in payload:
        return str(_part(payload, "team").get("id", ""))
    return str(payload.get("team_id", ""))


def _user(payload: Payload) -> str:
    return str(_part(payload, "user").get("id", "") or payload.get("user_id", ""))


def _delivery(payload: Payload) -> str:
    """The same for every delivery of one act: Slack gives each act a trigger of its own."""
    actions = payload.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else {}
    action: Payload = first if isinstance(first, Mapping) else {}
    view = _part(payload, "view")
    parts = (
        str(payload.get("type", payload.get("command", ""))),
        _team(payload),
        _user(payload),
        trigger(payload),
        str(action.get("action_id", "")),
        str(action.get("action_ts", "")),
        str(view.get("id", "")),
        str(view.get("hash", "")),
    )
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()
