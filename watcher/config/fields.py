"""What a single value of the file may be, and what is said if it is not that."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from watcher.config import durations
from watcher.core.facts import Repository
from watcher.core.windows import DAYS, check_cron

UNSET: Any = None
"""Never seen inwards: only what is written is handed on."""
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SOMETHING = r"\S(?:.{0,198}\S)?"
_USER, _GROUP, _CHANNEL = r"[UW][A-Z0-9]{2,20}", r"S[A-Z0-9]{2,20}", r"[CGD][A-Z0-9]{1,40}"
FORMS: Mapping[str, str] = {
    "token:ann": rf"token:{_SOMETHING}",
    "cli:root": rf"cli:{_SOMETHING}",
    "proxy:ann": rf"proxy:{_SOMETHING}",
    "openshift:ann": rf"openshift:{_SOMETHING}",
    "slack:U024BE7LH": rf"slack:{_USER}",
    "slack-group:S0614TZR7": rf"slack-group:{_GROUP}",
    "person:ann": rf"person:{_SOMETHING}",
    "slack:C024BE91L": rf"slack:{_CHANNEL}",
    "webhook:pager": rf"webhook:{_SOMETHING}",
}
"""An example of each form, to be shown, and the form."""


class Part(BaseModel):
    """Unknown keys and wrong types are refused; a key without a value is as if not written."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = keys(cls)
        return {key: item for key, item in value.items() if item is not None or key not in known}

    def given(self) -> dict[str, Any]:
        """What is written, by its key in the file."""
        fields = type(self).model_fields
        return {fields[name].alias or name: getattr(self, name) for name in self.model_fields_set}


def keys(model: type[BaseModel]) -> set[str]:
    """Return the keys that may be written below a part."""
    return {field.alias or name for name, field in model.model_fields.items()}


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected a path")
    return Path(value)


def _secret_path(value: object) -> Path:
    if isinstance(value, str) and re.match(r"xox[a-z]+-|xapp-", value):
        raise ValueError("this is the token itself, not the name of a file that holds it")
    return _path(value)


