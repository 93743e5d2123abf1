"""Label and field selectors, from query strings and from objects.

A selector is compiled once into a predicate; a list or a watch then calls it for every object.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from simulator.apiserver import status

Labels = Mapping[str, str]
LabelTest = Callable[[Labels], bool]
FieldTest = Callable[[str, str], bool]
"""Of namespace and name: the only fields that every kind can be selected by."""

_SET = re.compile(r"\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*")
_COMMA = re.compile(r",(?![^(]*\))")


def labels(text: str) -> LabelTest | None:
    """Compile ``a=b,c!=d,e in (f,g),h,!i``; None selects everything. Raise ApiError 400."""
    tests = [_label(part) for part in _COMMA.split(text) if part.strip()]
    return (lambda have: all(test(have) for test in tests)) if tests else None


def _label(part: str) -> LabelTest:
    if found := _SET.fullmatch(part):
        key, operator, raw = found.groups()
        values = {value.strip() for value in raw.split(",")}
        if operator == "in":
            return lambda have: have.get(key) in values
        return lambda have: have.get(key) not in values
    for sign, equal in (("!=", False), ("==", True), ("=", True)):
        if sign in part:
            key, _, value = (piece.strip() for piece in part.partition(sign))
            return _equals(key, value, equal=equal)
    key = part.strip()
    if not key or " " in key:
        raise status.bad_request(f"unable to parse requirement: {part[:80]!r}")
    if key.startswith("!"):
        return lambda have: key[1:] not in have
    return lambda have: key in have


def _equals(key: str, value: str, *, equal: bool) -> LabelTest:
    return lambda have: (have.get(key) == value) is equal


def fields(text: str) -> FieldTest | None:
    """Compile ``metadata.name=…`` and ``metadata.namespace=…``; raise ApiError 400 on others."""
    tests = [_field(part.strip()) for part in text.split(",") if part.strip()]
    return (lambda ns, name: all(test(ns, name) for test in tests)) if tests else None


def _field(part: str) -> FieldTest:
    field, sign, value = part.partition("!=")
    equal = not sign
    if equal:
        field, sign, value = part.partition("=")
    value = value.removeprefix("=")
    if field == "metadata.name" and sign:
        return lambda _, name: (name == value) is equal
    if field == "metadata.namespace" and sign:
        return lambda ns, _: (ns == value) is equal
    raise status.bad_request(f"field label not supported: {field[:80]}")


def of_object(selector: Mapping[str, Any] | None) -> LabelTest:
    """Compile a ``matchLabels``/``matchExpressions`` selector. None selects nothing, {} all."""
    if selector is None:
        return lambda _: False
    tests: list[LabelTest] = [
        _equals(key, value, equal=True)
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    tests += [_expression(one) for one in selector.get("matchExpressions") or ()]
    return lambda have: all(test(have) for test in tests)


def _expression(one: Mapping[str, Any]) -> LabelTest:
    key, values = one["key"], set(one.get("values") or ())
    match one["operator"]:
        case "In":
            return lambda have: have.get(key) in values
        case "NotIn":
            return lambda have: have.get(key) not in values
        case "Exists":
            return lambda have: key in have
        case "DoesNotExist":
            return lambda have: key not in have
        case other:
            raise status.bad_request(f"{str(other)[:40]!r} is not a valid label selector operator")
