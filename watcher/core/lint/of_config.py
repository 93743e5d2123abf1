"""Rules about what an instruction says of the image itself: variables, labels, user, start."""

import re
from collections.abc import Iterator

from watcher.core.lint.model import Found, shown
from watcher.core.lint.secrets import holds_secret, is_secret_variable
from watcher.core.lint.subject import Step, Subject, assignments
from watcher.core.verify import INHERITED

_ROOT = frozenset({"root", "0", "root:root", "0:0", "root:0", "0:root"})
_PASSWORD_FLAG = re.compile(r"--(password|passwd|token|secret)(=.+)?", re.IGNORECASE)


def secret_in_variable(of: Subject) -> Iterator[Found]:
    """The names only: values are never told."""
    heading = [step for step in of.scanned.instructions if step.name == "ARG"]
    first = of.parts[0].start.line if of.parts else 0
    for instruction in heading:
        if instruction.line < first:
            step = Step(instruction=instruction, stage=-1, in_image=True, values={}, workdir="/")
            yield from _secrets_of(of, step)
    for step in of.named("ARG", "ENV", "LABEL", everywhere=True):
        yield from _secrets_of(of, step)
    yield from _in_commands(of)


def _secrets_of(of: Subject, step: Step) -> Iterator[Found]:
    for name, value in assignments(step):
        if step.name == "ARG":
            value = of.recipe.build_args.get(name, value)
        if value is not None and is_secret_variable(name, value):
            yield _at(
                step,
                f"{step.name} {shown(name)} seems to hold a secret: it stays readable in the "
                "image's history and configuration; use RUN --mount=type=secret",
            )


def _in_commands(of: Subject) -> Iterator[Found]:
    for run in of.runs:
        for command in run.commands:
            words = command.words
            has = any(map(holds_secret, words)) or any(
                (found := _PASSWORD_FLAG.fullmatch(word))
                and "$" not in (found[2] or value)
                and not (found[2] or value).startswith("-")
                and (found[2] or value)
                for word, value in zip(words, (*words[1:], ""), strict=False)
            )
            if has:
                yield Found(
                    line=command.line,
                    start=run.step.line,
                    sentence=f"{shown(command.name)} is given what seems to be a secret: it stays "
                    "readable in the image's history; use RUN --mount=type=secret",
                )


def user_not_root(of: Subject) -> Iterator[Found]:
    last = None
    for step in of.named("USER"):
        last = step
    if last is not None:
        user = "".join(last.words()[:1])
        if user not in _ROOT and "$" not in user:
            yield _at(
                last,
                f"USER is left at {shown(user)}: what Relayer or another recipe adds after it "
                "runs without the rights to change an OS",
            )


def start_command(of: Subject) -> Iterator[Found]:
    for step in of.named("ENTRYPOINT", "CMD"):
        yield _at(
            step,
            f"{step.name} does nothing on a node: the image is booted, and systemd starts what "
            "its units say; enable a unit instead",
        )


def inherited_label(of: Subject) -> Iterator[Found]:
    for step in of.named("LABEL"):
        for name, _ in assignments(step):
            if name in INHERITED:
                yield _at(
                    step,
                    f"label {name} is the base's to set ({INHERITED[name]}): Relayer refuses an "
                    "image that has another",
                )


def _at(step: Step, sentence: str) -> Found:
    return Found(line=step.line, start=step.line, sentence=sentence)
