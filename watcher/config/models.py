"""The file's shape for pydantic: this folder only; inwards go the dataclasses of `settings`.

Every field is optional unless nothing works without it. What is not written stays unset, so the
defaults live in one place, the dataclasses.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from watcher.config import durations
from watcher.core.facts import Repository
from watcher.core.windows import DAYS

UNSET: Any = None
"""Never seen inwards: only what is written is handed on."""
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected a path")
    return Path(value)


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


def _identity(value: str) -> str:
    if not re.fullmatch(r"[a-z]+:\S(.{0,198}\S)?", value) or value.startswith("policy:"):
        raise ValueError(f"{value[:60]!r} is no identity; write it like token:ann or cli:root")
    return value


def _redis_url(value: str) -> str:
    if not value:
        return value
    parts = _url(value, ("redis", "rediss", "unix"))
    if parts.password:
        raise ValueError("a password in redis.url; put it into a file and name password_file")
    return value


def _api_url(value: str) -> str:
    parts = _url(value, ("https", "http"))
    if parts.username or parts.password:
        raise ValueError("credentials in the url; put the token into a file and name token_file")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("the token would travel readable over http; use https")
    return value


def _url(value: str, schemes: tuple[str, ...]) -> Any:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in schemes or not (parts.hostname or parts.path):
        raise ValueError(
            f"expected a url that begins with {' or '.join(s + '://' for s in schemes)}"
        )
    return parts


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


FilePath = Annotated[Path, BeforeValidator(_path)]
Duration = Annotated[float, BeforeValidator(durations.seconds)]
WholeDuration = Annotated[int, BeforeValidator(durations.whole_seconds)]
Identity = Annotated[str, AfterValidator(_identity)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]
OurName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]{0,61}[A-Za-z0-9])?$")]
Amount = Annotated[int, Field(ge=1, le=256)]


class Part(BaseModel):
    """Unknown keys and wrong types are refused; a key without a value is as if not written."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = cls.model_fields
        return {key: item for key, item in value.items() if item is not None or key not in known}

    def given(self) -> dict[str, Any]:
        """What is written, by field."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class ClusterPart(Part):
    name: ObjectName
    in_cluster: bool = UNSET
    kubeconfig: FilePath = UNSET
    context: str = UNSET
    url: Annotated[str, AfterValidator(_api_url)] = UNSET
    token_file: FilePath = UNSET
    ca_file: FilePath = UNSET

    @model_validator(mode="after")
    def _one_way(self) -> "ClusterPart":
        ways = [way for way in ("in_cluster", "kubeconfig", "url") if getattr(self, way)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} are two ways to one cluster; keep one")
        if self.url and not self.token_file:
            raise ValueError("url needs token_file beside it")
        if not self.url and (self.token_file or self.ca_file):
            raise ValueError("token_file and ca_file belong to url; a kubeconfig has its own")
        if self.context and (self.url or self.in_cluster):
            raise ValueError("context belongs to kubeconfig")
        return self


class RedisPart(Part):
    url: Annotated[str, AfterValidator(_redis_url)] = UNSET
    password_file: FilePath = UNSET
    ca_file: FilePath = UNSET
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,60}$")] = UNSET
    allow_unsafe: bool = UNSET


class RegistryPart(Part):
    auth_file: FilePath = UNSET
    ca_files: Annotated[dict[str, FilePath], AfterValidator(_ca_files)] = UNSET
    plain_http: Annotated[list[str], AfterValidator(_hosts)] = UNSET


class RecipePart(Part):
    name: OurName
    path: FilePath
    target: Annotated[str, AfterValidator(_target)]
    containerfile: Annotated[str, AfterValidator(_file_name)] = UNSET
    build_args: dict[str, str] = UNSET
    builder: Literal["auto", "append", "buildah"] = UNSET


class WindowPart(Part):
    days: Annotated[list[Literal[DAYS]], Field(min_length=1)]  # type: ignore[valid-type]
    start: Annotated[str, AfterValidator(_time_of_day)]
    hours: Annotated[float, Field(gt=0, le=168)]
    timezone: Annotated[str, AfterValidator(_zone)] = UNSET


class ApprovalPart(Part):
    auto: bool = UNSET
    quorum: Annotated[int, Field(ge=1, le=100)] = UNSET
    approvers: list[Identity] = UNSET
    reason_required: bool = UNSET
    ask: WholeDuration = UNSET
    keep: WholeDuration = UNSET


class PolicyPart(Part):
    approval: ApprovalPart = UNSET
    windows: list[WindowPart] = UNSET
    soak: WholeDuration = UNSET
    node: WholeDuration = UNSET


class PoolPart(Part):
    cluster: ObjectName
    pool: ObjectName
    recipe: OurName
    policy: PolicyPart = UNSET


class TokenPart(Part):
    name: OurName
    token_file: FilePath = UNSET
    token_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] = UNSET

    @model_validator(mode="after")
    def _one_source(self) -> "TokenPart":
        if bool(self.token_file) == bool(self.token_env):
            raise ValueError("a token needs token_file or token_env: one of them, not both")
        return self


class WebPart(Part):
    host: Annotated[str, Field(min_length=1, max_length=255)] = UNSET
    port: Annotated[int, Field(ge=0, le=65535)] = UNSET
    tokens: list[TokenPart] = UNSET


class WorkPart(Part):
    workers: Amount = UNSET
    builds: Amount = UNSET
    lease: Annotated[Duration, Field(ge=1)] = UNSET
    resync: Annotated[Duration, Field(ge=1)] = UNSET
    rollout_poll: Annotated[Duration, Field(ge=0.05)] = UNSET
    drain: Annotated[Duration, Field(ge=1)] = UNSET


class BuildahPart(Part):
    isolation: Literal["chroot", "rootless", "oci"] = UNSET
    storage_driver: Literal["overlay", "vfs"] = UNSET
    timeout: Annotated[WholeDuration, Field(ge=1)] = UNSET


class DefaultsPart(Part):
    policy: PolicyPart = UNSET


class File(Part):
    """The whole file."""

    state_dir: FilePath = UNSET
    log_level: Literal["debug", "info", "warning", "error"] = UNSET
    redis: RedisPart = UNSET
    registry: RegistryPart = UNSET
    web: WebPart = UNSET
    work: WorkPart = UNSET
    buildah: BuildahPart = UNSET
    defaults: DefaultsPart = UNSET
    clusters: list[ClusterPart] = UNSET
    recipes: list[RecipePart] = UNSET
    pools: list[PoolPart] = UNSET
