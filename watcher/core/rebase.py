"""Puts another base under a Containerfile and leaves every other byte alone.

Only the image that the final stage stands on is replaced: stages that merely build something keep
theirs. Where that image is a variable the text stays and the build argument is named instead.
Whatever is not certain is refused with its lines: a guess here becomes the OS of a pool.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from watcher.core import words
from watcher.core.containerfile import Ambiguous, Instruction, NoBase, Scanned, scan
from watcher.core.facts import Malformed, Pullspec

_FROM_WORD = re.compile(r"[^\t\v\f\r ]+")
_STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ONE_VARIABLE = re.compile(r"(.*?)\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::?-[^{}$]*)?\})(.*)", re.A)
# The same platform as the build's: what a FROM without --platform means.
_TARGET_PLATFORM = frozenset({None, "$TARGETPLATFORM", "${TARGETPLATFORM}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    index: int
    """From 0, as COPY --from counts."""
    written_name: str
    """Empty without AS."""
    start: Instruction
    image: str
    """The reference after FROM, as written."""
    image_at: int
    """Where `image` begins in `start.args`."""
    body: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """Lower case: for BuildKit stage names know no case."""
        return self.written_name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """A Containerfile cut at its FROMs."""

    heading: tuple[Instruction, ...]
    """The ARGs before the first FROM."""
    all: tuple[Stage, ...]
    chain: tuple[Stage, ...]
    """From the stage that names the base to the final one."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Values of the heading's ARGs that have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebased:
    text: str
    build_args: Mapping[str, str]
    """What must be given to the builder besides; empty when the text names the base."""
    from_line: int
    original: str
    """The reference that the base took the place of, as written."""


def rebase(text: str, base: Pullspec, *, build_args: Mapping[str, str] | None = None) -> Rebased:
    """`text` on `base`. Everything but the image reference stays as it is; doing it twice is the
    same as once.

    `build_args`: those of the recipe; they must not choose the base or a stage.
    Raise Ambiguous, NoBase or Malformed; the message names the lines.
    """
    given = build_args or {}
    stages = read_stages(scan(text), build_args=given)
    root = stages.chain[0]
    line = root.start.line
    if "$" in root.image:
        argument = _argument_for(root, base, stages, given)
        return Rebased(text=text, build_args=argument, from_line=line, original=root.image)
    places = root.start.args_at[root.image_at : root.image_at + len(root.image)]
    begin, end = places[0], places[-1] + 1
    if end - begin != len(root.image):
        raise Ambiguous(f"line {line}: the image after FROM is spread over lines; write it on one")
    return Rebased(
        text=text[:begin] + base + text[end:], build_args={}, from_line=line, original=root.image
    )


def read_stages(scanned: Scanned, *, build_args: Mapping[str, str] | None = None) -> Stages:
    """Cut `scanned` into stages and follow the final one to the base it stands on.

    Raise NoBase without a FROM or on scratch, Ambiguous where the chain is not certain.
    """
    heading: list[Instruction] = []
    starts: list[tuple[Instruction, list[Instruction]]] = []
    for step in scanned.instructions:
        _refuse_on_build_from(step)
        if step.name == "FROM":
            starts.append((step, []))
        elif starts:
            starts[-1][1].append(step)
        elif step.name == "ARG":
            heading.append(step)
        else:
            raise Malformed(f"line {step.line}: {step.name[:30]} comes before the first FROM")
    if not starts:
        raise NoBase("there is no FROM: name the base image with one")
    stages = tuple(_stage(n, start, tuple(body)) for n, (start, body) in enumerate(starts))
    arguments = _heading_values(heading, build_args or {}, escape=scanned.escape)
    chain = _chain(stages, arguments, heading)
    return Stages(heading=tuple(heading), all=stages, chain=chain, arguments=arguments)


