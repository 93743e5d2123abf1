"""The work of `relayer manifests`: values put together, objects printed or written."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from watcher.cli import output
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, say
from watcher.errors import Refused
from watcher.manifests import BadValues, Object, Values, as_files, as_text, from_file, render
from watcher.manifests.text import HEAD


async def manifests(
    chosen: Mapping[str, Any], file: Path | None, to: Path | None, form: Format
) -> Code:
    """Print or write the objects; raise Usage for values that cannot be."""
    return await asyncio.to_thread(_manifests, chosen, file, to, form)


def _manifests(chosen: Mapping[str, Any], file: Path | None, to: Path | None, form: Format) -> Code:
    try:
        values = Values(**_together(chosen, file))
        objects = render(values)
    except BadValues as error:
        raise Usage(str(error)) from error
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    if to is not None:
        _write(to, as_files(objects))
        if form is not Format.JSON:
            _say_next(objects, to, values)
            return Code.OK
    if form is Format.JSON:
        output.as_json(listed)
    else:
        # Not cleaned: a recipe's bytes must stay, and YAML has escaped what a terminal acts upon.
        sys.stdout.write(as_text(objects))
    return Code.OK


def _together(chosen: Mapping[str, Any], file: Path | None) -> dict[str, Any]:
    """What the file says, and what options say over it."""
    said = from_file(file) if file else {}
    for name, value in chosen.items():
        if value and name not in ("recipes", "env"):
            said[name] = tuple(value) if isinstance(value, list) else value
    recipes = _pairs("--recipe", "NAME=DIRECTORY", chosen["recipes"])
    said["recipes"] = said.get("recipes", {}) | {n: Path(one) for n, one in recipes.items()}
    said["env"] = said.get("env", {}) | _pairs("--env", "NAME=VALUE", chosen["env"])
    return {"image": "", **said}


def _pairs(option: str, form: str, words: Sequence[str] | None) -> dict[str, str]:
    found = dict(word.partition("=")[::2] for word in words or ())
    for name, value in found.items():
        if not name or not value:
            raise BadValues(f"{option} {output.clean(name)}: write {form}")
    return found


def _write(directory: Path, files: Mapping[str, str]) -> None:
    """Replace what we wrote before; raise Refused where something else lies there.

    A file of an earlier rendering that stayed would be applied with the others.
    """
    directory.mkdir(parents=True, exist_ok=True)
    there = sorted(directory.iterdir())
    for path in there:
        if not path.is_file() or not path.read_bytes().startswith(HEAD.encode()):
            raise Refused(
                f"{output.clean(str(path))} is not of `relayer manifests`: name an empty directory,"
                " or one that it wrote"
            )
    for path in there:
        path.unlink()
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")


def _say_next(objects: Sequence[Object], directory: Path, values: Values) -> None:
    """What a person does now."""
    say(f"{len(objects)} objects in {directory}; next:")
    say(f"  oc apply -k {directory}")
    for one in objects:
        keys = one["metadata"].get("annotations", {}).get("relayer.io/keys", "")
        if one["kind"] == "Secret" and keys:
            name = one["metadata"]["name"]
            say(f"  oc -n {values.namespace} set data secret/{name} …  # keys: {keys}")
