"""The file's shape of who is told what, and where: people, Slack, webhooks, routes, digests."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from watcher.config.fields import (
    UNSET,
    Day,
    EnvName,
    FilePath,
    Glob,
    HookUrl,
    OfPerson,
    OurName,
    Part,
    Place,
    SecretPath,
    SlackApiUrl,
    SlackApp,
    SlackChannel,
    SlackTeam,
    TimeOfDay,
    WholeDuration,
    Zone,
    one_source,
)
from watcher.settings import SlackSettings

Places = Annotated[list[Place], Field(min_length=1)]
SeverityName = Literal["info", "warning", "critical"]
AboutName = Literal["update", "notice"]
"""Digests say themselves where they go."""


class PersonPart(Part):
    name: OurName
    identities: Annotated[list[OfPerson], Field(min_length=1)]


class SlackPart(Part):
    bot_token_file: SecretPath = UNSET
    bot_token_env: EnvName = UNSET
    app_token_file: SecretPath = UNSET
    app_token_env: EnvName = UNSET
    signing_secret_file: SecretPath = UNSET
    signing_secret_env: EnvName = UNSET
    mode: Literal["socket", "http", "none"] = UNSET
    api_url: SlackApiUrl = UNSET
    team: SlackTeam = UNSET
    app: SlackApp = UNSET
    channel: SlackChannel = UNSET

    @model_validator(mode="after")
    def _complete(self) -> "SlackPart":
        bot, app, signing = (
            one_source(self, s) for s in ("bot_token", "app_token", "signing_secret")
        )
        ids = {"team": self.team, "app": self.app, "channel": self.channel}
        mode = self.mode or SlackSettings().mode
        if not bot:
            if useless := [key for key in (app, signing, *(k for k, v in ids.items() if v)) if key]:
                raise ValueError(
                    "nothing goes to Slack without bot_token_file or bot_token_env; "
                    f"add one, or remove {', '.join(useless)}"
                )
        elif missing := [key for key, value in ids.items() if not value]:
            raise ValueError(f"a bot token needs {' and '.join(missing)} beside it")
        elif mode == "socket" and not app:
            raise ValueError(
                "mode socket needs app_token_file or app_token_env; "
                "mode http needs none, and with mode none nobody decides from Slack"
            )
        elif mode == "http" and not signing:
            raise ValueError("mode http needs signing_secret_file or signing_secret_env")
        return self


class WebhookPart(Part):
    name: OurName
    url: HookUrl
    secret_file: SecretPath = UNSET
    secret_env: EnvName = UNSET
    ca_file: FilePath = UNSET

    @model_validator(mode="after")
    def _fitting(self) -> "WebhookPart":
        one_source(self, "secret")
        if not (self.secret_file or self.secret_env):
            raise ValueError("every request is signed: name secret_file or secret_env")
        if self.ca_file and not self.url.startswith("https:"):
            raise ValueError("ca_file belongs to an https url")
        return self


class RoutePart(Part):
    to: Places
    clusters: list[Glob] = UNSET
    pools: list[Glob] = UNSET
    severities: list[SeverityName] = UNSET
    about: list[AboutName] = UNSET


class DigestPart(Part):
    name: OurName
    to: Places
    at: TimeOfDay
    days: list[Day] = UNSET
    timezone: Zone = UNSET
    clusters: list[Glob] = UNSET


class NoticesPart(Part):
    hold: WholeDuration = UNSET
