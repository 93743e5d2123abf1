"""What is wrong with a file that is valid YAML: each mistake a sentence with its line.

Names that refer to each other are checked on the raw values, so that a wrong type elsewhere does
not hide a misspelt recipe until the next try.
"""

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

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
        case "literal_error":
            message = f"{where}: expected {found['ctx']['expected']}"
        case "string_pattern_mismatch":
            message = f"{where}: is no name that can be used here ({found['ctx']['pattern']})"
        case _:
            message = f"{where}: {str(found['msg']).removeprefix('Input ')}"
    return Problem(file, root.line_of(path), message[:400])


def _unknown_key(path: Path) -> str:
    key, model = str(path[-1]), _model_at(path[:-1])
    if key.lower() in SECRET_KEYS:
        kinds = ("password_file", "auth_file", "token_file", "token_env")
        files = [name for name in model.model_fields if name in kinds]
        return f"{dotted(path)}: secrets are never written here" + (
            f"; use {' or '.join(files)}" if files else ""
        )
    return (
        f"unknown key `{dotted(path)}`{nearest(key.removesuffix('_seconds'), model.model_fields)}"
    )


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


def of_names(root: Node, file: str) -> list[Problem]:
    """Return names that are given twice, and names that nothing has."""
    problems: list[Problem] = []
    lists: tuple[Path, ...] = (("clusters",), ("recipes",), ("web", "tokens"))
    for listed in lists:
        problems += _twice(root, file, listed, ("name",))
    problems += _twice(root, file, ("pools",), ("cluster", "pool"))
    for key, section in (("cluster", "clusters"), ("recipe", "recipes")):
        known = {names[0] for names, _ in _named(root, (section,), ("name",))}
        for (name,), path in _named(root, ("pools",), (key,)):
            if name not in known:
                message = f"{dotted(path)}: no {key} is named `{name[:60]}`{nearest(name, known)}"
                problems.append(Problem(file, root.line_of((*path, key)), message))
    return problems + _unknown_tokens(root, file)


def _unknown_tokens(root: Node, file: str) -> list[Problem]:
    """Approvers `token:x` where no token is named x: their approval could never come."""
    problems = []
    known = {f"token:{names[0]}" for names, _ in _named(root, ("web", "tokens"), ("name",))}
    pools = root.get("pools")
    amount = len(pools.items()) if pools else 0
    policies: list[Path] = [("defaults", "policy")]
    policies += [("pools", number, "policy") for number in range(amount)]
    for policy in policies:
        path = (*policy, "approval", "approvers")
        listed = root.get(*path)
        for number, one in enumerate(listed.items() if listed else ()):
            name = one.value
            if isinstance(name, str) and name.startswith("token:") and name not in known:
                message = f"{dotted(path)}: web.tokens has no `{name[6:66]}`{nearest(name, known)}"
                problems.append(Problem(file, root.line_of((*path, number)), message))
    return problems


def _twice(root: Node, file: str, at: Path, keys: tuple[str, ...]) -> list[Problem]:
    first: dict[tuple[str, ...], int] = {}
    problems = []
    for names, path in _named(root, at, keys):
        line = root.line_of((*path, keys[-1]))
        if names in first:
            message = (
                f"{dotted(path)}: `{'/'.join(names)[:130]}` is there already, line {first[names]}"
            )
            problems.append(Problem(file, line, message))
        else:
            first[names] = line
    return problems


def _named(root: Node, at: Path, keys: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Path]]:
    """Yield the values of `keys` of each item of the list at `at`, where they are text."""
    listed = root.get(*at)
    for number, item in enumerate(listed.items() if listed else ()):
        values: Mapping[str, Node] = item.value if isinstance(item.value, dict) else {}
        found = [values[key].value for key in keys if key in values]
        names = tuple(name for name in found if isinstance(name, str))
        if len(names) == len(keys):
            yield names, (*at, number)
