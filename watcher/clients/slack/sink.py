"""Slack as a place where letters stand: post, edit, look for, take back."""

from dataclasses import dataclass
from typing import Any

from watcher.clients.slack.api import SlackApi, SlackRefused
from watcher.clients.slack.others import fingerprint, render
from watcher.core.letters import Body
from watcher.ports import Refused, Transient

EVENT_TYPE = "relayer_letter"
"""Of the metadata by which a message whose answer got lost is found again."""
PAGES = 50
PAGE = 200
"""A message is looked for among this many pages of so many messages since it was tried."""
PREFIX = "slack:"


@dataclass(frozen=True, slots=True)
class SlackSink:
    api: SlackApi

    def fingerprint(self, body: Body) -> str:
        """See `ports.Sink`."""
        return fingerprint(body)

    async def post(
        self, place: str, body: Body, *, nonce: str, sequence: int, thread: str, broadcast: bool
    ) -> str:
        """See `ports.Sink`. `nonce` begins with the time of the first try, in epoch seconds."""
        said: dict[str, Any] = {
            **render(body),
            "channel": _channel(place),
            "metadata": {"event_type": EVENT_TYPE, "event_payload": {"nonce": nonce}},
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if thread:
            said |= {"thread_ts": thread, "reply_broadcast": broadcast}
        answer = await self.api.call("chat.postMessage", **said)
        return str(answer["ts"])

    async def edit(self, place: str, ref: str, body: Body, *, sequence: int) -> None:
        """See `ports.Sink`."""
        await self.api.call("chat.update", channel=_channel(place), ts=ref, **render(body))

    async def find(self, place: str, nonce: str, *, thread: str) -> str:
        """See `ports.Sink`."""
        since = nonce.partition(":")[0]
        said: dict[str, Any] = {
            "channel": _channel(place),
            "oldest": f"{float(since) - 120:.6f}",  # our clock and Slack's may differ
            "limit": PAGE,
            "include_all_metadata": True,
        }
        if thread:
            said["ts"] = thread
        method = "conversations.replies" if thread else "conversations.history"
        for _ in range(PAGES):
            answer = await self.api.call(method, **said)
            for message in answer.get("messages", ()):
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                if payload.get("nonce") == nonce:
                    return str(message["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return ""
            said["cursor"] = cursor
        # Better late than twice: somebody may look, and the next try looks again.
        raise Transient(f"{place} has too many messages since to look for one")

    async def take_back(self, place: str, ref: str) -> None:
        """See `ports.Sink`."""
        try:
            await self.api.call("chat.delete", channel=_channel(place), ts=ref)
        except SlackRefused as refusal:
            if refusal.error != "message_not_found":
                raise


def _channel(place: str) -> str:
    if not place.startswith(PREFIX):
        raise Refused(f"{place} is no place in Slack")
    return place.removeprefix(PREFIX)
