"""From what was written to `Settings`: the parts of the file as dataclasses, policies merged."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from watcher.config import models, models_alerts, models_chat, models_policy, models_web
from watcher.config.fields import Part
from watcher.config.models import File, PoolPart
from watcher.config.models_policy import PolicyPart
from watcher.config.spelling import inwards
from watcher.core.approval import ApprovalRules
from watcher.core.changes import Mode
from watcher.core.digests import DigestTimes
from watcher.core.facts import ClusterName, PoolName
from watcher.core.letters import Asking, Escalation, Route
from watcher.core.order import After
from watcher.core.update import Policy
from watcher.core.windows import Blackout, Window
from watcher.settings import (
    BuildahSettings,
    ClusterSettings,
    DigestSettings,
    NoticeSettings,
    PersonSettings,
    PoolSettings,
    RecipeSettings,
    RedisSettings,
    Settings,
    SlackSettings,
    WebhookSettings,
    WorkSettings,
)
from watcher.settings_alerts import (
    AlertEscalation,
    AlertSettings,
    HeartbeatSettings,
    Threshold,
)
from watcher.settings_registry import RegistrySettings, ReleaseSettings
from watcher.settings_web import (
    AuthSettings,
    ProxySettings,
    ReviewSettings,
    TokenSettings,
    WebSettings,
)

MADE: Mapping[type[Part], type[Any]] = {
    models.ClusterPart: ClusterSettings,
    models.RedisPart: RedisSettings,
    models.RegistryPart: RegistrySettings,
    models.ReleasePart: ReleaseSettings,
    models.RecipePart: RecipeSettings,
    models_web.TokenPart: TokenSettings,
    models_web.ProxyPart: ProxySettings,
    models_web.ReviewPart: ReviewSettings,
    models_web.AuthPart: AuthSettings,
    models_web.WebPart: WebSettings,
    models.WorkPart: WorkSettings,
    models.BuildahPart: BuildahSettings,
    models_chat.PersonPart: PersonSettings,
    models_chat.SlackPart: SlackSettings,
    models_chat.WebhookPart: WebhookSettings,
    models_chat.RoutePart: Route,
    models_chat.NoticesPart: NoticeSettings,
    models_alerts.AlertsPart: AlertSettings,
    models_alerts.CountsPart: Threshold,
    models_alerts.TimesPart: Threshold,
    models_alerts.BlindPart: Threshold,
    models_alerts.AlertEscalationPart: AlertEscalation,
    models_alerts.HeartbeatPart: HeartbeatSettings,
    models_policy.WindowPart: Window,
    models_policy.BlackoutPart: Blackout,
    models_policy.AfterPart: After,
    models_policy.EscalationPart: Escalation,
}
"""Parts that become one dataclass each."""
ASKING = ("remind", "escalate")
"""Written under `approval`, and no part of what is approved."""


class Maker:
    """Makes the dataclasses; relative paths start at the file's place."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory or Path()

    def settings(self, file: File) -> Settings:
        """Return all of the file."""
        said = file.given()
        defaults, pools = said.pop("defaults", None), said.pop("pools", ())
        common = defaults.policy if defaults else None
        made = {key: self._value(value) for key, value in said.items()}
        return Settings(**made, pools=tuple(self._pool(pool, common) for pool in pools))

    def _pool(self, part: PoolPart, common: PolicyPart | None) -> PoolSettings:
        said, rules, modes = _merged(common, part.policy)
        asked = {key: rules.pop(key) for key in ASKING if key in rules}
        own: dict[str, Any] = {"modes": modes}
        if "mode" in said:
            own["mode"] = Mode(said.pop("mode"))
        zone = said.pop("time_zone", None)
        approval = self._of(ApprovalRules, rules)
        policy = self._of(Policy, said, approval=approval)
        if zone or policy.windows:
            own["time_zone"] = zone or policy.windows[0].timezone
        return PoolSettings(
            cluster=ClusterName(part.cluster),
            pool=PoolName(part.pool),
            recipe=part.recipe,
            policy=policy,
            asking=self._asking(asked, approval),
            **own,
        )

    def _asking(self, said: Mapping[str, Any], rules: ApprovalRules) -> Asking:
        made: Asking = self._of(Asking, said)
        if "remind" in said:
            return made
        # Who wrote only a short `ask` did not ask for a reminder after its end.
        fitting = (min(one, rules.ask_seconds // 2) for one in made.remind_seconds)
        return Asking(remind_seconds=tuple(filter(None, fitting)), escalate=made.escalate)

    def _digest(self, part: models_chat.DigestPart) -> DigestSettings:
        said = part.given()
        times = {key: said.pop(key) for key in inwards(DigestTimes) if key in said}
        return self._of(DigestSettings, said, times=self._of(DigestTimes, times))  # type: ignore[no-any-return]

    def _alerts(self, part: models_alerts.AlertsPart) -> AlertSettings:
        """Of a threshold each of its two may be written alone: the default stands for the other."""
        said, names, usual = part.given(), inwards(AlertSettings), AlertSettings()
        for key, value in said.items():
            if isinstance(value, models_alerts.ThresholdPart):
                said[key] = replace(getattr(usual, names[key]), **value.given())
        return self._of(AlertSettings, said)  # type: ignore[no-any-return]

    def _of(self, dataclass: type[Any], said: Mapping[str, Any], **more: Any) -> Any:
        """Make a dataclass of what is written, and of what was made already."""
        names = inwards(dataclass)
        return dataclass(**{names[key]: self._value(value) for key, value in said.items()}, **more)

    def _value(self, value: Any) -> Any:
        if isinstance(value, models_chat.DigestPart):
            return self._digest(value)
        if isinstance(value, models_alerts.AlertsPart):
            return self._alerts(value)
        if isinstance(value, Part):
            return self._of(MADE[type(value)], value.given())
        if isinstance(value, Path):
            return self._directory / value.expanduser()
        if isinstance(value, list):
            return tuple(self._value(item) for item in value)
        if isinstance(value, Mapping):
            return {key: self._value(item) for key, item in value.items()}
        return value


def _merged(
    common: PolicyPart | None, own: PolicyPart | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a pool says itself, else what `defaults.policy` says, key by key.

    Return the policy's keys, those below `approval` and those below `modes`.
    """
    said: dict[str, Any] = {}
    approval: dict[str, Any] = {}
    modes: dict[str, Any] = {}
    for part in (common, own):
        given = part.given() if part else {}
        for key, into in (("approval", approval), ("modes", modes)):
            inner = given.pop(key, None)
            into |= inner.given() if inner else {}
        said |= given
    return said, approval, modes
