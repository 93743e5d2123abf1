"""What a Slack workspace holds: people, groups, channels, messages. No I/O and no rules of the API.

Time comes from the clock that is handed in, so that tests decide when a second has passed. Whoever
wants to hear of changes sets `changed`.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]

SCOPES = (
    "chat:write",
    "commands",
    "channels:read",
    "channels:history",
    "groups:read",
    "groups:history",
    "users:read",
    "usergroups:read",
)
"""What a bot of our kind is granted when it is installed."""


@dataclass(slots=True)
class User:
    """A person, or a bot."""

    id: str
    name: str
    tz: str = "Europe/Berlin"
    is_bot: bool = False
    deleted: bool = False


@dataclass(slots=True)
class Usergroup:
    """A handle that stands for several people."""

    id: str
    handle: str
    members: list[str] = field(default_factory=list)
    """Ids of users."""
    disabled: bool = False


@dataclass(slots=True)
class Message:
    """One message as it is now. `seen()` keeps it as it was, the way a screen does."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    thread_ts: str | None = None
    broadcast: bool = False
    edited: int = 0
    """How often its content was replaced."""
    edit_shown: str | None = None
    """When Slack last marked it "(edited)": only texts without blocks are marked."""
    deleted: bool = False
    unfurl: tuple[Any, Any] = (None, None)
    """The flags for links and media, as they were asked for."""
    only_for: str | None = None
    """An ephemeral message: the id of the one person who sees it."""

    def seen(self) -> "Message":
        """A copy that later edits do not reach; blocks are replaced whole, never changed."""
        return replace(self)

    @property
    def is_reply(self) -> bool:
        return self.thread_ts not in {None, self.ts}


@dataclass(slots=True)
class Channel:
    """A conversation and everything said in it."""

    id: str
    name: str
    members: set[str] = field(default_factory=set)
    """Ids of users, the bot's among them if it was invited."""
    archived: bool = False
    private: bool = False
    messages: dict[str, Message] = field(default_factory=dict)
    """By ts, the oldest first; deleted ones stay, marked."""
    threads: dict[str, list[str]] = field(default_factory=dict)
    """The ts of a parent to those of its replies, the oldest first."""


@dataclass(slots=True)
class OpenView:
    """A modal on somebody's screen."""

    id: str
    user: str
    view: Json
    hash: str
    root: str
    previous: str | None = None
    closed: bool = False


@dataclass(slots=True)
class Trigger:
    """What lets an app open one modal, for three seconds after a person did something."""

    id: str
    user: str
    at: float
    used: bool = False


class Unknown(LookupError):
    """A test or the demo named somebody or something that is not in the workspace."""


