"""Ports of telling people and hearing from them; errors are those of `watcher.ports`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from watcher.core.approval import Who
from watcher.core.letters import Body, Delivered, Mark


class Outbox(Protocol):
    """What was told where, and what must be looked at again. Every method may be repeated.

    A subject is marked by whatever changes it; the courier makes its letters true and clears the
    mark, unless it was marked again meanwhile. So nothing is lost, and only the newest is sent.
    """

    async def mark(self, *subjects: str) -> None: ...

    async def marked(self, limit: int) -> list[Mark]:
        """Those marked longest ago first. They stay marked."""

    async def clear(self, mark: Mark) -> bool:
        """Unmark it; False if it was marked again since `mark` was read, and so stays."""

    async def wait_marked(self, timeout_seconds: float) -> None:
        """Return when something was marked since this task last read, or after the timeout."""

    async def delivered(self, subject: str) -> dict[str, Delivered]:
        """By key; kept for 90 days after the last change."""

    async def save(self, subject: str, letter: Delivered) -> Delivered:
        """Write it and return it with its new version; Conflict if `version` is not the newest."""


class Sink(Protocol):
    """A kind of place where people (or their machines) are told."""

    def fingerprint(self, body: Body) -> str:
        """Changes exactly when what a reader would see changes."""

    async def post(
        self, place: str, body: Body, *, nonce: str, sequence: int, thread: str, broadcast: bool
    ) -> str:
        """Say it anew; return the place's name of it. `thread`: in reply to that one.

        `sequence` grows with every attempt at this letter, whichever replica makes it.

        Raise Transient (not said, or not known to be said: `find` tells), Refused for good.
        """

    async def edit(self, place: str, ref: str, body: Body, *, sequence: int) -> None:
        """Replace what is said there. Raise Transient, or Refused if it is gone for good."""

    async def find(self, place: str, nonce: str, *, thread: str) -> str:
        """Name of the message that was posted with this nonce a while ago, or empty."""

    async def take_back(self, place: str, ref: str) -> None:
        """Delete what another replica has said too."""


class Directory(Protocol):
    """Who somebody is, beyond the identity that passed the door."""

    async def who(self, by: str, approvers: Sequence[str]) -> Who:
        """Look up the person, and which of the groups among `approvers` have them. Never raises:
        a group that cannot be looked up counts as no, and says so."""


class Groups(Protocol):
    """Chat's own groups of people."""

    async def members(self, group: str) -> frozenset[str]:
        """Ids of those in the group `S…`. Raise Transient, or Refused if there is no such group."""


# --- hearing ---------------------------------------------------------------------------------

Content = Mapping[str, Any]
"""Something to show, in the words of the place where it is shown (Slack: text and blocks)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What somebody did in chat. That it comes from there was checked; nothing else was."""

    delivery: str
    """Names this act: the same when it is delivered again."""
    user: str
    """Chat's id of the person, `U…`."""
    channel: str = ""
    message: str = ""
    """The message that was clicked on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Click(Heard):
    action: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(Heard):
    """A modal was sent."""

    form: str
    carried: str
    """What the modal was opened with."""
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Heard):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What follows from it: all of it private to whoever did it."""

    answer: Content | None = None
    view: Content | None = None
    """A modal to open."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Of a modal that stays open, by its fields."""
    then: Callable[[], Awaitable[Content]] | None = None
    """Work that takes longer than an acknowledgement may: its answer is said when it is there."""


class Listener(Protocol):
    """Decides. What it returns is saved, the acknowledgement follows. Raise OutsideError if not."""

    async def clicked(self, click: Click) -> Reply: ...

    async def submitted(self, form: Submitted) -> Reply: ...

    async def commanded(self, command: Command) -> Reply: ...

    async def turned_away(self, heard: Heard, because: str) -> None:
        """Audit what came from another workspace or app, and goes no further."""

    def excuse(self, because: str) -> Content:
        """What is said when nothing could be saved."""
