"""The configuration as it works in the end, defaults and all, in the spelling of the file.

It is itself a valid file. Secrets are not in it, because the settings only know where they are;
a password somebody put into a URL in code is masked.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from watcher.config import durations
from watcher.config.models_alerts import OFF
from watcher.config.spelling import SUFFIX, spelt
from watcher.config.text import is_text
from watcher.core.windows import Window
from watcher.settings import DigestSettings, PoolSettings, Settings
from watcher.settings_alerts import Threshold

URLS = ("url", "api_url")


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
    if isinstance(value, PoolSettings):
        return _pool(value)
    if isinstance(value, DigestSettings):
        said = _fields(value)
        return {"name": said.pop("name"), "to": said.pop("to"), **said.pop("times"), **said}
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): _data(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_data(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return str(value) if isinstance(value, str) else value


def _pool(pool: PoolSettings) -> dict[str, Any]:
    """A pool as it is written: all that is about deciding stands below `policy`."""
    said = _fields(pool)
    policy, asking = said.pop("policy"), said.pop("asking")
    mode = {key: said.pop(key) for key in ("mode", "modes")}
    zone = {"time_zone": said.pop("time_zone")}
    del policy["approval"]["auto"]  # follows from the mode
    return {**said, "policy": {**mode, **policy, **zone, "approval": policy["approval"] | asking}}


def _fields(value: Any) -> dict[str, Any]:
    fields = {name: (key, getattr(value, name)) for name, key in spelt(type(value)).items()}
    return {
        key: _field(name, item)
        for name, (key, item) in fields.items()
        if not _is_absent(item) and not (isinstance(value, Window) and item == ())
    }


def _is_absent(value: object) -> bool:
    """No file, no address, no text: there is nothing to write."""
    return value is None or value == ""


def _field(name: str, value: Any) -> Any:
    if name.endswith(SUFFIX):
        return _durations(value)
    if isinstance(value, Threshold):
        return _threshold(value, lambda count: count)
    return without_password(value) if name in URLS else _data(value)


def _durations(value: Any) -> Any:
    if isinstance(value, Threshold):
        return _threshold(value, durations.text)
    if isinstance(value, Mapping):
        return {key: durations.text(one) for key, one in value.items()}
    return (
        [durations.text(one) for one in value]
        if isinstance(value, tuple)
        else durations.text(value)
    )


def _threshold(value: Threshold, shown: Callable[[float], Any]) -> dict[str, Any]:
    """What is never told must be said: left out, it would be the default."""
    levels = {"warning": value.warning, "critical": value.critical}
    return {name: OFF if at is None else shown(at) for name, at in levels.items()}


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

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Quote what our reader would take for more than text; PyYAML knows another YAML."""
        node = super().represent_str(data)
        if not is_text(data):
            node.style = "'"
        return node

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(str, _Dumper.represent_str)
