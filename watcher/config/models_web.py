"""The file's shape of the web server: where it listens, and who is let in as what."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from watcher.config.fields import (
    UNSET,
    EnvName,
    FilePath,
    ObjectName,
    OurName,
    Part,
    WholeDuration,
)
from watcher.settings_web import NO_ROLE, AuthSettings, ProxySettings, WebSettings, is_loopback

RoleName = Literal["viewer", "operator", "approver"]


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(
            f"{value[:60]!r} is no address or network; write it like 10.0.0.5 or 10.128.0.0/14"
        ) from error
    if network.prefixlen == 0:
        raise ValueError(f"{value[:60]!r} would believe everybody; name the proxy's own addresses")
    return value


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", value):
        raise ValueError("expected the name of a header, like X-Forwarded-User")
    if value.lower() in ("authorization", "cookie", "host"):
        raise ValueError(f"{value} comes from browsers too; name a header that the proxy sets")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", value):
        raise ValueError(f"{value[:60]!r} is no host name; write it without scheme and port")
    return value.lower()


Network = Annotated[str, AfterValidator(_network)]
HeaderName = Annotated[str, AfterValidator(_header)]
HostName = Annotated[str, AfterValidator(_name)]
GroupName = Annotated[str, Field(pattern=r"^[^\s,]([^,\x00-\x1f]{0,198}[^\s,])?$")]
Audience = Annotated[str, Field(min_length=1, max_length=300)]


class TokenPart(Part):
    name: OurName
    token_file: FilePath = UNSET
    token_env: EnvName = UNSET
    role: RoleName = UNSET

    @model_validator(mode="after")
    def _one_source(self) -> "TokenPart":
        if bool(self.token_file) == bool(self.token_env):
            raise ValueError("a token needs token_file or token_env: one of them, not both")
        return self


class ProxyPart(Part):
    trusted: list[Network] = UNSET
    user_header: HeaderName = UNSET
    groups_header: HeaderName = UNSET
    groups: dict[GroupName, RoleName] = UNSET
    others: Literal["none", "viewer", "operator", "approver"] = UNSET

    @model_validator(mode="after")
    def _two_headers(self) -> "ProxyPart":
        usual = ProxySettings()
        user, groups = self.user_header, self.groups_header
        if (user or usual.user_header).lower() == (groups or usual.groups_header).lower():
            raise ValueError("user_header and groups_header are one header")
        return self


class ReviewPart(Part):
    cluster: ObjectName | Literal[""] = UNSET
    audiences: list[Audience] = UNSET
    namespace: ObjectName | Literal[""] = UNSET


class AuthPart(Part):
    mode: Literal["token", "none", "proxy", "openshift"] = UNSET
    local: Literal["viewer", "operator"] = UNSET
    session: Annotated[WholeDuration, Field(ge=60, le=7 * 86400)] = UNSET
    idle: Annotated[WholeDuration, Field(ge=60, le=3600)] = UNSET
    proxy: ProxyPart = UNSET
    openshift: ReviewPart = UNSET

    @model_validator(mode="after")
    def _complete(self) -> "AuthPart":
        if self.mode == "proxy":
            said = self.proxy or ProxyPart()
            if not said.trusted:
                raise ValueError("mode proxy needs proxy.trusted: whose headers are believed")
            if not said.groups and said.others in (UNSET, NO_ROLE):
                raise ValueError(
                    "mode proxy needs proxy.groups or proxy.others: who has which role"
                )
        return self


class WebPart(Part):
    host: Annotated[str, Field(min_length=1, max_length=255)] = UNSET
    port: Annotated[int, Field(ge=0, le=65535)] = UNSET
    names: list[HostName] = UNSET
    tokens: list[TokenPart] = UNSET
    auth: AuthPart = UNSET

    @model_validator(mode="after")
    def _fitting(self) -> "WebPart":
        mode = (self.auth and self.auth.mode) or AuthSettings().mode
        host = self.host or WebSettings().host
        if mode == "none" and not is_loopback(host):
            raise ValueError(f"auth.mode none lets everybody in who reaches {host}: loopback only")
        return self
