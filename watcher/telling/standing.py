"""What is still to be said: what a subject wants, compared with what stands. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from watcher.core.letters import Delivered, Letters, Wanted


@dataclass(frozen=True, slots=True)
class Due:
    """To be delivered now."""

    wanted: Wanted
    letter: Delivered
    """What is known of it, or a new one."""
    thread: str = ""
    """Name of the message it replies to."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """It has no thread any more to stand in."""

    letter: Delivered
    because: str


@dataclass(frozen=True, slots=True)
class Stands:
    """Nothing is to be done: it is as it should be, or waits for the message it replies to."""


State = Due | Dropped | Stands


@dataclass(frozen=True, slots=True)
class Standing:
    """All letters of one subject."""

    due: tuple[Due, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @property
    def is_true(self) -> bool:
        """Everything stands as it should. What waits does so for one that is due."""
        return not self.due

    def due_by(self, key: str) -> Due | None:
        return next((due for due in self.due if due.wanted.key == key), None)


def compare(
    letters: Letters,
    delivered: Mapping[str, Delivered],
    fingerprint: Callable[[Wanted], str],
) -> Standing:
    """Say of each wanted letter what is to be done. What is no longer wanted is left as it is."""
    keys = frozenset(wanted.key for wanted in letters.wanted)
    due: list[Due] = []
    dropped: list[Dropped] = []
    for wanted in letters.wanted:
        match _state(wanted, keys, delivered, fingerprint):
            case Due() as one:
                due.append(one)
            case Dropped() as one:
                dropped.append(one)
            case Stands():
                pass
            case never:
                assert_never(never)
    return Standing(tuple(due), tuple(dropped))


def _state(
    wanted: Wanted,
    keys: frozenset[str],
    delivered: Mapping[str, Delivered],
    fingerprint: Callable[[Wanted], str],
) -> State:
    letter = delivered.get(wanted.key) or Delivered(key=wanted.key)
    if not _differs(wanted, letter, fingerprint):
        return Stands()
    if not wanted.thread_of:
        return Due(wanted, letter)
    head = delivered.get(wanted.thread_of)
    if head is not None and head.gone:
        return _drop(letter, head.gone)
    if head is not None and head.ref:
        return Due(wanted, letter, head.ref)
    if wanted.thread_of in keys:
        return Stands()
    return _drop(letter, f"{wanted.thread_of}, which it replies to, is not wanted")


def _differs(wanted: Wanted, letter: Delivered, fingerprint: Callable[[Wanted], str]) -> bool:
    if letter.ref and letter.gone:
        return False  # deleted by somebody: said anew it would be in their way again
    if wanted.once and (letter.sent or letter.ref):
        return False
    return letter.sent != fingerprint(wanted)


def _drop(letter: Delivered, because: str) -> Dropped | Stands:
    """Once is enough. Its `sent` stays as it is: should the thread come, it is delivered."""
    return Stands() if letter.gone else Dropped(letter, because)
