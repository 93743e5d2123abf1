"""One object of a dump, not yet read: from YAML or JSON, its head first and the rest if wanted.

What an object cannot be read for is said without quoting it: it may be of any kind.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from watcher.clients.kube.wire import Wire, decoded, without_nulls

T = TypeVar("T")


class HeadMeta(Wire, frozen=True):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Head(Wire, frozen=True):
    """What every object has: its kind and its name."""

    kind: str = ""
    api_version: str = ""
    metadata: HeadMeta | None = None


class Unreadable(Exception):
    """An object, or the rest of a file, cannot be read; the text says why, without quoting it."""

    def __init__(self, why: str, *, line: int = 0) -> None:
        super().__init__(why)
        self.line = line
        """Where the file says it; 0: where the object begins."""


class Piece(Protocol):
    """One object's text."""

    @property
    def line(self) -> int:
        """Where it begins, from 1."""
        ...

    @property
    def kind(self) -> str:
        """Its kind as its text says at a glance; empty where that takes reading it."""
        ...

    def says(self, word: bytes) -> bool:
        """Whether its text has `word` in it."""
        ...

    def read(self, struct: type[T]) -> T:
        """The object, of which only the fields of `struct` are made. Raise Unreadable."""
        ...


@dataclass(frozen=True, slots=True)
class JsonPiece:
    line: int
    text: bytes
    kind: str = ""
    """Of the list that it is an item of; an item of a typed list may not say its own."""

    def says(self, word: bytes) -> bool:
        return word in self.text

    def read(self, struct: type[T]) -> T:
        try:
            return decoded(msgspec.json.Decoder(struct), self.text)
        except UnicodeDecodeError as error:
            raise Unreadable("not UTF-8") from error
        except msgspec.ValidationError as error:
            raise Unreadable(str(error)) from error
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise Unreadable("not valid JSON") from error


def converted(plain: Any, struct: type[T]) -> T:
    """A plain value as `struct`, as strictly as JSON is read. Raise Unreadable."""
    try:
        try:
            return msgspec.convert(plain, struct)
        except msgspec.ValidationError:  # something may be null
            return msgspec.convert(without_nulls(plain), struct)
    except (msgspec.ValidationError, RecursionError, ValueError) as error:
        raise Unreadable(str(error)) from error
