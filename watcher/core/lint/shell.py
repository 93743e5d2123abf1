"""The commands of a RUN, well enough to recognise common ones.

No shell: what is made at run time (loops, functions, variables of the script) stays unknown, and
a rule then says nothing. Every command knows its line.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from watcher.core.containerfile import Instruction, json_list

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r\f\v]|\\\r?\n)+)
      | (?P<comment>\#[^\n]*)
      | (?P<redirect>[0-9]*(?:&>>?|>>|>\||>&|<<<|<<-?|<>|<&|<|>))
      | (?P<end>\n|&&|\|\||\|&|;;|[;&|()])
      | (?P<word>(?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"\\;&|()<>])+)
      | (?P<rest>.)""",
    re.VERBOSE | re.DOTALL,
)
_PIECE = re.compile(
    r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|\$\{?([A-Za-z_]\w*)\}?|([^'"\\$]+|.)""", re.DOTALL
)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?|\\([\"\\$`])")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_BEFORE = frozenset(
    {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "sudo", "exec"}
    | {"command", "env", "nice"}
)
SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_LONGEST_WORD = 8192
"""Characters of a word with its variables replaced; a longer one is left as it is written."""
MOST_COMMANDS = 2000
"""Of one RUN; the rest of a longer one is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    words: tuple[str, ...]
    """Without quotes; assignments and words such as `sudo` before it are dropped; never empty."""
    line: int
    writes: tuple[str, ...] = ()
    """Files that its output goes to."""
    pipes: bool = False
    """Its output goes into the next command."""
    into: str = ""
    """Name of the command that it is an argument of: `sh <(…)`, `eval $(…)`."""

    @property
    def name(self) -> str:
        return self.words[0].rpartition("/")[2]

    @property
    def operands(self) -> tuple[str, ...]:
        """The words that are no flags; a flag's value counts as one of them."""
        return tuple(word for word in self.words[1:] if not word.startswith("-"))


class Lines:
    """Which line an offset of a text is on."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def at(self, offset: int) -> int:
        return bisect_right(self._ends, offset - 1) + 1


def commands(
    step: Instruction, *, lines: Lines, values: Mapping[str, str]
) -> tuple[tuple[Command, ...], bool]:
    """The commands of a RUN in their order, and whether these are all.

    `values` are those of ARG and ENV.
    """
    found: list[Command] = []
    for command in _commands(step, lines, values):
        if len(found) == MOST_COMMANDS:
            return tuple(found), False
        found.append(command)
    return tuple(found), True


def _commands(step: Instruction, lines: Lines, values: Mapping[str, str]) -> Iterator[Command]:
    listed = json_list(step.args)
    if listed is not None:
        yield from _of_words(tuple(listed), step.line, values)
        return
    at = step.args_at
    yield from _script(step.args, lambda offset: lines.at(at[offset]), values)
    if not step.heredocs or not _is_script(step):
        return
    for begin, body in _bodies(step):
        yield from _script(body, _counted(Lines(body), begin), values)


def _bodies(step: Instruction) -> list[tuple[int, str]]:
    """The heredocs with the lines on which they begin, found from the end of the instruction."""
    found: list[tuple[int, str]] = []
    end = step.end_line
    for heredoc in reversed(step.heredocs):
        begin = end - heredoc.text.count("\n")
        found.insert(0, (begin, heredoc.text))
        end = begin - 1
    return found


def _counted(lines: Lines, begin: int) -> Callable[[int], int]:
    return lambda offset: begin + lines.at(offset) - 1


def _is_script(step: Instruction) -> bool:
    """True if the shell reads the heredocs, and no other program."""
    words = [w for w in step.args.split() if "<<" not in w and w != "-"]
    shebang = step.heredocs[0].text[:80].partition("\n")[0]
    if shebang.startswith("#!"):
        return any(shell in re.split(r"[/\s]+", shebang) for shell in SHELLS)
    return not words or words[0].rpartition("/")[2] in SHELLS


def _script(
    text: str, line_of: Callable[[int], int], values: Mapping[str, str]
) -> Iterator[Command]:
    reader = _Reader(text, line_of, values)
    for command in reader.read():
        yield from _of_command(command, values)


def _of_command(command: Command, values: Mapping[str, str]) -> Iterator[Command]:
    yield command
    inner = _inner_script(command)
    if inner is not None:
        yield from _script(inner, lambda _: command.line, values)


def _of_words(words: tuple[str, ...], line: int, values: Mapping[str, str]) -> Iterator[Command]:
    if words and words[0]:
        yield from _of_command(Command(words=words, line=line), values)


def _inner_script(command: Command) -> str | None:
    """What `sh -c` is given."""
    if command.name not in SHELLS:
        return None
    for flag, script in zip(command.words[1:], command.words[2:], strict=False):
        if re.fullmatch(r"-[a-z]*c", flag):
            return script
    return None


class _Reader:
    """Walks the tokens of a script once."""

    def __init__(self, text: str, line_of: Callable[[int], int], values: Mapping[str, str]) -> None:
        self._text, self._line_of, self._values = text, line_of, values
        self._words: list[str] = []
        self._writes: list[str] = []
        self._line = 0
        self._redirect = ""
        self._heredocs: list[str] = []
        self._into = ""

    def read(self) -> Iterator[Command]:
        at = 0
        while at < len(self._text) and (token := _TOKEN.match(self._text, at)):
            at = token.end()
            match token.lastgroup:
                case "word" | "rest":
                    self._word(token)
                case "redirect":
                    self._redirect = token.group().lstrip("0123456789")
                case "end":
                    into = self._taker() if token.group() == "(" else ""
                    yield from self._finished(pipes=token.group() in ("|", "|&"))
                    self._into = into
                    if token.group() == "\n":
                        at = self._after_heredocs(at)
        yield from self._finished(pipes=False)

    def _word(self, token: re.Match[str]) -> None:
        redirect, self._redirect = self._redirect, ""
        if redirect in ("<<", "<<-"):
            self._heredocs.append(unquoted(token.group(), {}))
        elif redirect.startswith((">", "&>")):
            if redirect != ">&" and (place := unquoted(token.group(), self._values)):
                self._writes.append(place)
        elif not redirect:
            if not self._words:
                if token.group() in _BEFORE or _ASSIGNMENT.match(token.group()):
                    return
                self._line = self._line_of(token.start())
            self._words.append(unquoted(token.group(), self._values))

    def _finished(self, *, pipes: bool) -> Iterator[Command]:
        if self._words and self._words[0]:
            yield Command(
                words=tuple(self._words),
                line=self._line,
                writes=tuple(self._writes),
                pipes=pipes,
                into=self._into,
            )
        self._words, self._writes, self._redirect = [], [], ""

    def _taker(self) -> str:
        """The command that the one in these brackets is an argument of."""
        takes = self._redirect == "<" or (self._words and self._words[-1].endswith("$"))
        return self._words[0].rpartition("/")[2] if takes and self._words else ""

    def _after_heredocs(self, at: int) -> int:
        """Where the script goes on behind the bodies of heredocs."""
        for mark in self._heredocs:
            found = re.compile(rf"^\t*{re.escape(mark)}$", re.MULTILINE).search(self._text, at)
            at = found.end() if found else len(self._text)
        self._heredocs = []
        return at


def unquoted(word: str, values: Mapping[str, str]) -> str:
    """A word without its quotes, with the variables that are known."""
    out: list[str] = []
    length = 0
    for piece in _PIECE.finditer(word):
        single, double, escaped, variable, plain = piece.groups()
        if variable is not None:
            text = values.get(variable, piece.group())
        elif double is not None:
            text = _VARIABLE.sub(lambda f: f[2] or values.get(f[1], f[0]), double)
        else:
            text = single or escaped or plain or ""
        length += len(text)
        if length > _LONGEST_WORD:
            return word
        out.append(text)
    return "".join(out)
