"""What a recipe asks for when it only copies files and sets labels and variables.

Such a recipe needs no container: :func:`append_only` says whether it is one, and :func:`plan` gives
its instructions with everything decided, so that the builder parses nothing itself.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from watcher.core import words
from watcher.core.containerfile import Flag, Heredoc, Instruction, Scanned, json_list
from watcher.core.facts import Malformed
from watcher.core.patterns import is_pattern
from watcher.core.rebase import Stages, argument_words, read_stages

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|.*\.git(?:#|$)", re.IGNORECASE)
_MODE = re.compile(r"[0-7]{1,4}")
_OWNER = re.compile(r"([0-9]{1,9})(?::([0-9]{1,9}))?")
_BLANK = re.compile(r"[\t\v\f\r ]+")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a recipe is not append-only."""

    line: int
    because: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.because}"


@dataclass(frozen=True, slots=True)
class SetLabels:
    line: int
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SetEnv:
    line: int
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A path in the recipe directory, relative to it; empty for the directory itself."""

    path: str
    is_glob: bool
    """True: `path` is a pattern, see :func:`watcher.core.patterns.glob`."""


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A heredoc: a file with this name and content, mode 0644."""

    name: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFiles:
    line: int
    sources: tuple[Source | InlineFile, ...]
    destination: str
    """As written: a slash at the end makes it a directory; relative to the base's WorkingDir."""
    mode: int | None
    """From --chmod; None keeps the source's."""
    owner: tuple[int, int]
    """uid and gid; 0:0 unless --chown says otherwise."""
    unpacks: bool
    """True for ADD: local tar archives among the sources are unpacked."""


Step = SetLabels | SetEnv | CopyFiles


def append_only(scanned: Scanned) -> list[Reason]:
    """Why `scanned` needs a builder that runs containers; empty if it does not.

    Only the stages down to the base are looked at: nothing else reaches the image.
    Raise as :func:`watcher.core.rebase.read_stages`, and Malformed for an ADD without paths.
    """
    chain = read_stages(scanned).chain
    return [
        Reason(step.line, because)
        for stage in chain
        for step in (stage.start, *stage.body)
        for because in _reasons(step, escape=scanned.escape)
    ]


def _reasons(step: Instruction, *, escape: str) -> Iterator[str]:
    if step.name == "FROM":
        if step.flag("platform") not in (None, "$TARGETPLATFORM", "${TARGETPLATFORM}"):
            yield "FROM --platform needs the buildah builder"
    elif step.name in ("COPY", "ADD"):
        for flag in step.flags:
            yield from _flag_reasons(step.name, flag)
        if any(map(_is_unclear, step.heredocs)):
            yield f"{step.name} of a heredoc with quotes or escapes needs the buildah builder"
        if step.name == "ADD" and any(_REMOTE.match(word) for word in _paths(step)[:-1]):
            yield "ADD from a URL or from git needs the buildah builder"
    elif step.name not in ("ARG", "LABEL", "ENV"):
        yield f"{step.name[:30]} needs the buildah builder"


def _flag_reasons(name: str, flag: Flag) -> Iterator[str]:
    value = flag.value or ""
    match flag.name:
        case "chmod" if _MODE.fullmatch(value):
            return
        case "chown" if _OWNER.fullmatch(value):
            return
        case "chmod":
            yield f"{name} --chmod with anything but octal digits needs the buildah builder"
        case "chown":
            yield f"{name} --chown with anything but numbers needs the buildah builder"
        case "from":
            yield f"{name} --from={value[:40]} needs the buildah builder"
        case other:
            yield f"{name} --{other[:20]} needs the buildah builder"


def _is_unclear(heredoc: Heredoc) -> bool:
    """Builders disagree about quotes beside variables, and about escapes, in a body that is not
    quoted as a whole."""
    body = heredoc.text
    return heredoc.expands and ("\\" in body or ("$" in body and ("'" in body or '"' in body)))


def plan(
    scanned: Scanned,
    *,
    build_args: Mapping[str, str] | None = None,
    base_env: Mapping[str, str] | None = None,
) -> tuple[Step, ...]:
    """The steps on top of the base, variables replaced and quotes removed.

    `build_args`: the recipe's, those of `Rebased.build_args`, and TARGETARCH and its like;
    each counts only where an ARG declares it.
    `base_env`: the base image's environment; ENV goes before ARG, also there.
    Raise Malformed naming the line. To be asked only when :func:`append_only` is empty.
    """
    given = build_args or {}
    stages = read_stages(scanned, build_args=given)
    planner = _Planner(stages, given, dict(base_env or {}), scanned.escape)
    steps: list[Step] = []
    for stage in stages.chain:
        for step in stage.body:
            try:
                steps.extend(planner.read(step))
            except Malformed as error:
                text = str(error)
                raise Malformed(
                    text if text.startswith("line ") else f"line {step.line}: {text}"
                ) from None
    return tuple(steps)


