"""A message that is posted, edited, found and deleted again: the way of every letter, once."""

import secrets
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field

from watcher.clients.slack.diagnosis import failed
from watcher.clients.slack.sink import PREFIX, SlackSink
from watcher.core.letters import Notice, Severity
from watcher.findings import Finding, Level
from watcher.ports import Clock, OutsideError, Transient

DELETE_TRIES = 3
"""The answer may get lost, and deleting twice is as good as once."""


@dataclass(slots=True)
class Trial:
    sink: SlackSink
    clock: Clock
    channel: str
    app: str = ""
    """The app whose message it was, once it was found."""
    _found: list[Finding] = field(default_factory=list)

    async def run(self) -> list[Finding]:
        """Return what each step found. The message is gone afterwards, or a finding says so."""
        nonce = f"{self.clock.now().timestamp():.0f}:doctor-{secrets.token_hex(8)}"
        posted = None
        try:
            posted = await self._step("post", "a test message stands", self._post(nonce))
            if posted:
                edit = self.sink.edit(self._place, posted, _body("edited"), sequence=2)
                await self._step("edit", "it is edited", edit)
        finally:  # also of what was posted as somebody pressed Ctrl-C
            if posted or not self._refused():
                await self._look_and_delete(nonce, posted)
            else:
                why = "nothing was posted"
                self._found.append(Finding(Level.SKIPPED, "edit, find, delete", why))
        return self._found

    @property
    def _place(self) -> str:
        return PREFIX + self.channel

    def _refused(self) -> bool:
        """Whether it is certain that nothing stands there."""
        return any(found.level is Level.FAILED and not found.passing for found in self._found)

    async def _look_and_delete(self, nonce: str, posted: str | None) -> None:
        there = posted
        try:
            left = "" if posted else f"the test message may stand in {self.channel}: look there"
            done = "it is found by its metadata" if posted else "what was posted was looked for"
            there = await self._step("find", done, self._find(nonce, posted), left) or posted
        finally:
            if there:
                left = f"the test message still stands in {self.channel}: delete it by hand"
                await self._step("delete", "it is deleted", self._delete(there), left)

    async def _step(
        self, what: str, done: str, act: Awaitable[str | None], left: str = ""
    ) -> str | None:
        try:
            result: str | None = await act
        except OutsideError as error:
            self._found.append(failed(what, error, after=left))
            return None
        self._found.append(Finding(Level.OK, what, done))
        return result

    async def _post(self, nonce: str) -> str:
        body = _body("posted")
        return await self.sink.post(
            self._place, body, nonce=nonce, sequence=1, thread="", broadcast=False
        )

    async def _find(self, nonce: str, posted: str | None) -> str:
        ref = await self.sink.find(self._place, nonce, thread="")
        if posted and not ref:
            raise OutsideError(
                "posted, and not found by its metadata; run it again: if it stays so, a message "
                "whose answer gets lost would be sent twice"
            )
        if ref:
            at = {"oldest": ref, "latest": ref, "inclusive": True, "limit": 1}
            call = self.sink.api.call("conversations.history", channel=self.channel, **at)
            for message in (await call).get("messages", ()):
                self.app = str(message.get("app_id", ""))
        return ref

    async def _delete(self, ref: str) -> None:
        for _ in range(DELETE_TRIES - 1):
            with suppress(Transient):
                await self.sink.take_back(self._place, ref)
                return
        await self.sink.take_back(self._place, ref)


def _body(word: str) -> Notice:
    return Notice(
        cause="doctor",
        title=f"Test message, {word}",
        sentence="relayer doctor slack --post tries whether it can post here, and removes this.",
        severity=Severity.INFO,
    )