class Workspace:
    """All state of one workspace with one installed app."""

    def __init__(self, clock: Callable[[], float], *, domain: str = "relayer-test") -> None:
        self.clock = clock
        self.domain = domain
        self.team_id, self.app_id, self.bot_id = "T0RELAYER", "A0RELAYER", "B0RELAYER"
        self.bot_token = "xoxb-100-200-relayer"  # noqa: S105 - opens nothing but this double
        self.app_token = "xapp-1-A0RELAYER-300-relayer"  # noqa: S105
        self.signing_secret = "relayer-double-signs-with-this"  # noqa: S105
        self.verification_token = "verification-token"  # noqa: S105
        self.scopes: list[str] = list(SCOPES)
        self.revoked: set[str] = set()
        self.users: dict[str, User] = {}
        self.usergroups: dict[str, Usergroup] = {}
        self.channels: dict[str, Channel] = {}
        self.ephemerals: list[Message] = []
        self.views: dict[str, OpenView] = {}
        self.triggers: dict[str, Trigger] = {}
        self.changed: Callable[[], None] = lambda: None
        self._last_ts = 0
        self._numbers = itertools.count(1)
        self.bot = self.add_user("relayer", is_bot=True, id="U0RELAYER")

    def add_user(
        self, name: str, *, id: str | None = None, tz: str = "Europe/Berlin", is_bot: bool = False
    ) -> User:
        user = User(id or self.new_id("U"), name, tz, is_bot)
        self.users[user.id] = user
        return user

    def add_usergroup(
        self, handle: str, members: Iterable[str | User] = (), *, id: str | None = None
    ) -> Usergroup:
        ids = [self.user(member).id for member in members]
        group = Usergroup(id or self.new_id("S"), handle, ids)
        self.usergroups[group.id] = group
        return group

    def add_channel(
        self,
        name: str,
        members: Iterable[str | User] | None = None,
        *,
        id: str | None = None,
        bot: bool = True,
        private: bool = False,
    ) -> Channel:
        """A channel; without `members` everybody known by now is in it."""
        people = self.users.values() if members is None else map(self.user, members)
        ids = {user.id for user in people if user is not self.bot}
        if bot:
            ids.add(self.bot.id)
        channel = Channel(id or self.new_id("C"), name, ids, private=private)
        self.channels[channel.id] = channel
        return channel

    def user(self, who: str | User) -> User:
        """By id, by name with or without @, or itself; raises Unknown."""
        if isinstance(who, User):
            return who
        for user in self.users.values():
            if who in {user.id, user.name, f"@{user.name}"}:
                return user
        raise Unknown(f"no user {who!r}; there are {[u.name for u in self.users.values()]}")

    def usergroup(self, which: str | Usergroup) -> Usergroup:
        """By id, by handle with or without @, or itself; raises Unknown."""
        if isinstance(which, Usergroup):
            return which
        for group in self.usergroups.values():
            if which in {group.id, group.handle, f"@{group.handle}"}:
                return group
        raise Unknown(f"no usergroup {which!r}")

    def channel(self, which: str | Channel) -> Channel:
        """By id, by name with or without #, or itself; raises Unknown."""
        if isinstance(which, Channel):
            return which
        if found := self.channels.get(which):
            return found
        for channel in self.channels.values():
            if which in {channel.name, f"#{channel.name}"}:
                return channel
        raise Unknown(f"no channel {which!r}; there are {[c.name for c in self.channels.values()]}")

    def there(self, message: Message) -> Message:
        """What stands there now of a message that was seen earlier."""
        if message.only_for:
            return next((m for m in self.ephemerals if m.ts == message.ts), message)
        return self.channels[message.channel].messages.get(message.ts, message)

    def new_id(self, kind: str) -> str:
        """An id as Slack spells them: a letter for the kind, then capitals and digits."""
        return f"{kind}{next(self._numbers):08X}"

    def new_ts(self) -> str:
        """The time as messages are named by it: unique, growing, and never ahead by itself."""
        now = int(self.clock()) * 1_000_000 + 100
        self._last_ts = max(self._last_ts + 100, now)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def put(self, message: Message) -> Message:
        """Add a message to its channel, or to the ephemeral ones."""
        if message.only_for:
            self.ephemerals.append(message)
        else:
            channel = self.channels[message.channel]
            channel.messages[message.ts] = message
            if message.is_reply:
                channel.threads.setdefault(str(message.thread_ts), []).append(message.ts)
        self.changed()
        return message

    def say(
        self, user: str | User, channel: str | Channel, text: str, *, thread_ts: str | None = None
    ) -> Message:
        """A person writes something."""
        place = self.channel(channel).id
        return self.put(
            Message(place, self.new_ts(), self.user(user).id, text, thread_ts=thread_ts)
        )

    def remove(self, message: Message) -> None:
        """Delete a message; seen copies know nothing of it."""
        self.there(message).deleted = True
        self.changed()

    def archive(self, channel: str | Channel, *, archived: bool = True) -> None:
        self.channel(channel).archived = archived

    def kick_bot(self, channel: str | Channel) -> None:
        self.channel(channel).members.discard(self.bot.id)

    def invite_bot(self, channel: str | Channel) -> None:
        self.channel(channel).members.add(self.bot.id)

    def revoke(self, token: str) -> None:
        """This token opens nothing any more."""
        self.revoked.add(token)

    def remove_scope(self, *scopes: str) -> None:
        self.scopes = [scope for scope in self.scopes if scope not in scopes]

    def disable(self, usergroup: str | Usergroup, *, disabled: bool = True) -> None:
        self.usergroup(usergroup).disabled = disabled

    def new_trigger(self, user: str) -> str:
        """What comes with a click or a command; good for one modal, soon."""
        trigger = Trigger(f"{next(self._numbers)}.{self.team_id}.trigger", user, self.clock())
        self.triggers[trigger.id] = trigger
        return trigger.id
