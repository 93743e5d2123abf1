"""The configuration as it works in the end, defaults and all, in the spelling of the file.

It is itself a valid file. Secrets are not in it, because the settings only know where they are;
a password somebody put into a URL in code is masked.
"""

import dataclasses
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from watcher.config import durations
from watcher.settings import Settings

_SUFFIX = "_seconds"


def as_data(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values, under the file's names."""
    made = _data(settings)
    assert isinstance(made, dict)
    return made


def effective(settings: Settings) -> str:
    """Return the settings as YAML."""
    text = yaml.dump(
        as_data(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    assert isinstance(text, str)
    return text


def _data(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            field.name.removesuffix(_SUFFIX): _field(field.name, getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not _is_absent(getattr(value, field.name))
        }
    if isinstance(value, dict):
        return {str(key): _data(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_data(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return str(value) if isinstance(value, str) else value


def _is_absent(value: object) -> bool:
    """No file and no address: there is nothing to write."""
    return value is None or value == ""


def _field(name: str, value: Any) -> Any:
    if name.endswith(_SUFFIX):
        return durations.text(value)
    return without_password(value) if name == "url" else _data(value)


def without_password(url: str) -> str:
    """Return the URL with `***` where its password is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    if not parts.password:
        return url
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:***@{place}").geturl()


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """The same policy of ten pools is written ten times: readable without looking up."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)
