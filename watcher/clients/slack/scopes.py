"""What the bot may do in Slack, and why. `config/slack-app.yaml` asks for exactly this, by test."""

from collections.abc import Mapping
from types import MappingProxyType

SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "chat:write": "chat.postMessage, chat.update and chat.postEphemeral: what people are told",
        "commands": "the slash command /relayer",
        "usergroups:read": "usergroups.users.list: who is in a group that is named as approver",
        "channels:read": "conversations.info: is a public channel there, and the bot in it",
        "groups:read": "conversations.info: the same of private channels",
        "channels:history": "conversations.history and .replies: did a message arrive whose answer"
        " got lost, before it is sent again",
        "groups:history": "conversations.history and .replies: the same in private channels",
    }
)
"""Scope of the bot token → its use. The app-level token has `connections:write` alone."""