def _env(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", value):  # it may be the secret: not shown
        raise ValueError("expected the name of an environment variable, like RELAYER_TOKEN")
    return value


def _time_of_day(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError(f"{value[:40]!r} is no time of day; write HH:MM, for example 22:00")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"{value[:60]!r} is no time zone") from error
    except KeyError as error:
        raise ValueError(
            f"{value[:60]!r} is no time zone; write it like Europe/Berlin or UTC"
        ) from error
    return value


def _cron(value: str) -> str:
    check_cron(value)
    return value


def _one_of(what: str, *examples: str) -> AfterValidator:
    """Check that a text has one of the forms that are shown by their examples."""
    *rest, last = examples

    def check(value: str) -> str:
        if not any(re.fullmatch(FORMS[example], value) for example in examples):
            shown = f"{', '.join(rest)} or {last}"
            raise ValueError(f"{value[:60]!r} is no {what}; write it like {shown}")
        return value

    return AfterValidator(check)


def _slack_id(what: str, form: str, example: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not re.fullmatch(form, value):
            raise ValueError(f"{value[:60]!r} is no id of a Slack {what}; it looks like {example}")
        return value

    return AfterValidator(check)


def url_of(value: str, schemes: tuple[str, ...]) -> Any:
    """Return the parts of an URL; raise ValueError."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    named = parts.hostname or (parts.path and "https" not in schemes)
    if parts.scheme not in schemes or not named or re.search(r"[\s\x00-\x1f\x7f]", value):
        raise ValueError(
            f"expected a url that begins with {' or '.join(s + '://' for s in schemes)}"
        )
    return parts


def _web_url(travels: str, instead: str, *, or_none: bool = False) -> AfterValidator:
    """Check an https URL; http is for loopback only. `or_none`: an empty one means none."""

    def check(value: str) -> str:
        if or_none and not value:
            return value
        parts = url_of(value, ("https", "http"))
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"credentials in the url; put {instead}")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(f"{travels} would travel readable over http; use https")
        return value

    return AfterValidator(check)


def _slack_api(value: str) -> str:
    if "?" in value or "#" in value:
        raise ValueError("expected the url that method names are put behind, without ? and #")
    return value if value.endswith("/") else f"{value}/"


def _redis_url(value: str) -> str:
    if not value:
        return value
    parts = url_of(value, ("redis", "rediss", "unix"))
    if parts.password:
        raise ValueError("a password in redis.url; put it into a file and name password_file")
    return value


def _hosts(values: list[str]) -> list[str]:
    for value in values:
        if not HOST.fullmatch(value):
            raise ValueError(f"{value[:60]!r} is no host[:port]")
    return values


def _ca_files(value: dict[str, Path]) -> dict[str, Path]:
    _hosts(list(value))
    return value


def _target(value: str) -> Repository:
    return Repository(value)


def _file_name(value: str) -> str:
    if "/" in value or value in ("", ".", ".."):
        raise ValueError("expected a file name inside the recipe's directory")
    return value


def _line(value: str) -> str:
    if not value.isprintable() or len(value) > 200:
        raise ValueError("expected one line of text, at most 200 characters")
    return value


def _glob(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9*?\[\]!./_-]{1,130}", value):
        raise ValueError(f"{value[:60]!r} is no name or pattern; write it like prod or prod-*")
    return value


def _later(value: int) -> int:
    if value < 1:
        raise ValueError("expected a duration longer than 0")
    return value


def _growing(values: list[int]) -> list[int]:
    for before, after in itertools.pairwise(values):
        if after <= before:
            raise ValueError(
                f"{durations.text(after)} does not come after {durations.text(before)}; "
                "each is counted from the asking, so write them in order"
            )
    return values


def one_source(part: Part, secret: str) -> str:
    """Return which key says where a secret is, empty if none does; raise ValueError for two."""
    found = [key for key in (f"{secret}_file", f"{secret}_env") if getattr(part, key)]
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)} are two places for one secret; keep one")
    return found[0] if found else ""


FilePath = Annotated[Path, BeforeValidator(_path)]
SecretPath = Annotated[Path, BeforeValidator(_secret_path)]
EnvName = Annotated[str, AfterValidator(_env)]
FileName = Annotated[str, AfterValidator(_file_name)]
Hosts = Annotated[list[str], AfterValidator(_hosts)]
CaFiles = Annotated[dict[str, FilePath], AfterValidator(_ca_files)]
Target = Annotated[str, AfterValidator(_target)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
ApiUrl = Annotated[str, _web_url("the token", "the token into a file and name token_file")]
ServiceUrl = Annotated[
    str, _web_url("what is asked and answered", "none: no login is ever sent there")
]
SlackApiUrl = Annotated[
    str,
    _web_url("the token", "the token into a file and name bot_token_file"),
    AfterValidator(_slack_api),
]
HookUrl = Annotated[
    str, _web_url("what is sent", "a secret that signs into a file and name secret_file")
]
BeatUrl = Annotated[
    str,
    _web_url("what is sent", "a secret that signs into a file and name secret_file", or_none=True),
]
Duration = Annotated[float, BeforeValidator(durations.seconds)]
WholeDuration = Annotated[int, BeforeValidator(durations.whole_seconds)]
Later = Annotated[WholeDuration, AfterValidator(_later)]
Growing = Annotated[list[Later], AfterValidator(_growing)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Zone = Annotated[str, AfterValidator(_zone)]
Day = Literal[DAYS]  # type: ignore[valid-type]
Cron = Annotated[str, AfterValidator(_cron)]
Line = Annotated[str, AfterValidator(_line)]
Glob = Annotated[str, AfterValidator(_glob)]
_DOORS = ("token:ann", "proxy:ann", "openshift:ann", "cli:root", "slack:U024BE7LH")
Approver = Annotated[
    str,
    _one_of(
        "identity",
        *_DOORS,
        "slack-group:S0614TZR7",
        "person:ann",
    ),
]
Author = Annotated[str, _one_of("identity", *_DOORS, "person:ann")]
OfPerson = Annotated[str, _one_of("identity of one person", *_DOORS)]
Woken = Annotated[
    str, _one_of("one to tell", "slack:C024BE91L", "slack-group:S0614TZR7", "slack:U024BE7LH")
]
Place = Annotated[str, _one_of("place", "slack:C024BE91L", "webhook:pager")]
SlackTeam = Annotated[str, _slack_id("team", r"[TE][A-Z0-9]{1,40}", "T024BE7LD")]
SlackApp = Annotated[str, _slack_id("app", r"A[A-Z0-9]{1,40}", "A024BE7LF")]
SlackChannel = Annotated[str, _slack_id("channel", _CHANNEL, "C024BE91L")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]
OurName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]{0,61}[A-Za-z0-9])?$")]
Amount = Annotated[int, Field(ge=1, le=256)]
