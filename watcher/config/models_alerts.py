"""The file's shape of alerts: from where on something is told as wrong, and to whom again."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from watcher.config import durations
from watcher.config.fields import (
    UNSET,
    BeatUrl,
    Duration,
    EnvName,
    FilePath,
    Later,
    Part,
    SecretPath,
    one_source,
)
from watcher.config.models_chat import Places

OFF = "off"
"""Never: a key without a value counts as not written, so there must be a word for it."""

LEAST_BLIND_SECONDS = 120
"""API servers send a bookmark on a quiet watch about once a minute (k8s.io/apiserver cacher.go,
defaultBookmarkFrequency): two of them."""


def _count(value: object) -> int | None:
    if value == OFF:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("expected a whole number from 1 on, or off")
    return value


def _time(value: object) -> float | None:
    return None if value == OFF else durations.seconds(value)


def _blind(value: object) -> float | None:
    found = _time(value)
    if found is not None and found < LEAST_BLIND_SECONDS:
        least = durations.text(LEAST_BLIND_SECONDS)
        raise ValueError(f"a quiet cluster is confirmed once a minute; expected {least} or more")
    return found


Count = Annotated[int | None, BeforeValidator(_count)]
Time = Annotated[float | None, BeforeValidator(_time)]


class ThresholdPart(Part):
    """`off` alone is short for `{warning: off, critical: off}`."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if value == OFF:
            return {"warning": OFF, "critical": OFF}
        if not isinstance(value, dict):
            raise ValueError("expected {warning: …, critical: …}, or off")
        return value


class CountsPart(ThresholdPart):
    warning: Count = UNSET
    critical: Count = UNSET


class TimesPart(ThresholdPart):
    warning: Time = UNSET
    critical: Time = UNSET


class BlindPart(ThresholdPart):
    warning: Annotated[float | None, BeforeValidator(_blind)] = UNSET
    critical: Annotated[float | None, BeforeValidator(_blind)] = UNSET


class AlertEscalationPart(Part):
    after: Later
    to: Places
    severities: Annotated[list[Literal["warning", "critical"]], Field(min_length=1)] = UNSET


class HeartbeatPart(Part):
    url: BeatUrl = UNSET
    secret_file: SecretPath = UNSET
    secret_env: EnvName = UNSET
    ca_file: FilePath = UNSET
    every: Annotated[Duration, Field(ge=1)] = UNSET

    @model_validator(mode="after")
    def _fitting(self) -> "HeartbeatPart":
        one_source(self, "secret")
        useless = [k for k in ("secret_file", "secret_env", "ca_file") if getattr(self, k)]
        if useless and not self.url:
            raise ValueError(f"nothing is sent without url; add it, or remove {', '.join(useless)}")
        if self.ca_file and not self.url.startswith("https:"):
            raise ValueError("ca_file belongs to an https url")
        return self


class AlertsPart(Part):
    lag_releases: CountsPart = UNSET
    lag_minors: CountsPart = UNSET
    lag: TimesPart = UNSET
    paused: TimesPart = UNSET
    certificate: TimesPart = UNSET
    approval: TimesPart = UNSET
    stalled: TimesPart = UNSET
    builds_failed: CountsPart = UNSET
    blind: BlindPart = UNSET
    queue: TimesPart = UNSET
    wait: dict[str, Duration] = UNSET
    disabled: list[str] = UNSET
    escalations: list[AlertEscalationPart] = UNSET
    heartbeat: HeartbeatPart = UNSET