def _refuse_on_build_from(step: Instruction) -> None:
    if step.name == "ONBUILD" and step.args.upper().split()[:1] in (["FROM"], ["ONBUILD"]):
        raise Ambiguous(f"line {step.line}: ONBUILD cannot carry {step.args.split()[0][:20]}")


def _stage(index: int, start: Instruction, body: tuple[Instruction, ...]) -> Stage:
    if not (start.args.isascii() and start.args.replace("\t", " ").isprintable()):
        # A no-break space is part of a word for the builders and a gap for the reader.
        raise Malformed(f"line {start.line}: FROM has a character that is not plain ASCII")
    found = list(_FROM_WORD.finditer(start.args))
    parts = [word.group() for word in found]
    if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1].upper() != "AS"):
        raise Malformed(f"line {start.line}: FROM takes an image, or an image AS a name")
    name = parts[2] if len(parts) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        raise Ambiguous(f"line {start.line}: not a plain name for a stage: {name[:60]!r}")
    return Stage(
        index=index,
        written_name=name,
        start=start,
        image=parts[0],
        image_at=found[0].start(),
        body=body,
    )


def _heading_values(
    heading: list[Instruction], given: Mapping[str, str], *, escape: str
) -> dict[str, str]:
    values: dict[str, str] = {}
    for step in heading:
        for name, default in argument_words(step, escape=escape):
            if name in given:
                values[name] = given[name]
            elif default is not None:
                values[name] = _expanded(default, values, step.line, escape=escape)
    return values


def argument_words(step: Instruction, *, escape: str) -> Iterator[tuple[str, str | None]]:
    """Names and defaults (unexpanded; None where there is none) of one ARG."""
    try:
        for word in words.words(step.args, escape=escape):
            name, equals, default = word.partition("=")
            yield name, default if equals else None
    except words.Unbalanced as error:
        raise Malformed(f"line {step.line}: {error}") from None


def _expanded(word: str, values: Mapping[str, str], line: int, *, escape: str = "\\") -> str:
    try:
        return words.expand(word, values, escape=escape)
    except Malformed as error:
        raise Malformed(f"line {line}: {error}") from None


def _chain(
    stages: tuple[Stage, ...], arguments: Mapping[str, str], heading: list[Instruction]
) -> tuple[Stage, ...]:
    """Follow the final stage down to the one that names an image. Each step goes to an earlier
    stage, so it ends."""
    named: dict[str, list[Stage]] = {}
    for stage in stages:
        named.setdefault(stage.name, []).append(stage)
    chain = [stages[-1]]
    while (below := _stage_below(chain[-1], stages, named, arguments)) is not None:
        chain.append(below)
    chain.reverse()
    _refuse_mixed_platforms(chain)
    return tuple(chain)


def _stage_below(
    stage: Stage,
    stages: tuple[Stage, ...],
    named: Mapping[str, Sequence[Stage]],
    arguments: Mapping[str, str],
) -> Stage | None:
    """The earlier stage that this one stands on; None if it names an image."""
    line = stage.start.line
    image = _expanded(stage.image, arguments, line)
    name = image.lower()
    called = named.get(name, ()) if name else ()
    earlier = [s for s in called if s.index < stage.index]
    if len(earlier) > 1:
        lines = " and ".join(str(s.start.line) for s in earlier)
        raise Ambiguous(f"line {line}: FROM {image} could mean the stages of lines {lines}")
    if earlier:
        _refuse_unlike(stage, earlier[0])
        return earlier[0]
    if image.isascii() and image.isdecimal():
        if "$" not in stage.image and int(image[:6]) < stage.index:
            return stages[int(image)]
        raise Ambiguous(f"line {line}: FROM {image[:20]}: there is no earlier stage of that number")
    if name == "scratch":
        raise NoBase(f"line {line}: FROM scratch leaves no base image to replace")
    later = [s for s in called if s.index > stage.index]
    if later:
        raise Ambiguous(
            f"line {line}: FROM {image} names the stage of line {later[0].start.line}, "
            "which comes after it"
        )
    is_bare = "$" not in stage.image and _STAGE_NAME.fullmatch(image)
    if len(stages) > 1 and is_bare and name != stage.name:
        raise Ambiguous(
            f"line {line}: {image} is no earlier stage and no image with its registry; "
            "write the image as host/path"
        )
    return None


