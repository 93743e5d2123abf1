"""The Slack of `--slack`: one workspace, what can be read there, and what its people press.

Like the cluster it is the truth that Relayer's word is checked against: `lies` reads what stands
in the channel, not what Relayer says it has posted.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.demo.scene import Happening
from simulator.demo.world import private_file
from simulator.slack import Channel, Interaction, Message, SlackDouble, User
from simulator.slack.screen import render
from watcher.core.approval import CHAT, GROUP, ApprovalRules
from watcher.core.update_events import UpdateState
from watcher.settings import Settings, SlackSettings

CHANNEL, USERGROUP = "os-updates", "os-admins"
APPROVERS, OUTSIDER = ("ann", "bob"), "eve"
ENDS = {UpdateState.DONE: "done", UpdateState.ROLLED_BACK: "rolled back"}
"""The words that people read of those ends."""


class NoAnswer(Exception):
    """A click was not acknowledged in the 3 s that Slack waits."""


@dataclass(slots=True, kw_only=True)
class DemoSlack:
    double: SlackDouble
    channel: Channel
    group: str
    """Id of the usergroup that may approve."""
    _seen: dict[str, Message] = field(default_factory=dict)
    """What was told of, as it stood then."""
    _pressed: list[str] = field(default_factory=list)
    """Who has pressed Approve."""

    def connected(self, settings: Settings, directory: Path) -> Settings:
        """The settings with this Slack, where the usergroup decides and nobody else."""
        bot, app = directory / "slack-bot-token", directory / "slack-app-token"
        private_file(bot, self.double.bot_token)
        private_file(app, self.double.app_token)
        rules = ApprovalRules(approvers=(GROUP + self.group,))
        pools = (
            replace(pool, policy=replace(pool.policy, approval=rules)) for pool in settings.pools
        )
        return replace(
            settings,
            pools=tuple(pools),
            slack=SlackSettings(
                bot_token_file=bot,
                app_token_file=app,
                api_url=self.double.api_url,
                team=self.double.workspace.team_id,
                app=self.double.workspace.app_id,
                channel=self.channel.id,
            ),
        )

    def news(self, at: datetime) -> Iterator[Happening]:
        """What a person in the channel sees that was not there before; threads are closed."""
        for message in [*self.double.messages(self.channel), *self._whispers()]:
            before = self._seen.get(message.ts)
            if before is None or before.blocks != message.blocks or before.text != message.text:
                self._seen[message.ts] = message
                event = "Whispered" if message.only_for else "Edited" if before else "Posted"
                yield self._told(message, at, event)

    def thread(self, at: datetime) -> Iterator[Happening]:
        """The replies, as somebody reads them who opens the threads now."""
        for head in self.double.messages(self.channel):
            for reply in self.double.thread(self.channel, head.ts):
                yield self._told(reply, at, "Reply")

    def next_click(self, update_id: str) -> tuple[User, Interaction] | None:
        """Who presses Approve now: first whoever may not, then an approver who was called."""
        head = next(iter(self._heads(update_id)), None)
        if head is None or len(self._pressed) > 1:
            return None
        if self._pressed and not (self.double.ephemerals(OUTSIDER) and self._called(head)):
            return None
        if not any(one.get("action_id") == "approve" for one in _elements(head)):
            return None
        user = self.double.workspace.user(APPROVERS[0] if self._pressed else OUTSIDER)
        self._pressed.append(user.name)
        return user, self.double.clicking(user, head, "approve")

    async def click(self, interaction: Interaction) -> None:
        """Raise NoAnswer if it is not acknowledged."""
        if await self.double.deliver(interaction) is None:
            raise NoAnswer("a click in Slack was not acknowledged within 3 s")

    def lies(self, update_id: str, state: str) -> list[str]:
        """What is not as it should be once all is said about an update that ended so."""
        heads = self._heads(update_id)
        found = []
        if len(heads) != 1:
            found.append(f"{len(heads)} messages in #{CHANNEL} tell of {update_id}, not one")
        word = ENDS.get(UpdateState(state), state)
        for head in heads:
            if word not in _title(head):
                found.append(f"the message says {_title(head)!r}, though the update is {state}")
        said = Counter(self._shown(m) for m in self._all() if m.user == self._bot)
        found += [f"said {n} times: {what[:80]}" for what, n in said.items() if n > 1]
        posted = self.double.calls.count("chat.postMessage")
        if posted != said.total() or self.double.calls.count("chat.delete"):
            found.append(f"{posted} messages were posted for the {said.total()} that stand")
        return found

    def refused(self) -> str:
        """Whose click must have been refused."""
        return CHAT + self.double.workspace.user(OUTSIDER).id

    def summary(self) -> dict[str, Any]:
        """Figures for the last line of `--json`."""
        calls = self.double.calls
        return {
            "messages": sum(not m.is_reply for m in self.double.messages(self.channel)),
            "posted": calls.count("chat.postMessage"),
            "edited": calls.count("chat.update"),
        }

    @property
    def _bot(self) -> str:
        return self.double.workspace.bot.id

    def _heads(self, update_id: str) -> list[Message]:
        found = self.double.messages(self.channel, contains=update_id)
        return [message for message in found if not message.is_reply]

    def _called(self, head: Message) -> bool:
        """Whether the thread has called those who may approve."""
        thread = self.double.thread(self.channel, head.ts)
        return any(self.group in reply.text for reply in thread)

    def _all(self) -> Iterator[Message]:
        return (m for m in self.channel.messages.values() if not m.deleted)

    def _whispers(self) -> list[Message]:
        return [m for who in (OUTSIDER, *APPROVERS) for m in self.double.ephemerals(who)]

    def _told(self, message: Message, at: datetime, event: str) -> Happening:
        workspace = self.double.workspace
        to = f"@{workspace.user(message.only_for).name}" if message.only_for else ""
        by = workspace.user(message.user).name
        where = to or f"#{self.channel.name}"
        return Happening(at, "slack", where, event, "", self._shown(message), by)

    def _shown(self, message: Message) -> str:
        return render(message, self.double.workspace)


@asynccontextmanager
async def demo_slack() -> AsyncIterator[DemoSlack]:
    """A workspace with three people, one channel, and a usergroup of two of them."""
    async with SlackDouble.start() as double:
        workspace = double.workspace
        for name in (*APPROVERS, OUTSIDER):
            workspace.add_user(name)
        group = workspace.add_usergroup(USERGROUP, APPROVERS)
        yield DemoSlack(double=double, channel=workspace.add_channel(CHANNEL), group=group.id)


def _elements(message: Message) -> Iterator[dict[str, Any]]:
    for block in message.blocks:
        yield from block.get("elements", ())


def _title(message: Message) -> str:
    """The first line, which a phone shows."""
    first = message.blocks[0] if message.blocks else {}
    return str(first["text"]["text"]) if first.get("type") == "header" else message.text
