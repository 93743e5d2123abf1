"""What an app may look up: itself, conversations, people and usergroups."""

import base64
import binascii
import bisect

from simulator.slack.calls import Args, Refused, channel_of, method, needs
from simulator.slack.chat import as_json
from simulator.slack.workspace import Channel, Json, Message, User, Usergroup, Workspace

LARGEST_PAGE = 999


@method("auth.test", token="")
def auth_test(workspace: Workspace, args: Args) -> Json:
    return {
        "url": f"https://{workspace.domain}.slack.com/",
        "team": workspace.domain,
        "user": workspace.bot.name,
        "team_id": workspace.team_id,
        "user_id": workspace.bot.id,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": False,
    }


@method("conversations.info")
def info(workspace: Workspace, args: Args) -> Json:
    channel = _channel(workspace, args, "read", inside=False)
    return {
        "channel": {
            "id": channel.id,
            "name": channel.name,
            "is_channel": not channel.private,
            "is_private": channel.private,
            "is_im": channel.id.startswith("D"),
            "is_archived": channel.archived,
            "is_member": workspace.bot.id in channel.members,
            "context_team_id": workspace.team_id,
            "num_members": len(channel.members),
        }
    }


@method("conversations.members")
def members(workspace: Workspace, args: Args) -> Json:
    channel = _channel(workspace, args, "read", inside=False)
    ids, cursor = _page(sorted(channel.members), args, default=100)
    return {"members": ids, "response_metadata": {"next_cursor": cursor}}


@method("conversations.history")
def history(workspace: Workspace, args: Args) -> Json:
    """The newest first, without the replies in threads."""
    channel = _channel(workspace, args, "history")
    asked = [
        message.ts
        for message in _between(channel, list(channel.messages), args)
        if not message.is_reply or message.broadcast
    ]
    return _shown(workspace, channel, asked[::-1], args)


@method("conversations.replies")
def replies(workspace: Workspace, args: Args) -> Json:
    """The parent, then its replies, the oldest first."""
    channel = _channel(workspace, args, "history")
    asked = channel.messages.get(args.text("ts"))
    if asked is None or (asked.deleted and asked.ts not in channel.threads):
        raise Refused("thread_not_found")
    parent = asked.thread_ts or asked.ts
    found = _between(channel, channel.threads.get(parent, []), args)
    thread = [message.ts for message in found]
    head = channel.messages.get(parent)
    shown = [parent, *thread] if head and not head.deleted else thread
    return _shown(workspace, channel, shown, args)


@method("users.info", scope="users:read")
def user_info(workspace: Workspace, args: Args) -> Json:
    user = workspace.users.get(args.text("user"))
    if user is None:
        raise Refused("user_not_found")
    return {"user": _user(workspace, user)}


@method("usergroups.list", scope="usergroups:read")
def usergroups(workspace: Workspace, args: Args) -> Json:
    disabled, users = args.flag("include_disabled"), args.flag("include_users")
    return {
        "usergroups": [
            _group(workspace, group) | ({"users": list(group.members)} if users else {})
            for group in workspace.usergroups.values()
            if disabled or not group.disabled
        ]
    }


@method("usergroups.users.list", scope="usergroups:read")
def usergroup_users(workspace: Workspace, args: Args) -> Json:
    group = workspace.usergroups.get(args.text("usergroup"))
    if group is None or (group.disabled and not args.flag("include_disabled")):
        raise Refused("no_such_subteam")
    return {"users": list(group.members)}


def _channel(workspace: Workspace, args: Args, what: str, *, inside: bool = True) -> Channel:
    """A conversation of which the app may know this; scopes differ by kind. Raises Refused."""
    if not {f"channels:{what}", f"groups:{what}", f"im:{what}"} & set(workspace.scopes):
        needs(workspace, f"channels:{what}")
    channel = channel_of(workspace, args, inside=inside)
    direct = channel.id.startswith("D")
    needs(workspace, f"{'im' if direct else 'groups' if channel.private else 'channels'}:{what}")
    return channel


def _between(channel: Channel, known: list[str], args: Args) -> list[Message]:
    """Those of `known`, growing ts, that are there and within the asked bounds."""
    oldest, latest = args.text("oldest"), args.text("latest")
    exact = args.flag("inclusive")
    start, end = 0, len(known)
    if oldest and oldest != "0":
        start = (bisect.bisect_left if exact else bisect.bisect_right)(known, _ts(oldest))
    if latest and latest != "now":
        end = (bisect.bisect_right if exact else bisect.bisect_left)(known, _ts(latest))
    return [message for ts in known[start:end] if not (message := channel.messages[ts]).deleted]


def _ts(value: str) -> str:
    """A time as ts are written, so that they compare as strings; raises Refused."""
    whole, _, fraction = value.partition(".")
    if not whole.isdigit() or not (fraction or "0").isdigit():
        raise Refused("invalid_ts_oldest")
    return f"{whole}.{fraction:0<6}"


def _shown(workspace: Workspace, channel: Channel, known: list[str], args: Args) -> Json:
    page, cursor = _page(known, args, default=100)
    metadata = args.flag("include_all_metadata")
    answer: Json = {
        "messages": [as_json(workspace, channel.messages[ts], metadata=metadata) for ts in page],
        "has_more": bool(cursor),
    }
    return answer | ({"response_metadata": {"next_cursor": cursor}} if cursor else {})


def _page(known: list[str], args: Args, *, default: int) -> tuple[list[str], str]:
    """One page and the cursor of the next one, empty at the end.

    A cursor names the item to go on with, so what is added meanwhile shifts nothing.
    """
    limit = min(args.number("limit", default), LARGEST_PAGE)
    start = 0
    if cursor := args.text("cursor"):
        try:
            start = known.index(base64.b64decode(cursor, validate=True).decode().split(":", 1)[1])
        except (binascii.Error, UnicodeDecodeError, IndexError, ValueError):
            raise Refused("invalid_cursor") from None
    rest = known[start + limit :]
    following = base64.b64encode(f"next:{rest[0]}".encode()).decode() if rest else ""
    return known[start : start + limit], following


def _user(workspace: Workspace, user: User) -> Json:
    return {
        "id": user.id,
        "team_id": workspace.team_id,
        "name": user.name,
        "real_name": user.name.capitalize(),
        "deleted": user.deleted,
        "tz": user.tz,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "profile": {"display_name": user.name, "real_name": user.name.capitalize()},
    }


def _group(workspace: Workspace, group: Usergroup) -> Json:
    return {
        "id": group.id,
        "team_id": workspace.team_id,
        "is_usergroup": True,
        "name": group.handle,
        "handle": group.handle,
        "date_delete": int(workspace.clock()) if group.disabled else 0,
        "user_count": len(group.members),
    }
