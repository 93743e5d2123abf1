"""What is wrong with the shape of a valid YAML file: each mistake a sentence with its line."""

import difflib
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from watcher.config.fields import keys
from watcher.config.models import File
from watcher.config.text import Node, Problem

SECRET_KEYS = ("password", "token", "secret", "passwd", "auth")
Path = tuple[str | int, ...]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` with what comes close, else what there is, or nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; there is: {', '.join(names[:12])}" if names else ""


def of_shape(error: ValidationError, root: Node, file: str) -> list[Problem]:
    """Return pydantic's findings in our words."""
    return [_shape_problem(found, root, file) for found in error.errors(include_url=False)]


def _shape_problem(found: Any, root: Node, file: str) -> Problem:
    path: Path = tuple(found["loc"])
    where = dotted(path)
    match found["type"]:
        case "extra_forbidden":
            message = _unknown_key(path)
        case "missing":
            message = f"{where}: is required"
        case "value_error":
            message = f"{where}: {found['ctx']['error']}"
        case "model_type" | "dict_type":
            message = f"{where or 'the file'}: expected keys with values below it"
        case "list_type":
            message = f"{where}: expected a list (`- …` below it, or [])"
        case "too_short":
            message = f"{where}: needs at least one item (`- …` below it)"
        case "literal_error":
            message = f"{where}: expected {found['ctx']['expected']}"
        case "string_pattern_mismatch":
            message = f"{where}: is no name that can be used here ({found['ctx']['pattern']})"
        case _:
            message = f"{where}: {str(found['msg']).removeprefix('Input ')}"
    return Problem(file, root.line_of(path), message[:400])


def _unknown_key(path: Path) -> str:
    key, model = str(path[-1]), _model_at(path[:-1])
    if path[-2:] == ("approval", "auto"):
        return f"{dotted(path)}: who says yes is policy.mode; use policy.mode: auto"
    known = keys(model)
    if key.lower().endswith(SECRET_KEYS):
        files = _sources(key.lower(), model)
        return f"{dotted(path)}: secrets are never written here" + (
            f"; use {' or '.join(files)}" if files else ""
        )
    return f"unknown key `{dotted(path)}`{nearest(key.removesuffix('_seconds'), known)}"


def _sources(key: str, model: type[BaseModel]) -> list[str]:
    """Return the keys that say where a secret is, those that fit a misplaced one if any do."""
    known = [k for k in model.model_fields if k.endswith(("_file", "_env")) and k != "ca_file"]
    return [k for k in known if key in k] or known


def _model_at(path: Path) -> type[BaseModel]:
    """Return the model that the keys below `path` belong to."""
    model: type[BaseModel] = File
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(one) for one in typing.get_args(annotation))
    return next((model for model in inner if model), None)


def dotted(path: Path) -> str:
    """`("pools", 0, "policy")` → `pools[0].policy`, bounded and without control characters."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = "".join(c for c in part if c.isprintable())[:60]
            text += f".{shown}" if text else shown
    return text
