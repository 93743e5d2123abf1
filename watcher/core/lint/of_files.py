"""Rules about the files that get into the image, by COPY, ADD and the obvious commands of RUN."""

import re
from collections.abc import Iterator
from itertools import groupby

from watcher.core.lint.model import Found, Severity, shown
from watcher.core.lint.places import ROOM, Place, covers, place_of
from watcher.core.lint.secrets import secret_kind
from watcher.core.lint.shell import Command
from watcher.core.lint.subject import Placed, Run, Step, Subject, absolute

LARGE_BYTES = 256 << 20
"""Of what COPY and ADD put into the image: more than that is noticed when all nodes pull it."""
_MOST_NAMED = 5
"""Files that one sentence names."""
_MOST_FILES = 20
"""Complaints of one rule about one instruction."""


def not_kept(of: Subject) -> Iterator[Found]:
    for step, placed in _by_step(of):
        by_place: dict[Place, list[str]] = {}
        for one in placed:
            if (place := place_of(one.target)) is not None:
                by_place.setdefault(place, []).append(one.target)
        for place, targets in by_place.items():
            yield _at_step(step, f"{_names(targets)}: {place.what}", severity=_severity(place))
    for run in of.image_runs:
        for number, command in enumerate(run.commands):
            yield from _not_kept_by(run, command, run.commands[number + 1 :])


def _not_kept_by(run: Run, command: Command, after: tuple[Command, ...]) -> Iterator[Found]:
    for target in dict.fromkeys(written(command, run.step.workdir)):
        place = place_of(target)
        if place is None or (command.name == "mkdir" and target in ROOM):
            continue
        if _is_mounted(run, target) or any(_removes(one, target, place) for one in after):
            continue
        yield Found(
            line=command.line,
            start=run.step.line,
            severity=_severity(place),
            sentence=f"{shown(command.name)} writes to {shown(target)}: {place.what}",
        )


def _severity(place: Place) -> Severity:
    return Severity.WARNING if place.is_var else Severity.INFO


def _is_mounted(run: Run, target: str) -> bool:
    return any(covers(m.get("target", m.get("dst", "")), target) for m in run.mounts())


def _removes(command: Command, target: str, place: Place) -> bool:
    match command.name:
        case "rm" | "rmdir":
            return any(covers(word, target) for word in command.operands)
        case "mv":
            return any(covers(word, target) for word in command.operands[:-1])
        case "ostree":
            return not place.is_var and command.words[1:3] == ("container", "commit")
        case _:
            return False


def written(command: Command, workdir: str = "/") -> Iterator[str]:
    """Where a command obviously writes to; only what is named with its whole path."""
    for path in (*command.writes, *_arguments_written(command)):
        if path.startswith("/") and not path.startswith("/dev/"):
            yield absolute(path, workdir)


def _arguments_written(command: Command) -> Iterator[str]:
    given = command.operands
    match command.name:
        case "mkdir" | "touch" | "tee" | "truncate":
            yield from given
        case "install" | "cp" | "mv" | "ln" | "rsync":
            into = _after(command, "-t", "--target-directory")
            if into or len(given) > 1:
                yield into or given[-1]
        case "tar" | "bsdtar":
            flags = [word for word in command.words[1:2] if "x" in word] or [
                word for word in command.words if word.startswith("-") and "x" in word
            ]
            if flags and (into := _after(command, "-C", "--directory")):
                yield into
        case "unzip":
            yield _after(command, "-d")
        case "curl":
            yield _after(command, "-o", "--output")
        case "wget":
            yield _after(command, "-O", "--output-document", "-P", "--directory-prefix")
        case "git" if "clone" in given and len(given) > 2:
            yield given[-1]


def _after(command: Command, *flags: str) -> str:
    """The value of a flag: the next word, behind `=`, or the last of letters (`-sSLo FILE`)."""
    for word, value in zip(command.words, (*command.words[1:], ""), strict=False):
        name, equals, own = word.partition("=")
        if name in flags:
            return own if equals else value
        letters = re.fullmatch(r"-[a-zA-Z]+([a-zA-Z])", word)
        if letters and f"-{letters[1]}" in flags:
            return value
    return ""


def machineconfig_wins(of: Subject) -> Iterator[Found]:
    files = {_plain(path): by for path, by in of.context.files.items()}
    if not files:
        return
    for step, placed in _by_step(of):
        targets = dict.fromkeys(_plain(one.target) for one in placed)
        yield from _beaten(step, step.line, [t for t in targets if t in files], files)
    for run in of.image_runs:
        for command in run.commands:
            targets = dict.fromkeys(map(_plain, written(command, run.step.workdir)))
            yield from _beaten(run.step, command.line, [t for t in targets if t in files], files)


def _beaten(step: Step, line: int, both: list[str], files: dict[str, str]) -> Iterator[Found]:
    for target in both[:_MOST_FILES]:
        yield Found(
            line=line,
            start=step.line,
            sentence=f"{shown(target)} is also written by MachineConfig {shown(files[target])}, "
            "which wins: nodes never see the one of the image",
        )
    if len(both) > _MOST_FILES:
        more = f"{len(both) - _MOST_FILES} more files are also written by MachineConfigs"
        yield Found(line=line, start=step.line, sentence=f"{more}, which win")


def _plain(path: str) -> str:
    """/usr/etc is where an OS image keeps the /etc that it comes with."""
    return path.removeprefix("/usr") if path.startswith("/usr/etc/") else path


def secret_copied(of: Subject) -> Iterator[Found]:
    heads: dict[str, bytes | None] = {}
    for step, placed in _by_step(of):
        said = 0
        for one in placed:
            kind = _secret(one, of, heads)
            if kind is None:
                continue
            said += 1
            if said > _MOST_FILES:
                yield _at_step(step, f"more than {_MOST_FILES} files with secrets are copied")
                break
            name = one.entry.path if one.entry else one.source
            yield _at_step(
                step,
                f"{shown(name)} is {kind}: whoever can pull the image has it, and a later step "
                "that removes it does not take it out of the layer",
            )


def _secret(one: Placed, of: Subject, heads: dict[str, bytes | None]) -> str | None:
    if one.entry is None:
        head = one.text.encode()[:65536] if one.text is not None else None
        return secret_kind((one.source, one.target), head)
    path = one.entry.path
    if path not in heads:
        heads[path] = of.contents(path) if one.entry.size_bytes else b""
    return secret_kind((path, one.target), heads[path])


def large(of: Subject) -> Iterator[Found]:
    sizes = [(sum(map(_size, placed)), step) for step, placed in _by_step(of)]
    total = sum(size for size, _ in sizes)
    if total > LARGE_BYTES:
        most, step = max(sizes, key=lambda pair: pair[0])
        yield _at_step(
            step,
            f"COPY and ADD put about {total >> 20} MiB into the image, {most >> 20} of them here: "
            "every node of the pool pulls that with each update",
        )


def _size(one: Placed) -> int:
    return one.entry.size_bytes if one.entry else len(one.text or "")


def _by_step(of: Subject) -> Iterator[tuple[Step, list[Placed]]]:
    for _, placed in groupby(of.placed, key=lambda one: one.step.line):
        found = list(placed)
        yield found[0].step, found


def _names(targets: list[str]) -> str:
    named = ", ".join(shown(target) for target in targets[:_MOST_NAMED])
    more = len(targets) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _at_step(step: Step, sentence: str, *, severity: Severity | None = None) -> Found:
    return Found(line=step.line, start=step.line, sentence=sentence, severity=severity)
