"""`chat.*`: posting, replacing and removing messages."""

from typing import Any

import msgspec

from simulator.slack.blocks import faults_of_blocks, named
from simulator.slack.calls import Args, Refused, channel_of, method
from simulator.slack.workspace import Channel, Json, Message, Workspace

LONGEST_TEXT = 40_000
LONGEST_METADATA = 8_000


@method("chat.postMessage", scope="chat:write")
def post_message(workspace: Workspace, args: Args) -> Json:
    channel = _place(workspace, args)
    text, blocks = content(args)
    thread_ts = _thread(channel, args.text("thread_ts"))
    message = Message(
        channel.id,
        workspace.new_ts(),
        workspace.bot.id,
        text,
        blocks or [],
        _metadata(args),
        thread_ts,
        broadcast=bool(thread_ts) and args.flag("reply_broadcast"),
        unfurl=(args.get("unfurl_links"), args.get("unfurl_media")),
    )
    workspace.put(message)
    shown = as_json(workspace, message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shown}


@method("chat.update", scope="chat:write")
def update(workspace: Workspace, args: Args) -> Json:
    channel = channel_of(workspace, args, inside=False)
    message = _message(channel, args)
    if message.user != workspace.bot.id:
        raise Refused("cant_update_message")
    if channel.archived:
        raise Refused("is_inactive")
    if workspace.bot.id not in channel.members:
        raise Refused("not_in_channel")
    replace_content(workspace, message, args)
    shown = as_json(workspace, message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shown}


@method("chat.delete", scope="chat:write")
def delete(workspace: Workspace, args: Args) -> Json:
    channel = channel_of(workspace, args, inside=False)
    message = _message(channel, args)
    if message.user != workspace.bot.id:
        raise Refused("cant_delete_message")
    workspace.remove(message)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.postEphemeral", scope="chat:write")
def post_ephemeral(workspace: Workspace, args: Args) -> Json:
    channel = _place(workspace, args)
    user = args.text("user")
    if user not in workspace.users:
        raise Refused("user_not_found")
    if user not in channel.members:
        raise Refused("user_not_in_channel")
    text, blocks = content(args)
    message = Message(
        channel.id,
        workspace.new_ts(),
        workspace.bot.id,
        text,
        blocks or [],
        thread_ts=args.text("thread_ts") or None,
        only_for=user,
    )
    workspace.put(message)
    return {"message_ts": message.ts}


def content(args: Args) -> tuple[str, list[Json] | None]:
    """The text and blocks of a message, blocks None if not mentioned; raises Refused."""
    blocks = args.structure("blocks", wrong="invalid_blocks_format")
    if blocks is not None and (faults := faults_of_blocks(blocks)):
        said = {"messages": faults}
        raise Refused("invalid_blocks", errors=faults, response_metadata=said)
    text = args.text("text")
    if not text.strip() and not blocks and not args.get("attachments"):
        raise Refused("no_text")
    if len(text) > LONGEST_TEXT:
        raise Refused("msg_too_long")
    return text, None if blocks is None else named(blocks)


def replace_content(workspace: Workspace, message: Message, args: Args) -> None:
    """Put new content into a message, as chat.update and a response_url do.

    A text without blocks removes the blocks, and only then Slack shows "(edited)".
    """
    text, blocks = content(args)
    metadata = _metadata(args) if "metadata" in args else message.metadata
    if "text" in args or blocks is not None:
        message.text = text
        message.blocks = blocks or []
    message.metadata = metadata
    message.edited += 1
    if not message.blocks:
        message.edit_shown = workspace.new_ts()
    workspace.changed()


def as_json(workspace: Workspace, message: Message, *, metadata: bool) -> Json:
    """A message as the API shows it."""
    shown: Json = {
        "type": "message",
        "user": message.user,
        "text": message.text,
        "ts": message.ts,
        "team": workspace.team_id,
    }
    if message.user == workspace.bot.id:
        shown |= {"bot_id": workspace.bot_id, "app_id": workspace.app_id}
    if message.blocks:
        shown["blocks"] = message.blocks
    if metadata and message.metadata:
        shown["metadata"] = message.metadata
    if message.edit_shown:
        shown["edited"] = {"user": message.user, "ts": message.edit_shown}
    if message.broadcast:
        shown["subtype"] = "thread_broadcast"
    return shown | _of_thread(workspace, message)


def _of_thread(workspace: Workspace, message: Message) -> Json:
    if message.is_reply or message.only_for:
        return {"thread_ts": message.thread_ts} if message.thread_ts else {}
    channel = workspace.channels[message.channel]
    replies = [
        reply
        for ts in channel.threads.get(message.ts, [])
        if not (reply := channel.messages[ts]).deleted
    ]
    if not replies:
        return {}
    return {
        "thread_ts": message.ts,
        "reply_count": len(replies),
        "reply_users": sorted({reply.user for reply in replies}),
        "reply_users_count": len({reply.user for reply in replies}),
        "latest_reply": replies[-1].ts,
    }


def _place(workspace: Workspace, args: Args) -> Channel:
    """Where a new message goes: a channel by id or name, or a person."""
    wanted = args.text("channel")
    if wanted in workspace.users:
        return _direct(workspace, wanted)
    names = {f"#{channel.name}": channel.id for channel in workspace.channels.values()}
    wanted = names.get(f"#{wanted.removeprefix('#')}", wanted)
    public = "chat:write.public" in workspace.scopes
    channel = channel_of(workspace, {"channel": wanted}, inside=not public)
    if channel.archived:
        raise Refused("is_archived")
    return channel


def _direct(workspace: Workspace, user: str) -> Channel:
    """The conversation of the bot with one person."""
    both = {user, workspace.bot.id}
    for channel in workspace.channels.values():
        if channel.id.startswith("D") and channel.members == both:
            return channel
    return workspace.add_channel(f"dm-{user}", [user], id=workspace.new_id("D"), private=True)


def _thread(channel: Channel, ts: str) -> str | None:
    """The parent of the thread that `ts` belongs to; Slack takes any message's ts for one."""
    parent = channel.messages.get(ts)
    return parent.thread_ts or parent.ts if parent else ts or None


def _message(channel: Channel, args: Args) -> Message:
    message = channel.messages.get(args.text("ts"))
    if message is None or message.deleted:
        raise Refused("message_not_found")
    return message


def _metadata(args: Args) -> Json | None:
    """What an app attaches to a message for itself; None if nothing is, or an empty object."""
    value: Any = args.structure("metadata", wrong="invalid_metadata_format")
    if not value:
        return None
    shape = isinstance(value, dict) and isinstance(value.get("event_payload"), dict)
    if not shape or not isinstance(value.get("event_type"), str) or not value["event_type"]:
        raise Refused("invalid_metadata_format")
    if len(msgspec.json.encode(value)) > LONGEST_METADATA:
        raise Refused("metadata_too_large")
    return dict(value)
