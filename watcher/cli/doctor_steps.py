"""One step of `relayer doctor` tried: what it came to as a line, and what the next steps need."""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from watcher.clients.registry import NotFound, RegistrySettings, Tampered
from watcher.clients.registry.errors import clean
from watcher.core.facts import Malformed
from watcher.errors import OutsideError, Transient
from watcher.findings import Finding, Level

T = TypeVar("T")

_SAID_CHARACTERS = 1500
"""Of one line; an error that names six places has about as many."""
_WHAT_CHARACTERS = 200
_SHORTEST_HIDDEN = 6
"""A shorter secret would be found inside ordinary words, and is guessed anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the doctor waits for anything: much less than the service, which has all day."""

    step_seconds: float = 60.0
    """One step, with all its requests."""
    payload_seconds: float = 300.0
    """Reading a release: 13 MB, over whatever line there is."""
    registry: RegistrySettings = field(
        default_factory=lambda: RegistrySettings(
            attempts=2,
            connect_seconds=5.0,
            read_seconds=15.0,
            call_seconds=20.0,
            backoff_budget_seconds=10.0,
        )
    )
    """Times and limits only; a call ends before its step does, so that it tells why."""


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """How a step ended."""

    finding: Finding
    result: T | None = None
    """None where it failed."""
    error: Exception | None = None


async def tried(what: str, work: Awaitable[tuple[str, T]], *, seconds: float) -> Tried[T]:
    """Wait for a step. `work` gives what is said of it and its result, or raises."""
    try:
        async with asyncio.timeout(seconds):
            said, result = await work
    except TimeoutError as error:
        why = f"no answer within {seconds:g} s; check the network, and try again"
        return Tried(Finding(Level.FAILED, what, why, passing=True), error=error)
    except (OutsideError, Malformed, OSError) as error:
        passing = isinstance(error, Transient)
        return Tried(Finding(Level.FAILED, what, told(error), passing), error=error)
    return Tried(Finding(Level.OK, what, said), result)


async def alone(work: Awaitable[str]) -> tuple[str, None]:
    """Of a step that has nothing to give but its sentence."""
    return await work, None


def told(error: Exception) -> str:
    """The sentence of an error with the next step, where it does not name one itself."""
    said = str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, Tampered):
        return (
            f"{said}; do not use it: mirror the image anew, and look at the proxies and caches on "
            "the way"
        )
    if isinstance(error, NotFound):
        return f"{said}; check the name, or mirror the image there"
    if isinstance(error, Transient):
        return f"{said}; try again later"
    return said


def counted(number: int, thing: str) -> str:
    """`1 image`, `2 images`"""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def skipped(what: str, why: str) -> Finding:
    return Finding(Level.SKIPPED, what, why)


def softened(finding: Finding, then: str) -> Finding:
    """A failure that there is a way around, as a warning."""
    if finding.level is not Level.FAILED:
        return finding
    return replace(finding, level=Level.WARNING, said=f"{finding.said}; {then}")


def shown(finding: Finding, secrets: Iterable[str]) -> Finding:
    """As it may be printed: short, no control characters, and no secret whatever was answered."""
    said = finding.said
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
        if len(secret) >= _SHORTEST_HIDDEN:
            said = said.replace(secret, "…")
    said = clean(said, limit=_SAID_CHARACTERS)
    return replace(finding, what=clean(finding.what, limit=_WHAT_CHARACTERS), said=said)
