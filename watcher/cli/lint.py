"""`relayer lint`: finds the recipe, reads it as a build would, prints what lint says."""

import asyncio
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from watcher.cli import output
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, say
from watcher.clients.recipes import heads, load_recipe
from watcher.core.facts import Repository
from watcher.core.lint import RULES, Complaint, PoolContext, Severity
from watcher.core.lint import lint as look
from watcher.core.recipe import Recipe
from watcher.errors import Refused
from watcher.settings import RecipeSettings

_NOWHERE = Repository("localhost/not-pushed")
_DEFAULT_NAMES = ("Containerfile", "Dockerfile")
"""As clients.recipes looks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    recipe: str
    strict: bool = False
    sarif: bool = False
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a recipe is."""

    directory: Path
    name: str
    containerfile: str = ""
    """Below the directory; empty: one of the usual names."""
    settings: RecipeSettings | None = None


async def lint(asked: Asked, config: Path | None, form: Format) -> Code:
    """Print the complaints about a recipe; raise Refused if it cannot be read."""
    if asked.sarif and form is not Format.TABLE:
        raise Usage("--format sarif and -o json are two forms of output: choose one")
    if asked.release and not re.fullmatch(r"[0-9]+\.[0-9]+(\.[0-9]+([-+].*)?)?", asked.release):
        raise Usage(f"--release {output.clean(asked.release)}: not a version, as 4.18.9 or 4.18")
    place = await asyncio.to_thread(_place, asked.recipe, config)
    complaints, recipe, file = await asyncio.to_thread(_looked_at, place, asked.release)
    if asked.sarif:
        from watcher.core.lint.sarif import sarif

        output.as_json(sarif(complaints, version=metadata.version("relayer")))
    elif form.is_data:
        output.data(_as_json(complaints, recipe=recipe, file=file), form)
    else:
        _print(complaints, name=recipe.name)
    bad = {Severity.ERROR, *([Severity.WARNING] if asked.strict else [])}
    return Code.FAILED if any(one.severity in bad for one in complaints) else Code.OK


# --- the recipe ----------------------------------------------------------------------------------


def _place(recipe: str, config: Path | None) -> _Place:
    """A name of the configuration if it is one, else a path. A path needs no configuration."""
    path = Path(recipe)
    if "/" not in recipe and recipe not in (".", ".."):
        from watcher.cli import running

        settings = running.settings_from(config)
        found = next((one for one in settings.recipes if one.name == recipe), None)
        if found is not None:
            return _Place(
                directory=found.path,
                name=found.name,
                containerfile=found.containerfile,
                settings=found,
            )
    if path.is_dir():
        return _Place(directory=path, name=path.resolve().name or "/")
    if path.is_file():
        name = path.resolve().parent.name or "/"
        return _Place(directory=path.parent, name=name, containerfile=path.name)
    said = output.clean(recipe)
    raise Refused(
        f"there is no recipe {said} in the configuration, and no directory or file {said}"
    )


def _looked_at(place: _Place, release: str) -> tuple[tuple[Complaint, ...], Recipe, str]:
    settings = place.settings
    recipe = load_recipe(
        place.directory,
        name=place.name,
        target=settings.target if settings else _NOWHERE,
        containerfile=place.containerfile or None,
        build_args=settings.build_args if settings else {},
    )
    file = _shown_path(place)
    complaints = look(
        recipe,
        context=PoolContext(release=release),
        contents=heads(place.directory),
        file=file,
    )
    return complaints, recipe, file


def _shown_path(place: _Place) -> str:
    """The Containerfile, relative to the working directory if it is below it."""
    names = (place.containerfile,) if place.containerfile else _DEFAULT_NAMES
    files = [place.directory / name for name in names]
    file = next((one for one in files if one.is_file()), files[0])
    try:
        return file.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return file.relative_to(place.directory).as_posix()


# --- output --------------------------------------------------------------------------------------


def _as_json(complaints: tuple[Complaint, ...], *, recipe: Recipe, file: str) -> object:
    return {
        "recipe": recipe.name,
        "file": file,
        "digest": recipe.digest,
        "counts": {one.value: _count(complaints, one) for one in Severity},
        "complaints": [
            {
                "code": one.code,
                "rule": RULES[one.code].name,
                "severity": one.severity.value,
                "file": one.file,
                "line": one.line,
                "sentence": one.sentence,
                "why": RULES[one.code].why,
                "source": RULES[one.code].source or None,
            }
            for one in complaints
        ],
    }


def _count(complaints: tuple[Complaint, ...], severity: Severity) -> int:
    return sum(one.severity is severity for one in complaints)


def _print(complaints: tuple[Complaint, ...], *, name: str) -> None:
    if not complaints:
        say(f"recipe {name}: nothing to complain about")
        return
    output.table(
        ("WHERE", "SEVERITY", "CODE", "WHAT"),
        ((f"{c.file}:{c.line}", c.severity.value, c.code, c.sentence) for c in complaints),
    )
    counts = ((_count(complaints, severity), severity.value) for severity in Severity)
    say()
    said = ", ".join(f"{n} {what}{'s' if n != 1 else ''}" for n, what in counts if n)
    say(f"recipe {name}: {said}; docs/lint.md explains the codes")
