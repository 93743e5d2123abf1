"""Comments that tell lint to be quiet: ``# relayer:ignore RL003 why``, several codes by commas.

On the line of a complaint, on the line before it, or before its instruction. Such a comment that
is wrong, does nothing or gives no reason is complained about itself, and that cannot be ignored.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from watcher.core.containerfile import Instruction, Scanned
from watcher.core.lint.model import shown

_COMMENT = re.compile(r"(?:^|\s)#\s*relayer:ignore\b[ \t:]*([^\r\n]*)")
_CODES = re.compile(r"([A-Za-z]+[0-9]+(?:\s*,\s*[A-Za-z]+[0-9]+)*)[ \t:,-]*(.*)")
_MOST = 1000
"""Comments of this kind in one text."""


@dataclass(slots=True, kw_only=True)
class Ignore:
    line: int
    """Of the comment."""
    covers: frozenset[int]
    """Lines: its own, and the next one that is no comment."""
    codes: tuple[str, ...]
    """Upper case."""
    reason: str
    used: set[str] = field(default_factory=set)


def ignores_of(scanned: Scanned) -> list[Ignore]:
    """The comments of a Containerfile that ask for something to be ignored, in order."""
    lines = scanned.text.split("\n")
    owners = _owners(scanned.instructions)
    found: list[Ignore] = []
    for number, text in enumerate(lines, start=1):
        if "relayer:ignore" not in text or len(found) == _MOST:
            continue
        alone = text.lstrip().startswith("#")
        said = _COMMENT.search(text)
        if said and _is_comment(owners.get(number), number, alone=alone):
            found.append(_ignore(number, said.group(1).strip(), lines, alone=alone))
    return found


def _owners(instructions: Iterable[Instruction]) -> dict[int, Instruction]:
    return {number: step for step in instructions for number in range(step.line, step.end_line + 1)}


def _is_comment(owner: Instruction | None, number: int, *, alone: bool) -> bool:
    """Whether `#` begins a comment there: elsewhere it is an argument, or content of a file."""
    if owner is None or owner.name == "RUN":
        return True
    if not alone:
        return False
    inside = sum(heredoc.text.count("\n") + 1 for heredoc in owner.heredocs)
    return number <= owner.end_line - inside


def _ignore(number: int, said: str, lines: list[str], *, alone: bool) -> Ignore:
    covered = {number}
    if alone:
        after = number
        while after < len(lines) and lines[after].lstrip().startswith("#"):
            after += 1
        covered.add(after + 1)
    found = _CODES.fullmatch(said)
    codes = re.split(r"\s*,\s*", found.group(1).upper()) if found else []
    return Ignore(
        line=number,
        covers=frozenset(covered),
        codes=tuple(codes),
        reason=found.group(2).strip() if found else "",
    )


def wrong(ignores: Iterable[Ignore], known: Collection[str]) -> Iterator[tuple[str, int, str]]:
    """Code, line and sentence of what is wrong with the comments, once all else is known."""
    for one in ignores:
        if not one.codes:
            yield "RL091", one.line, "this ignores no rule: name its code, as in RL003"
        for code in one.codes:
            if code not in known:
                yield "RL091", one.line, f"there is no rule {shown(code, limit=20)} to be ignored"
            elif code not in one.used:
                yield "RL092", one.line, f"nothing here is to be ignored by {code}: remove it"
        if one.codes and not one.reason:
            yield "RL093", one.line, "this does not say why: write the reason behind the code"
