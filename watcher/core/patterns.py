"""Path patterns of COPY sources and of ignore files.

Both follow Go's filepath.Match, which differs from Python's fnmatch: `*` and `?` stop at a slash,
a class is negated by `^`, and a backslash takes the next character as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from watcher.core.facts import Malformed


def is_pattern(text: str) -> bool:
    """True if `text` has a character that matches more than itself."""
    return any(char in text for char in "*?[")


def glob(pattern: str, *, double_star: bool = False) -> re.Pattern[str]:
    """A regular expression for a whole path. `double_star`: `**` stands for any number of
    directories. Raise Malformed for a class that is not closed."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        text, at = _element(pattern, at, double_star)
        out.append(text)
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:
        raise Malformed(f"not a path pattern: {pattern[:80]!r}") from None


def _element(pattern: str, at: int, double_star: bool) -> tuple[str, int]:
    char = pattern[at]
    if double_star and pattern.startswith("**", at):
        after = at + 2
        if pattern.startswith("/", after):
            return "(?:.*/)?", after + 1
        return ".*", after
    if char == "*":
        return "[^/]*", at + 1
    if char == "?":
        return "[^/]", at + 1
    if char == "[":
        end = pattern.find("]", at + 2)
        if end < 0:
            raise Malformed(f"a [ is not closed: {pattern[:80]!r}")
        inside = pattern[at + 1 : end]
        negated = inside.startswith("^")
        inside = re.sub(r"[\[&~|]", r"\\\g<0>", inside.removeprefix("^"))
        return f"(?!/)[{'^' if negated else ''}{inside}]", end + 1
    if char == "\\" and at + 1 < len(pattern):
        return re.escape(pattern[at + 1]), at + 2
    return re.escape(char), at + 1


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The lines of a `.containerignore`, in order: the last one that matches decides."""

    rules: tuple[tuple[bool, re.Pattern[str]], ...] = ()
    """(True if it brings a path back, pattern)."""

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Self:
        """Raise Malformed naming the line."""
        rules: list[tuple[bool, re.Pattern[str]]] = []
        for number, raw in enumerate(lines, start=1):
            line = raw.strip()
            if line.startswith("#"):
                continue
            brings_back = line.startswith("!")
            parts = line.removeprefix("!").strip().split("/")
            parts = [part for part in parts if part not in ("", ".")]
            # Each `**` more would multiply the ways to try a path.
            path = "/".join(
                part
                for before, part in zip(["", *parts], parts, strict=False)
                if not before == part == "**"
            )
            if not path:
                continue
            try:
                rules.append((brings_back, glob(path, double_star=True)))
            except Malformed as error:
                raise Malformed(f"line {number}: {error}") from None
        return cls(tuple(rules))

    def ignores(self, path: str) -> bool:
        """A rule that matches a directory holds for all in it."""
        parts = path.split("/")
        heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        ignored = False
        for brings_back, pattern in self.rules:
            if ignored == brings_back and any(pattern.fullmatch(head) for head in heads):
                ignored = not brings_back
        return ignored

    @property
    def never_bring_back(self) -> bool:
        """True: what lies in an ignored directory need not be looked at."""
        return not any(brings_back for brings_back, _ in self.rules)