class _Planner:
    """Carries the variables from one instruction to the next."""

    def __init__(
        self, stages: Stages, given: Mapping[str, str], env: dict[str, str], escape: str
    ) -> None:
        self._heading, self._given, self._env, self._escape = stages.arguments, given, env, escape
        self._args: dict[str, str] = {}

    def read(self, step: Instruction) -> Iterator[Step]:
        match step.name:
            case "ARG":
                self._declare(step)
            case "LABEL":
                yield SetLabels(step.line, tuple(self._pairs(step)))
            case "ENV":
                # All values are read with the variables as they were before this instruction.
                pairs = tuple(self._pairs(step))
                self._env.update(pairs)
                yield SetEnv(step.line, pairs)
            case "COPY" | "ADD":
                yield self._copy(step)
            case other:
                raise Malformed(f"{other[:30]} needs the buildah builder")

    def _declare(self, step: Instruction) -> None:
        for name, default in argument_words(step, escape=self._escape):
            value = self._given.get(name)
            if value is None:
                value = self._expand(default) if default is not None else self._heading.get(name)
            if value is not None:
                self._args[name] = value

    def _expand(self, word: str) -> str:
        return words.expand(word, self._args | self._env, escape=self._escape)

    def _pairs(self, step: Instruction) -> Iterator[tuple[str, str]]:
        written = list(words.words(step.args, escape=self._escape))
        if not written:
            raise Malformed(f"{step.name} without anything")
        if "=" not in written[0]:
            # The old form: one name, and the rest of the line is its value.
            name, *rest = _BLANK.split(step.args, maxsplit=1)
            if not rest:
                raise Malformed(f"{step.name} {name[:40]} without a value")
            yield self._expand(name), self._expand(rest[0])
            return
        for word in written:
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise Malformed(f"{step.name} takes name=value, not {word[:40]!r}")
            yield self._expand(name), self._expand(value)

    def _copy(self, step: Instruction) -> CopyFiles:
        *sources, destination = [self._expand(path) for path in _paths(step)]
        if not destination:
            raise Malformed(f"{step.name} has an empty destination")
        heredocs = {f"<<{'-' if doc.strips_tabs else ''}{doc.name}": doc for doc in step.heredocs}
        read: list[Source | InlineFile] = []
        for source in sources:
            heredoc = heredocs.get(source)
            read.append(self._inline(heredoc) if heredoc else _source(source))
        if len(read) > 1 and not destination.endswith("/"):
            raise Malformed(f"{step.name} of several sources needs a destination that ends with /")
        mode, owner = step.flag("chmod"), step.flag("chown")
        return CopyFiles(
            line=step.line,
            sources=tuple(read),
            destination=destination,
            mode=int(mode, 8) if mode else None,
            owner=_owner(owner) if owner else (0, 0),
            unpacks=step.name == "ADD",
        )

    def _inline(self, heredoc: Heredoc) -> InlineFile:
        content = heredoc.text
        if heredoc.strips_tabs:
            content = re.sub(r"^\t+", "", content, flags=re.MULTILINE)
        if heredoc.expands:
            content = self._expand(content) if "$" in content else content
        return InlineFile(heredoc.name, content)


def _paths(step: Instruction) -> list[str]:
    """Sources and destination as written; raise Malformed with fewer than two."""
    listed = json_list(step.args)
    # No quotes here: in this form builders split at every space.
    paths = listed if listed is not None else _BLANK.split(step.args)
    if len(paths) < 2:
        raise Malformed(f"line {step.line}: {step.name} takes a source and a destination")
    return paths


def _source(path: str) -> Source:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Malformed(f"{path[:80]!r} leaves the recipe directory")
    clean = "/".join(parts)
    return Source(clean, is_pattern(clean))


def _owner(text: str) -> tuple[int, int]:
    found = _OWNER.fullmatch(text)
    if not found:
        raise Malformed(f"--chown takes numbers here, not {text[:40]!r}")
    # A uid alone is the gid as well: Containerfile reference, COPY --chown.
    return int(found.group(1)), int(found.group(2) or found.group(1))
