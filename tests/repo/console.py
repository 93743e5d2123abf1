"""Reads the pages: their blocks of commands, what each shows, and the files that a reader saves.

A block of `console` is run by tests, or a note before it says what it needs: `*(needs a cluster)*`
and the like, which a reader sees; `On a cluster:` is one as well. With `*(needs a cluster; tests
run it on a simulated one)*` it is run too. The file that a block shows is named before it: `PATH`:
"""

import re
import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"\*\((?:needs|real) [\w ,/-]+\)\*|\bOn (?:a|the) cluster\b[^\n]*:$")
_SIMULATED = re.compile(r"\*\(needs [^)*]+; tests run it on a simulated one\)\*")
_SAVED = re.compile(r"`([\w.-]+(?:/[\w.-]+)*)`:$")
_COMMAND = re.compile(r"^\$ (.*)$")


class Where(Enum):
    """Where the commands of a block can be run."""

    HERE = "anywhere"
    SIMULATED = "on the simulated cluster"
    ELSEWHERE = "not in a test"


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it is shown, and what stands below it."""

    line: int
    text: str
    """Without the prompt; continued lines are one."""
    shown: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """As a shell splits it, without its comment."""
        return shlex.split(self.text, comments=True)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    """Without the indentation of the fence."""
    before: str
    """The paragraph that introduces it, as one line."""

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def where(self) -> Where:
        if _SIMULATED.search(self.before):
            return Where.SIMULATED
        return Where.ELSEWHERE if _NEEDS.search(self.before) else Where.HERE

    @property
    def saved(self) -> str:
        """The path under which a reader saves it; empty if she does not."""
        found = _SAVED.search(self.before)
        return found[1] if found else ""

    def commands(self) -> list[Command]:
        """Return them in order; lines before the first command are nobody's."""
        made: list[Command] = []
        lines = self.text.splitlines()
        at = 0
        while at < len(lines):
            began = at
            found = _COMMAND.match(lines[at])
            text = found[1] if found else ""
            while found and text.endswith("\\"):
                at += 1
                text = f"{text[:-1].rstrip()} {lines[at].strip()}"
            if found:
                made.append(Command(self.line + 1 + began, text, ()))
            elif made:
                last = made[-1]
                made[-1] = Command(last.line, last.text, (*last.shown, lines[at]))
            at += 1
        return made


def blocks(page: Path) -> list[Block]:
    """Return every fenced block of a page."""
    text = page.read_text("utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start()) + 1,
            language=found[2],
            text="".join(
                line.removeprefix(found[1]) for line in found[3].splitlines(keepends=True)
            ),
            before=_paragraph(text[: found.start()]),
        )
        for found in _FENCE.finditer(text)
    ]


def _paragraph(text: str) -> str:
    """The last paragraph, if nothing but an empty line comes after it."""
    said = text.rstrip().rpartition("\n\n")[2]
    return "" if said.endswith("```") else " ".join(said.split())


def beside(block: Block) -> list[str]:
    """Files that the page says lie beside a recipe: the names behind `- Beside it:`."""
    after = block.page.read_text("utf-8").partition(block.text)[2].partition("\n#")[0]
    said = after.partition("- Beside it:")[2].partition("\n- ")[0]
    return re.findall(r"`([^`]+)`", said)


# --- what is shown, and what came -----------------------------------------------------------------

_VARIES: tuple[tuple[str, str], ...] = (
    (r"sha256:[0-9a-f]{64}\b", "sha256:*"),
    (r"sha256:[0-9a-f]{12}\b", "sha256:+"),
    (r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{12}\b", "+"),
    (r"\b[0-9A-F]{16}\b", "KEY"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?", "TIME"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"\b\d\d:\d\d UTC", "TIME UTC"),
    (r"\bu-[0-9a-f]{8}\b", "u-*"),
    (r"\bb-[0-9a-f]{8,10}(-[0-9a-f]{4})?\b", "b-*"),
    (r"\bcli:\w+", "cli:*"),
    (r"\b\d+(\.\d+)? s\b", "N s"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\bregistry\.example\.com\b", "HOST"),
    (r"[ ─-]{2,}", "  "),
)
"""Differs from run to run, or from machine to machine."""


def _plain(text: str) -> str:
    for pattern, put in _VARIES:
        text = re.sub(pattern, put, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def agrees(shown: tuple[str, ...], came: str) -> bool:
    """Whether output is as a page shows it.

    A line `…` is any number of lines, `…` in a line is anything; digests, ids, times, durations,
    addresses and column widths may differ.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else _line(line)
        for line in _plain("\n".join(shown)).splitlines()
    )
    return re.fullmatch(pattern, _plain(came) + "\n") is not None


def _line(line: str) -> str:
    return re.escape(line).replace("…", ".*?") + r"\n"
