"""Takes secrets out of text that leaves this machine: those known here, and what looks like one."""

import base64
import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from watcher.settings import Settings

HIDDEN = "<removed>"
MOST_SECRET = 1 << 20
SHORTEST = 4
"""A shorter secret is not looked for: it would be found everywhere."""
_PATTERNS = (
    re.compile(r"(?i)\b(?:authorization:?\s*)?(?:bearer|basic)\s+[\w.~+/=-]{6,}"),
    re.compile(r"\bxox[a-z][-.][\w.-]{6,}|\bxapp-[\w-]{6,}"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"),  # a JSON web token
    re.compile(r"\bsha256~[\w-]{20,}"),  # an OAuth token of OpenShift
    re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    re.compile(r"(?i)https://hooks\.slack\.com/[\w/.-]+"),
    re.compile(r"\bgh[a-z]_\w{20,}|\bglpat-[\w-]{16,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"""(?i)\b(authorization\\?["']?\s*[:=]\s*\\?["']?)[a-z]+\s+[^\s"'\\]+"""),
    re.compile(
        r"""(?ix)(?<![\w-])([\w-]{0,60}(?:password|passwd|passphrase|secret|token|api[-_]?key|auth|credentials?)
        \\?["']?[ ]*[:=][ ]*)
        (?:"(?:[^"\\\n]|\\.)+" | \\"[^"\\\n]+\\" | '[^'\n]+' |
        (?!null\b|\[|\{)\\?["']?[^\s"',}{\[\]\\]{3,}\\?["']?)"""
    ),
)
_URL = re.compile(
    r"(?<![a-z0-9+.-])(?P<scheme>[a-z][a-z0-9+.-]{1,20}://)(?:[^/\s\"'@]{0,2000}@)?(?P<rest>[^\s\"'<>]*)",
    re.I,
)
_HARMLESS = frozenset(
    {
        *("server", "name", "namespace", "cluster", "user", "context", "current-context"),
        *("kind", "apiVersion", "email", "username", "proxy-url", "command", "interactiveMode"),
    }
)
"""Keys of kubeconfigs and login files whose values are no secrets."""


class Hiding:
    """Takes them out of a text."""

    def __init__(self, secrets: Sequence[str]) -> None:
        known = {one for one in secrets if len(one) >= SHORTEST}
        self._secrets = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            for written in {secret, json.dumps(secret)[1:-1]}:
                text = text.replace(written, HIDDEN)
        text = _URL.sub(_bare, text)
        for pattern in _PATTERNS:
            text = pattern.sub(_kept, text)
        return text


def _bare(found: re.Match[str]) -> str:
    """A URL without user, password and query: each may be a secret."""
    rest, query, _ = found["rest"].partition("?")
    return f"{found['scheme']}{rest}" + (f"?{HIDDEN}" if query else "")


def _kept(found: re.Match[str]) -> str:
    """What names a secret stays."""
    return f"{(found.group(1) or '') if found.re.groups else ''}{HIDDEN}"


def secrets_of(settings: "Settings") -> Iterator[str]:
    """Yield what secret files and variables hold, so that it is found wherever else it stands."""
    for name, value in _fields(settings):
        if name == "url" and isinstance(value, str):
            yield value.partition("://")[2].partition("?")[2]
        if isinstance(value, Path) and _is_secret_file(name):
            yield from _of_file(value)
        elif name.endswith("_env") and isinstance(value, str):
            yield os.environ.get(value, "")
    for hook in settings.webhooks:
        yield hook.url
    for name, said in os.environ.items():
        if re.search(r"(?i)token|secret|passw|key|auth", name) and len(said) >= 2 * SHORTEST:
            yield said


def _is_secret_file(name: str) -> bool:
    return name == "kubeconfig" or (name.endswith("_file") and name != "ca_file")


def _fields(of: Any) -> Iterator[tuple[str, Any]]:
    """Each field of the settings, however deep."""
    if dataclasses.is_dataclass(of):
        for one in dataclasses.fields(of):
            value = getattr(of, one.name)
            yield one.name, value
            yield from _fields(value)
    elif isinstance(of, Mapping):
        for value in of.values():
            yield from _fields(value)
    elif isinstance(of, list | tuple):
        for value in of:
            yield from _fields(value)


def _of_file(path: Path) -> Iterator[str]:
    """What a file holds, and each value in it, where it is a kubeconfig or a file of logins."""
    import yaml

    try:
        with path.open("rb") as file:
            text = file.read(MOST_SECRET).decode("utf-8", "replace")
    except OSError:
        return  # what is not there is nowhere else either
    yield text.strip()
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    if isinstance(found, Mapping | list):
        yield from _leaves(found)


def _leaves(found: Any) -> Iterator[str]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            if key not in _HARMLESS or not isinstance(value, str):
                yield from _leaves(value)
    elif isinstance(found, list):
        for value in found:
            yield from _leaves(value)
    elif isinstance(found, str):
        yield found
        try:
            plain = base64.b64decode(found, validate=True).decode("utf-8")
        except ValueError:
            return
        yield plain
        yield plain.partition(":")[2]
