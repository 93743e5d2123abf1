"""A webhook as a place where letters stand: whoever receives them keeps them by id.

Every post and every edit is one signed request with the whole letter. Nobody can be asked what
arrived, so after a lost answer it is sent again under the same id: at least once, newest last.
See docs/reference/webhook.md, which is the contract with those who receive.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, assert_never

import msgspec

from watcher.clients.hooks import ANSWER_SECONDS, Hooks, Webhook, WebhookRefused, encoded
from watcher.core.letters import Body, Card, Details, Digest, Notice, Nudge, Severity
from watcher.ports import Clock

__all__ = ["Webhook", "WebhookSink", "content", "payload"]

SCHEMA = "relayer.io/notification/v1"
PREFIX = "webhook:"


class WebhookSink:
    """`ports.Sink` of all receivers; `opened` makes it."""

    def __init__(self, hooks: Sequence[Webhook], sending: Hooks, *, clock: Clock) -> None:
        self._hooks = {hook.name: hook for hook in hooks}
        self._sending, self._clock = sending, clock

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        hooks: Sequence[Webhook],
        *,
        clock: Clock,
        trust_env: bool = True,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator["WebhookSink"]:
        """As `Hooks.opened`."""
        async with Hooks.opened(
            hooks, clock=clock, trust_env=trust_env, answer_seconds=answer_seconds
        ) as sending:
            yield cls(hooks, sending, clock=clock)

    def fingerprint(self, body: Body) -> str:
        """See `ports.Sink`."""
        if isinstance(body, Details):
            return "not sent"
        return hashlib.sha256(encoded(content(body))).hexdigest()

    async def post(
        self, place: str, body: Body, *, nonce: str, sequence: int, thread: str, broadcast: bool
    ) -> str:
        """See `ports.Sink`. The nonce is the letter's id, and so its name there."""
        await self._send(place, nonce, body, sequence)
        return nonce

    async def edit(self, place: str, ref: str, body: Body, *, sequence: int) -> None:
        """See `ports.Sink`."""
        await self._send(place, ref, body, sequence)

    async def find(self, place: str, nonce: str, *, thread: str) -> str:
        """Nobody can be asked: it is sent again with the same id."""
        return ""

    async def take_back(self, place: str, ref: str) -> None:
        """What has the same id is the same letter."""

    async def _send(self, place: str, letter_id: str, body: Body, sequence: int) -> None:
        hook = self._hooks.get(place.removeprefix(PREFIX))
        if hook is None or not place.startswith(PREFIX):
            raise WebhookRefused(f"{place[:80]} is no webhook that is configured", "unknown")
        if isinstance(body, Details):
            return  # they stand in the thread of a card; who receives cards asks the API
        now = self._clock.now()
        sent = payload(body, letter_id=letter_id, sequence=sequence, at=now)
        await self._sending.send(hook, sent, at=now)


def payload(body: Body, *, letter_id: str, sequence: int, at: datetime) -> dict[str, Any]:
    """Return what is sent, as JSON values."""
    head = {"schema": SCHEMA, "id": letter_id, "sequence": sequence, "at": at}
    builtins = msgspec.to_builtins({**head, **content(body)})
    assert isinstance(builtins, dict)
    return builtins


def content(body: Body) -> dict[str, Any]:
    """Return the part that changes only if what is said does."""
    match body:
        case Card():
            kind, severity, subject = "update", body.severity, body.update
        case Details():
            kind, severity, subject = "details", Severity.INFO, body.update
        case Nudge():
            kind, severity, subject = "nudge", body.severity, body.update or body.cause
        case Notice():
            kind, severity, subject = "notice", body.severity, body.cause
        case Digest():
            kind, severity, subject = "digest", Severity.INFO, body.day
        case never:
            assert_never(never)
    said = {"kind": kind, "severity": severity, "subject": subject, kind: body}
    builtins = msgspec.to_builtins(said)
    assert isinstance(builtins, dict)
    return builtins