def _refuse_unlike(stage: Stage, below: Stage) -> None:
    """Raise Ambiguous unless every builder finds the stage `below` by what `stage` says.

    Seen with buildah 1.28: names are compared with their case (BuildKit: without), and a stage
    that is named by a variable is not found at all, so that an image of its name is pulled.
    """
    line, said = stage.start.line, stage.image.strip("\"'")
    if "$" in said:
        raise Ambiguous(f"line {line}: FROM {said} chooses a stage by variable; write its name")
    if said != below.written_name:
        raise Ambiguous(
            f"lines {below.start.line} and {line}: builders differ about {below.written_name} and "
            f"{said}; write the stage's name the same way"
        )


def _refuse_mixed_platforms(chain: list[Stage]) -> None:
    seen = {stage.start.line: stage.start.flag("platform") for stage in chain}
    kinds = {None if value in _TARGET_PLATFORM else value for value in seen.values()}
    if len(kinds) > 1:
        lines = " and ".join(str(line) for line in seen)
        raise Ambiguous(f"lines {lines}: the stages down to the base differ in --platform")
    if any("BUILDPLATFORM" in kind for kind in kinds if kind):
        raise Ambiguous(
            f"line {next(iter(seen))}: the base would be that of the building machine's platform"
        )


def _argument_for(
    root: Stage, base: Pullspec, stages: Stages, given: Mapping[str, str]
) -> dict[str, str]:
    """The build argument that makes `FROM …${variable}…` name `base`; raise Ambiguous."""
    line = root.start.line
    found = _ONE_VARIABLE.fullmatch(_without_quotes(root.image))
    if not found or "$" in found.group(1) + found.group(4):
        raise Ambiguous(
            f"line {line}: {root.image} is made of more than one plain variable; "
            "write FROM ${BASE_IMAGE}"
        )
    name, before, after = found.group(2) or found.group(3), found.group(1), found.group(4)
    _refuse_unsettable(name, root, stages)
    value = base[len(before) : len(base) - len(after)]
    if before + value + after != base or not value:
        raise Ambiguous(
            f"line {line}: no value of {name} makes {root.image} name {base}; "
            "write FROM ${BASE_IMAGE}"
        )
    # The same value again is no contradiction: a result can be derived a second time.
    if given.get(name, value) != value:
        raise Ambiguous(
            f"line {line}: {name} chooses the base, and the recipe's build arguments set it too; "
            "remove it there"
        )
    return {name: value}


def _without_quotes(image: str) -> str:
    quoted = len(image) > 1 and image[0] == image[-1] == '"' and '"' not in image[1:-1]
    return image[1:-1] if quoted else image


def _refuse_unsettable(name: str, root: Stage, stages: Stages) -> None:
    """Raise Ambiguous if setting `name` would do nothing, or more than choose the base."""
    line = root.start.line
    declared = [
        (step.line, argument, default)
        for step in stages.heading
        for argument, default in argument_words(step, escape="\\")
    ]
    own = [at for at, argument, _ in declared if argument == name]
    if not own:
        raise Ambiguous(f"line {line}: FROM uses {name}, but no ARG {name} stands before it")
    if len(own) > 1:
        raise Ambiguous(f"lines {' and '.join(map(str, own))}: ARG {name} is declared twice")
    moved = {name}
    for _, argument, default in declared:
        if moved & set(words.variables(default or "")):
            moved.add(argument)
    for other in stages.all:
        if other is not root and moved & set(words.variables(other.image)):
            raise Ambiguous(
                f"lines {line} and {other.start.line}: both FROMs depend on {name}; "
                "give each its own ARG"
            )
