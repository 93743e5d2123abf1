"""A recipe as the rules look at it: steps with the variables that hold there, files with targets.

What is read is bounded; `Subject.unseen` says what was not looked at.
"""

import posixpath
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property

from watcher.core import rebase, words
from watcher.core.containerfile import Instruction, Scanned, json_list
from watcher.core.facts import Malformed
from watcher.core.lint import shell
from watcher.core.lint.model import PoolContext
from watcher.core.recipe import EntryKind, Recipe, RecipeEntry

Contents = Callable[[str], bytes | None]
"""The head of a file of the recipe, by its path; None where it cannot be read."""
MOST_STEPS = 2000
"""Instructions that are looked at; long real Containerfiles have under 200."""
MOST_PLACED = 40_000
"""Files that COPY and ADD place, counted again for each; a recipe has at most 20,000."""
MOST_PATTERNS = 200
"""Sources of COPY and ADD with a wildcard: each is compared with every file."""
MOST_STAGES = 200
_MOST_VALUES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One instruction of a stage."""

    instruction: Instruction
    stage: int
    in_image: bool
    """False for a stage that merely builds something."""
    values: Mapping[str, str]
    """Of ARG and ENV before it."""
    workdir: str

    @property
    def name(self) -> str:
        return self.instruction.name

    @property
    def line(self) -> int:
        return self.instruction.line

    def words(self) -> list[str]:
        """The words of the arguments, quotes removed, known variables replaced."""
        listed = json_list(self.instruction.args)
        found = listed if listed is not None else _split(self.instruction.args)
        return [shell.unquoted(word, self.values) if listed is None else word for word in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A FROM and what stands below it. As `rebase.Stage`, but for texts that it refuses too."""

    index: int
    start: Instruction
    image: str
    """Expanded; what is unknown stays as it is written."""
    name: str
    steps: tuple[Instruction, ...]
    in_image: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A file that COPY or ADD puts into the image."""

    step: Step
    target: str
    """Absolute, normalised."""
    entry: RecipeEntry | None = None
    """None: of another stage or image, an address, or a heredoc."""
    source: str = ""
    """As written, where there is no entry."""
    text: str | None = None
    """Of a heredoc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A RUN of the image or of another stage, with its commands."""

    step: Step
    commands: tuple[shell.Command, ...]

    def mounts(self) -> Iterator[Mapping[str, str]]:
        """The keys of each `--mount`."""
        for flag in self.step.instruction.flags:
            if flag.name == "mount" and flag.value:
                pairs = (part.partition("=") for part in flag.value.split(","))
                yield {key.strip(): value for key, _, value in pairs}


@dataclass(frozen=True, kw_only=True)
class Subject:
    recipe: Recipe
    scanned: Scanned
    parts: tuple[Part, ...]
    stages: rebase.Stages | None
    """None: the base cannot be replaced; `refusal` says why."""
    refusal: Malformed | None
    context: PoolContext
    contents: Contents
    unseen: list[tuple[int, str]] = field(default_factory=list)
    """Line and what was not looked at from there on."""

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        found: list[Step] = []
        for step in _walk(self.parts, self.recipe, _heading(self)):
            if len(found) == MOST_STEPS:
                self.unseen.append((step.line, f"only {MOST_STEPS} instructions"))
                break
            found.append(step)
        return tuple(found)

    def named(self, *names: str, everywhere: bool = False) -> Iterator[Step]:
        """Instructions of these names in the image; with `everywhere` in all stages."""
        return (s for s in self.steps if s.name in names and (everywhere or s.in_image))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        lines = shell.Lines(self.scanned.text)
        found: list[Run] = []
        for step in self.named("RUN", everywhere=True):
            commands, whole = shell.commands(step.instruction, lines=lines, values=step.values)
            if not whole:
                self.unseen.append((step.line, f"only {shell.MOST_COMMANDS} commands of a RUN"))
            found.append(Run(step=step, commands=commands))
        return tuple(found)

    @property
    def image_runs(self) -> Iterator[Run]:
        return (run for run in self.runs if run.step.in_image)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """What the COPYs and ADDs of the image put where."""
        found: list[Placed] = []
        tree = _Tree(self.recipe.entries)
        for step in self.named("COPY", "ADD"):
            for one in _placed(step, tree):
                if len(found) == MOST_PLACED:
                    self.unseen.append((step.line, f"only {MOST_PLACED} copied files"))
                    return tuple(found)
                found.append(one)
            if tree.patterns > MOST_PATTERNS:
                self.unseen.append((step.line, f"only {MOST_PATTERNS} wildcards of COPY and ADD"))
                return tuple(found)
        return tuple(found)


def subject(
    recipe: Recipe, scanned: Scanned, *, context: PoolContext, contents: Contents
) -> Subject:
    """Cut the scanned text into what the rules look at."""
    stages, refusal = None, None
    try:
        _refuse_many_stages(scanned)
        stages = rebase.read_stages(scanned, build_args=recipe.build_args)
    except Malformed as error:
        refusal = error
    bare = Subject(
        recipe=recipe,
        scanned=scanned,
        parts=(),
        stages=stages,
        refusal=refusal,
        context=context,
        contents=contents,
    )
    return replace(bare, parts=tuple(_parts(scanned, stages, _heading(bare))))


def _refuse_many_stages(scanned: Scanned) -> None:
    # Following a chain of stages takes time by the square of their number.
    starts = [step.line for step in scanned.instructions if step.name == "FROM"]
    if len(starts) > MOST_STAGES:
        raise Malformed(f"line {starts[MOST_STAGES]}: more than {MOST_STAGES} stages")


def _heading(of: Subject) -> Mapping[str, str]:
    return of.stages.arguments if of.stages else {}


def _parts(
    scanned: Scanned, stages: rebase.Stages | None, values: Mapping[str, str]
) -> Iterator[Part]:
    starts = [n for n, step in enumerate(scanned.instructions) if step.name == "FROM"]
    if len(starts) > MOST_STAGES:
        return  # refused already
    chain = {stage.index for stage in stages.chain} if stages else {len(starts) - 1}
    for index, begin in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else len(scanned.instructions)
        start = scanned.instructions[begin]
        parts = start.args.split()
        yield Part(
            index=index,
            start=start,
            image=shell.unquoted(parts[0], values) if parts else "",
            name=parts[2].lower() if len(parts) > 2 else "",
            steps=scanned.instructions[begin + 1 : end],
            in_image=index in chain,
        )


def _walk(parts: tuple[Part, ...], recipe: Recipe, heading: Mapping[str, str]) -> Iterator[Step]:
    """Every instruction with what holds before it; a stage begins as the one below it ended."""
    ends: dict[str, tuple[dict[str, str], str]] = {}
    for part in parts:
        values, workdir = ends.get(part.image.lower(), ({}, "/"))
        for instruction in part.steps:
            step = Step(
                instruction=instruction,
                stage=part.index,
                in_image=part.in_image,
                values=values,
                workdir=workdir,
            )
            yield step
            if instruction.name in ("ARG", "ENV"):
                values = {**values, **dict(_set_by(step, recipe, heading))}
                if len(values) > _MOST_VALUES:
                    values = {}
            elif instruction.name == "WORKDIR":
                workdir = absolute(shell.unquoted(instruction.args, values), workdir)
        if part.name:
            ends[part.name] = values, workdir


def _set_by(step: Step, recipe: Recipe, heading: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in assignments(step):
        if step.name == "ARG":
            known = recipe.build_args.get(name, heading.get(name) if value is None else value)
        else:
            known = value
        if known is not None:
            yield name, known


def assignments(step: Step) -> list[tuple[str, str | None]]:
    """Names and values of an ARG, ENV or LABEL; `ENV name value` counts as one."""
    try:
        raw = list(words.words(step.instruction.args))
    except words.Unbalanced:
        return []
    if step.name != "ARG" and raw and "=" not in raw[0]:
        rest = step.instruction.args.strip()[len(raw[0]) :].strip()
        return [(shell.unquoted(raw[0], step.values), shell.unquoted(rest, step.values))]
    found: list[tuple[str, str | None]] = []
    for word in raw:
        name, equals, value = word.partition("=")
        said = shell.unquoted(value, step.values) if equals else None
        found.append((shell.unquoted(name, step.values), said))
    return found


def absolute(path: str, workdir: str) -> str:
    """`path` as seen from `workdir`, normalised, with one slash in front."""
    return "/" + posixpath.normpath(posixpath.join(workdir, path)).lstrip("/")


def _split(args: str) -> list[str]:
    try:
        return list(words.words(args))
    except words.Unbalanced:
        return args.split()


# --- COPY and ADD --------------------------------------------------------------------------------


class _Tree:
    """The entries of a recipe by path."""

    def __init__(self, entries: tuple[RecipeEntry, ...]) -> None:
        self._entries = sorted(entries, key=lambda entry: entry.path)
        self._paths = [entry.path for entry in self._entries]
        self.patterns = 0

    def at(self, path: str) -> RecipeEntry | None:
        found = bisect_left(self._paths, path)
        return self._entries[found] if self._paths[found : found + 1] == [path] else None

    def below(self, path: str) -> Iterator[RecipeEntry]:
        """Files and links in a directory, at any depth; of the whole recipe for an empty path."""
        prefix = f"{path}/" if path else ""
        for at in range(bisect_left(self._paths, prefix), len(self._entries)):
            entry = self._entries[at]
            if not entry.path.startswith(prefix):
                return
            if entry.kind is not EntryKind.DIRECTORY:
                yield entry

    def matching(self, pattern: str) -> Iterator[RecipeEntry]:
        """As the builders match: a wildcard does not pass a slash."""
        self.patterns += 1
        if self.patterns > MOST_PATTERNS:
            return
        parts = pattern.split("/")
        for entry in self._entries:
            own = entry.path.split("/")
            if len(own) == len(parts) and all(map(fnmatchcase, own, parts)):
                yield entry


def _placed(step: Step, tree: _Tree) -> Iterator[Placed]:
    said = [word for word in step.words() if not _is_mark(word)]
    if not said:
        return
    *sources, last = said
    target = absolute(last, step.workdir)
    several = len(sources) + len(step.instruction.heredocs) > 1
    into = several or last.endswith(("/", "/.")) or last in (".", "..")
    for heredoc in step.instruction.heredocs:
        place = absolute(heredoc.name, target) if into else target
        yield Placed(step=step, target=place, source=heredoc.name, text=heredoc.text)
    for source in sources:
        if step.instruction.flag("from") is not None or "://" in source or "$" in source:
            name = source.rstrip("/").rpartition("/")[2].partition("?")[0]
            place = absolute(name, target) if into and name not in ("", ".") else target
            yield Placed(step=step, target=place, source=source)
        else:
            yield from _from_recipe(step, source, target, tree, into=into)


def _is_mark(word: str) -> bool:
    return word.lstrip("0123456789").startswith("<<")


def _from_recipe(
    step: Step, source: str, target: str, tree: _Tree, *, into: bool
) -> Iterator[Placed]:
    path = absolute(source, "/").lstrip("/")
    keeps_path = any(flag.name == "parents" for flag in step.instruction.flags)
    if path and any(char in path for char in "*?["):
        matched = list(tree.matching(path))
        into = into or len(matched) > 1
    else:
        only = tree.at(path) if path else None
        if only is None:
            # The whole recipe, or a directory that is ignored and holds what is not.
            root = absolute(path, target) if keeps_path else target
            for entry in tree.below(path):
                place = absolute(entry.path[len(path) :].lstrip("/"), root)
                yield Placed(step=step, target=place, entry=entry)
        matched = [only] if only else []
    for top in matched:
        root = target
        if keeps_path:
            root = absolute(top.path, target)
        elif top.kind is not EntryKind.DIRECTORY and into:
            root = absolute(top.path.rpartition("/")[2], target)
        if top.kind is not EntryKind.DIRECTORY:
            yield Placed(step=step, target=root, entry=top)
            continue
        for entry in tree.below(top.path):
            place = absolute(entry.path[len(top.path) + 1 :], root)
            yield Placed(step=step, target=place, entry=entry)
