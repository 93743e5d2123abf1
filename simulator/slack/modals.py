"""`views.*`: modals on a person's screen."""

from typing import Any

from simulator.slack.blocks import faults_of_view, named
from simulator.slack.calls import Args, Refused, method
from simulator.slack.workspace import Json, OpenView, Workspace

TRIGGER_SECONDS = 3.0


@method("views.open")
def open_view(workspace: Workspace, args: Args) -> Json:
    user = _trigger(workspace, args)
    view = _view(args)
    number = workspace.new_id("V")
    opened = OpenView(number, user, view, _hash(workspace), number)
    return _put(workspace, opened)


@method("views.push")
def push(workspace: Workspace, args: Args) -> Json:
    user = _trigger(workspace, args)
    view = _view(args)
    below = [v for v in workspace.views.values() if v.user == user and not v.closed]
    if not below:
        raise Refused("no_view_found")
    return put_on_top(workspace, below[-1], view)


@method("views.update")
def update_view(workspace: Workspace, args: Args) -> Json:
    opened = _found(workspace, args)
    view = _view(args)
    if args.get("hash") not in {None, opened.hash}:
        raise Refused("hash_conflict")
    return replace_view(workspace, opened, view)


def replace_view(workspace: Workspace, opened: OpenView, view: Json) -> Json:
    """Show another view in the same modal."""
    named(view["blocks"])
    opened.view, opened.hash = view, _hash(workspace)
    workspace.changed()
    return {"view": as_json(workspace, opened)}


def put_on_top(workspace: Workspace, below: OpenView, view: Json) -> Json:
    """Show another modal over one that is open."""
    number = workspace.new_id("V")
    return _put(
        workspace, OpenView(number, below.user, view, _hash(workspace), below.root, below.id)
    )


def as_json(workspace: Workspace, opened: OpenView, values: Json | None = None) -> Json:
    """A view as the API and payloads show it, with what was filled in."""
    given = {"private_metadata": "", "callback_id": "", "external_id": "", **opened.view}
    return {
        "clear_on_close": False,
        "notify_on_close": False,
        "close": None,
        "submit": None,
        **given,
        "id": opened.id,
        "team_id": workspace.team_id,
        "state": {"values": values or {}},
        "hash": opened.hash,
        "previous_view_id": opened.previous,
        "root_view_id": opened.root,
        "app_id": workspace.app_id,
        "app_installed_team_id": workspace.team_id,
        "bot_id": workspace.bot_id,
    }


def _put(workspace: Workspace, opened: OpenView) -> Json:
    named(opened.view["blocks"])
    workspace.views[opened.id] = opened
    workspace.changed()
    return {"view": as_json(workspace, opened)}


def _trigger(workspace: Workspace, args: Args) -> str:
    """Whose click or command allows this modal; uses it up. Raises Refused."""
    trigger = workspace.triggers.get(args.text("trigger_id"))
    if trigger is None:
        raise Refused("invalid_trigger_id")
    if trigger.used:
        raise Refused("exchanged_trigger_id")
    if workspace.clock() - trigger.at > TRIGGER_SECONDS:
        raise Refused("expired_trigger_id")
    trigger.used = True
    return trigger.user


def _view(args: Args) -> Json:
    view: Any = args.structure("view", wrong="invalid_arguments")
    if faults := faults_of_view(view):
        raise Refused("invalid_arguments", response_metadata={"messages": faults})
    return dict(view)


def _found(workspace: Workspace, args: Args) -> OpenView:
    """The open view that is meant, by its id or the app's own id for it; raises Refused."""
    mine = args.text("external_id")
    for view in workspace.views.values():
        meant = view.id == args.text("view_id") or (mine and view.view.get("external_id") == mine)
        if meant and not view.closed:
            return view
    raise Refused("not_found")


def _hash(workspace: Workspace) -> str:
    return f"{int(workspace.clock())}.{workspace.new_id('h')}"
