"""Puts it together: scan, ask every rule, leave out what is ignored."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from watcher.core.containerfile import Scanned, scan
from watcher.core.facts import Malformed
from watcher.core.lint.ignoring import Ignore, ignores_of, wrong
from watcher.core.lint.model import Complaint, Found, PoolContext, Severity, shown
from watcher.core.lint.rules import RULES
from watcher.core.lint.subject import subject
from watcher.core.recipe import Recipe

MOST_COMPLAINTS = 500
"""Of one rule; who has that many does not read them."""
MOST_SENTENCES = 20
_ABOUT_LINT = frozenset({"RL090", "RL091", "RL092", "RL093"})


def lint(
    recipe: Recipe,
    *,
    context: PoolContext | None = None,
    contents: Callable[[str], bytes | None] | Mapping[str, bytes] | None = None,
    file: str = "Containerfile",
) -> tuple[Complaint, ...]:
    """Everything that is to be said about a recipe, by line.

    `context`: what is known of the pool it is for. `contents`: the head of a file of the recipe by
    its path, for secrets; without it these are known by their names only. Never raises: a text
    that cannot be read is a complaint.
    """
    try:
        scanned = scan(recipe.containerfile)
    except Malformed as error:
        return (_unreadable(str(error), file),)
    heads = contents.get if isinstance(contents, Mapping) else contents
    of = subject(
        recipe,
        scanned,
        context=context or PoolContext(),
        contents=heads or (lambda _: None),
    )
    complaints: list[Complaint] = []
    for rule in RULES.values():
        if rule.check is not None:
            for number, found in enumerate(rule.check(of)):
                if number == MOST_COMPLAINTS:
                    of.unseen.append((found.line, f"only {MOST_COMPLAINTS} of {rule.code}"))
                    break
                complaints.append(_complaint(rule.code, found, file))
    for line, what in dict.fromkeys(of.unseen):
        said = Found(line=line, start=line, sentence=f"{what} are looked at; what follows is not")
        complaints.append(_complaint("RL090", said, file))
    return tuple(_sorted(_without_ignored(complaints, scanned, file)))


def _complaint(code: str, found: Found, file: str) -> Complaint:
    return Complaint(
        code=code,
        severity=found.severity or RULES[code].severities[0],
        file=file,
        line=found.line,
        sentence=found.sentence,
        start=found.start,
    )


def _unreadable(error: str, file: str) -> Complaint:
    at = re.match(r"lines? ([0-9]+)[^:]*: ", error)
    line = int(at.group(1)) if at else 1
    said = shown(error[at.end() :] if at else error, limit=300)
    return _complaint("RL005", Found(line=line, start=line, sentence=f"not readable: {said}"), file)


def _without_ignored(
    complaints: Iterable[Complaint], scanned: Scanned, file: str
) -> Iterator[Complaint]:
    ignores = ignores_of(scanned)
    for complaint in complaints:
        if not _is_ignored(complaint, ignores):
            yield complaint
    for code, line, sentence in wrong(ignores, RULES.keys() - _ABOUT_LINT):
        yield _complaint(code, Found(line=line, start=line, sentence=sentence), file)


def _is_ignored(complaint: Complaint, ignores: Iterable[Ignore]) -> bool:
    if complaint.code in _ABOUT_LINT:
        return False
    by = [
        one
        for one in ignores
        if complaint.code in one.codes and one.covers & {complaint.line, complaint.start}
    ]
    for one in by:
        one.used.add(complaint.code)
    return bool(by)


def _sorted(complaints: Iterable[Complaint]) -> list[Complaint]:
    return sorted(complaints, key=lambda one: (one.line, one.code, one.sentence))


def sentences(complaints: Iterable[Complaint]) -> tuple[str, ...]:
    """What a plan or an approval says of a recipe: errors first, then warnings, one line each.

    What is only for information is left out, and of many the last are only counted.
    """
    order = (Severity.ERROR, Severity.WARNING)
    told = [c for c in complaints if c.severity in order]
    told.sort(key=lambda one: (order.index(one.severity), one.line, one.code))
    said = [
        f"{one.severity} {one.code}, {shown(one.file)} line {one.line}: {one.sentence}"
        for one in told[:MOST_SENTENCES]
    ]
    more = len(told) - MOST_SENTENCES
    return (*said, f"and {more} more; `relayer lint` says all") if more > 0 else tuple(said)
