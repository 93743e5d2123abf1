r"""Reads a Containerfile into instructions that know where they stand in the text.

Own scanner, because the known libraries take a `FROM` inside a heredoc for an instruction. It reads
as buildah (openshift/imagebuilder) and BuildKit do; where these two would read a text differently
the text is refused with its line, since the image would depend on who builds it:

- a line that ends with two escapes (`\\`) goes on for buildah only;
- `# escape=` after another directive is seen by BuildKit only;
- heredoc marks beside an open quote, or beside rare variable forms, are dropped without a word.

Heredocs are unknown to buildah before 1.33: see :attr:`Scanned.heredoc_lines`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from watcher.core import words
from watcher.core.facts import Malformed

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+)", re.DOTALL)
_DIRECTIVES = frozenset({"escape", "syntax", "check"})
_NAME = re.compile(r"[^\t\v\f\r ]+")
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)", re.DOTALL)
_LIKE_HEREDOC = re.compile(r"(?:^|\s)[0-9]*<<-?[^<\s]")
# BuildKit's lexer gives up on other forms, and with it on the heredocs of the line.
_RARE_VARIABLE = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*(?::?[-+][^}{$]*)?\})")
_MAY_HAVE_HEREDOC = frozenset({"RUN", "COPY", "ADD"})


class Ambiguous(Malformed):
    """The text can be read in more than one way; the message names the lines."""


class NoBase(Malformed):
    """There is no base image to replace: no FROM, or FROM scratch."""


@dataclass(frozen=True, slots=True)
class Heredoc:
    name: str
    text: str
    """The body as written, line ends and leading tabs kept."""
    expands: bool
    """False when the mark was quoted: variables in the body are text."""
    strips_tabs: bool
    """True for `<<-`: leading tabs are no part of the content."""


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    """Lower case, without the dashes."""
    value: str | None
    """Unquoted; None where the flag has no `=`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    name: str
    """Upper case, whatever the text has."""
    flags: tuple[Flag, ...]
    args: str
    """What follows the flags, lines joined, comments dropped, trimmed."""
    line: int
    """Where it begins, counted from 1."""
    end_line: int
    """The last line of it, heredocs included."""
    heredocs: tuple[Heredoc, ...]
    args_at: tuple[int, ...]
    """For each character of `args` its offset in the text."""

    def flag(self, name: str) -> str | None:
        """The value of `--name=…`; None without it."""
        return next((flag.value for flag in self.flags if flag.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    text: str
    escape: str
    """The escape character: a backslash, or a backtick by directive."""
    instructions: tuple[Instruction, ...]

    @property
    def heredoc_lines(self) -> tuple[int, ...]:
        """Lines of instructions with a heredoc. Not empty: buildah before 1.33 reads the bodies
        as instructions and must not be given this text."""
        return tuple(step.line for step in self.instructions if step.heredocs)


def decode(data: bytes) -> str:
    """The text of a Containerfile's bytes, line ends and byte order mark kept; raise Malformed
    naming the line and byte that is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise Malformed(
            f"line {line}, byte {column}: 0x{data[error.start]:02x} is not UTF-8; "
            "save the Containerfile as UTF-8"
        ) from None


def scan(text: str) -> Scanned:
    """Read the whole text; raise Malformed (or Ambiguous) naming the line."""
    if "\0" in text:
        raise Malformed(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL character")
    reader = _Reader(text)
    instructions = tuple(reader.instructions())
    return Scanned(text=text, escape=reader.escape, instructions=instructions)


def json_list(args: str) -> list[str] | None:
    """`["a", "b"]` as a list; None where `args` is not in this form."""
    if not args.startswith("["):
        return None
    try:
        value = json.loads(args)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return value


class _Reader:
    """Walks the lines once. `at` is the index of the next line."""

    def __init__(self, text: str) -> None:
        self.lines: list[tuple[int, str]] = [
            (found.start(), found.group()) for found in _LINE.finditer(text)
        ]
        if text.startswith("\ufeff"):
            self.lines[0] = (1, self.lines[0][1][1:])
        self.at = 0
        self.escape = "\\"
        self._read_directives()
        self._goes_on = re.compile(rf"{re.escape(self.escape)}[ \t]*\Z")
        self._doubled = re.compile(rf"{re.escape(self.escape) * 2}[ \t]*\Z")

    def _read_directives(self) -> None:
        seen: set[str] = set()
        for number, (_, line) in enumerate(self.lines, start=1):
            found = _DIRECTIVE.fullmatch(line.strip(words.SPACES))
            name = found.group(1).lower() if found else ""
            if not found or name not in _DIRECTIVES:
                return
            if name in seen:
                raise Malformed(f"line {number}: directive {name} is given twice")
            if name == "escape":
                self._set_escape(found.group(2), line=number, is_first=not seen)
            seen.add(name)

    def _set_escape(self, value: str, *, line: int, is_first: bool) -> None:
        if value not in ("\\", "`"):
            raise Malformed(f"line {line}: escape must be \\ or `, not {value[:20]!r}")
        if value != "\\" and not is_first:
            raise Ambiguous(
                f"line {line}: buildah sees # escape= only on line 1; move it to the top"
            )
        self.escape = value

    def instructions(self) -> Iterator[Instruction]:
        while self.at < len(self.lines):
            line = self.at + 1
            joined, places = self._joined()
            if joined.strip(words.SPACES):
                yield self._instruction(joined, places, line=line)

    def _joined(self) -> tuple[str, list[int]]:
        """The next line with those it goes on in, and each character's offset in the text."""
        joined: list[str] = []
        places: list[int] = []
        is_first = True
        while self.at < len(self.lines):
            start, line = self.lines[self.at]
            self.at += 1
            line = line.rstrip("\r\n")
            content = line.lstrip(words.SPACES)
            if not content or content.startswith("#"):
                # A comment or an empty line does not end the lines that go on.
                if is_first:
                    break
                continue
            if is_first:
                start += len(line) - len(content)
                line = content
            rest = self._goes_on.sub("", line)
            if self._doubled.search(line):
                raise Ambiguous(
                    f"line {self.at}: ends with two escape characters, which buildah and BuildKit "
                    "read differently; write it another way"
                )
            joined.append(rest)
            places.extend(range(start, start + len(rest)))
            if rest == line:
                break
            is_first = False
        return "".join(joined), places

    def _instruction(self, joined: str, places: list[int], *, line: int) -> Instruction:
        name = _NAME.match(joined, len(joined) - len(joined.lstrip(words.SPACES)))
        if name is None:
            raise Malformed(f"line {line}: not an instruction: {joined[:60]!r}")
        keyword = name.group().upper()
        try:
            flags, begin = self._flags(joined, name.end())
        except words.Unbalanced as error:
            raise Malformed(f"line {line}: {error}") from None
        end = max(begin, len(joined.rstrip(words.SPACES)))
        args = joined[begin:end]
        heredocs = tuple(self._heredocs(keyword, joined, args, line=line))
        return Instruction(
            name=keyword,
            flags=flags,
            args=args,
            line=line,
            end_line=self.at,
            heredocs=heredocs,
            args_at=tuple(places[begin:end]),
        )

    def _flags(self, joined: str, at: int) -> tuple[tuple[Flag, ...], int]:
        """The `--name=value` words from `at` on, and where the arguments begin."""
        flags: list[Flag] = []
        while True:
            while at < len(joined) and joined[at] in words.SPACES:
                at += 1
            if not joined.startswith("--", at):
                return tuple(flags), at
            word = words.word_at(joined, at)
            at = word.end()
            if word.group() == "--":
                return tuple(flags), at
            name, equals, value = word.group()[2:].partition("=")
            flags.append(Flag(name.lower(), _unquoted(value) if equals else None))

    def _heredocs(self, keyword: str, joined: str, args: str, *, line: int) -> Iterator[Heredoc]:
        if keyword == "ONBUILD":
            keyword, _, args = args.partition(" ")
            keyword, args = keyword.upper(), args.lstrip(words.SPACES)
        if keyword not in _MAY_HAVE_HEREDOC or "<<" not in joined or json_list(args) is not None:
            return
        try:
            marks = [_HEREDOC.fullmatch(word) for word in words.words(joined)]
        except words.Unbalanced:
            if _LIKE_HEREDOC.search(joined):
                raise Ambiguous(
                    f"line {line}: a heredoc beside a quote that is not closed"
                ) from None
            return
        if any(marks) and _RARE_VARIABLE.search(joined):
            raise Ambiguous(f"line {line}: a heredoc beside a rare form of variable")
        for mark in filter(None, marks):
            yield self._heredoc(mark, line=line)

    def _heredoc(self, mark: re.Match[str], *, line: int) -> Heredoc:
        name = _unquoted(mark.group(2))
        if not name or "$" in name:
            raise Ambiguous(f"line {line}: a heredoc with the name {mark.group(2)[:40]!r}")
        strips_tabs = mark.group(1) == "-"
        body: list[str] = []
        while self.at < len(self.lines):
            text = self.lines[self.at][1]
            self.at += 1
            ending = text.rstrip("\r\n")
            if (ending.lstrip("\t") if strips_tabs else ending) == name:
                expands = not any(quote in mark.group(2) for quote in "'\"")
                return Heredoc(name, "".join(body), expands, strips_tabs)
            body.append(text)
        raise Malformed(f"line {line}: heredoc {name[:40]!r} has no end")


def _unquoted(word: str) -> str:
    """`word` without quotes and escapes, its variables kept as they are written."""
    return re.sub(
        r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""",
        lambda found: found.group(1) or found.group(2) or found.group(3) or "",
        word,
        flags=re.DOTALL,
    )
