"""YAML text to values that know their line, so that every mistake can be named with its place.

Made from parser events instead of `yaml.safe_load`: that one drops lines and keys written twice,
and reads `22:00` as 1320, `no` as False and a date as a date. Here only `true`, `false`, `null`
and decimal numbers are more than text, as in YAML 1.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from watcher.core.scalars import read_plain
from watcher.errors import ConfigError

MOST_BYTES = 1024 * 1024
"""A configuration of 1,000 pools is a tenth of this."""
MOST_NODES = 50_000
"""Values after aliases are followed: ten lines of aliases of aliases would fill the memory."""
DEEPEST = 20


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a configuration file."""

    file: str
    line: int
    """From 1; 0 where the mistake is no line's."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the line it begins on."""

    value: "str | int | float | bool | list[Node] | dict[str, Node] | None"
    line: int
    size: int = 1
    """How many values it is made of."""
    key_lines: dict[str, int] = field(default_factory=dict)
    """Of a mapping: where each key is written."""

    def plain(self) -> Any:
        """The value as pydantic takes it."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def items(self) -> "list[Node]":
        """The items of a list; none of anything else."""
        return self.value if isinstance(self.value, list) else []

    def get(self, *path: str | int) -> "Node | None":
        """The node at `path`, or None."""
        here: Node | None = self
        for part in path:
            if here is not None:
                here = here._child(part)
        return here

    def _child(self, part: str | int) -> "Node | None":
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]
        return None

    def line_of(self, path: tuple[str | int, ...]) -> int:
        """The line of the deepest part of `path` that is written; of its key where it has one."""
        here, line = self, self.line
        for part in path:
            line = here.key_lines.get(part, line) if isinstance(part, str) else line
            child = here._child(part)
            if child is None:
                break
            here, line = child, (line if isinstance(part, str) else child.line)
        return line


def parse(text: str, *, file: str) -> tuple[Node, list[Problem]]:
    """Return the document and what is wrong beside its syntax (keys written twice).

    Raise ConfigError where the text cannot be read to its end.
    """
    try:
        return _Composer(file, yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError([Problem(file, mark.line + 1 if mark else 0, _syntax(error))]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character U+{ord(text[error.position]):04X} may not be in YAML"
        raise ConfigError([Problem(file, line, message)]) from error


def _syntax(error: yaml.MarkedYAMLError) -> str:
    said = f"{error.problem or 'not valid YAML'}"
    if "'\\t'" in said:
        return "a tab; indent with spaces"
    if error.context == "while scanning an alias":
        return "text that begins with * needs quotes"
    return f"not valid YAML: {said[:200]}"


class _Composer:
    """One pass over the parser's events."""

    def __init__(self, file: str, events: Iterator[Any]) -> None:
        self._file = file
        self._events = events
        self._anchors: dict[str, Node | None] = {}
        self._nodes = 0
        self._problems: list[Problem] = []

    def document(self) -> tuple[Node, list[Problem]]:
        found: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found is not None:
                    self._stop(event, "a second document begins; one file holds one")
                found = self._node(next(self._events), 0)
        return found or Node(None, 1), self._problems

    def _node(self, event: Any, depth: int) -> Node:
        if depth > DEEPEST:
            self._stop(event, f"nested more than {DEEPEST} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count(event, 1)
        if event.tag is not None and not (isinstance(event.tag, str) and event.tag == "!"):
            self._stop(event, f"tags are not understood: {event.tag[:60]}")
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = Node(_scalar(event), _line(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent) -> Node:
        name = str(event.anchor)
        node = self._anchors.get(name)
        if node is None:
            inside = "is not defined above; text that begins with * needs quotes"
            if name in self._anchors:
                inside = "refers to itself"
            self._stop(event, f"alias *{name[:60]} {inside}")
        assert node is not None
        self._count(event, node.size)
        return node

    def _sequence(self, start: Any, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(items, _line(start), 1 + sum(item.size for item in items))

    def _mapping(self, start: Any, depth: int) -> Node:
        items: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in lines:
                self._say(event, f"`{key[:60]}` is written twice; the first is line {lines[key]}")
            value = self._node(next(self._events), depth + 1)
            if key not in lines:
                items[key], lines[key] = value, _line(event)
        return Node(items, _line(start), 1 + sum(item.size for item in items.values()), lines)

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._stop(event, "a key must be a word")
        if event.value == "<<" and event.style is None:
            self._stop(event, "`<<` is not understood; what pools share goes under defaults.policy")
        return str(event.value)

    def _count(self, event: Any, amount: int) -> None:
        self._nodes += amount
        if self._nodes > MOST_NODES:
            self._stop(event, f"more than {MOST_NODES} values, aliases followed")

    def _say(self, event: Any, message: str) -> None:
        self._problems.append(Problem(self._file, _line(event), message))

    def _stop(self, event: Any, message: str) -> None:
        self._say(event, message)
        raise ConfigError(self._problems)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def is_text(plain: str) -> bool:
    """Whether something written without quotes is read as text."""
    return isinstance(read_plain(plain), str)


def _scalar(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    text = str(event.value)
    # Quoted or a block: text, whatever it looks like.
    return text if event.style is not None else read_plain(text)
