"""The file's shape of what holds for a pool: who approves, when, and after whom."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from watcher.config.fields import (
    UNSET,
    Approver,
    Cron,
    Day,
    Growing,
    Later,
    Line,
    Part,
    TimeOfDay,
    WholeDuration,
    Woken,
    Zone,
)
from watcher.core.windows import check_blackout

ModeName = Literal["notify", "approve", "auto"]


class WindowPart(Part):
    days: Annotated[list[Day], Field(min_length=1)] = UNSET
    start: TimeOfDay = UNSET
    cron: Cron = UNSET
    hours: Annotated[float, Field(gt=0, le=168)]
    timezone: Zone = UNSET

    @model_validator(mode="after")
    def _one_way(self) -> "WindowPart":
        if self.cron and (self.days or self.start):
            raise ValueError("cron says when it opens, and so do days and start; keep one of them")
        if not self.cron and not (self.days and self.start):
            raise ValueError("a window opens by days and start, or by cron")
        return self


class BlackoutPart(Part):
    first: str = Field(alias="from")
    last: str = Field(alias="to")
    timezone: Zone = UNSET
    reason: Line = UNSET

    @model_validator(mode="after")
    def _days(self) -> "BlackoutPart":
        check_blackout(self.first, self.last)
        return self


class AfterPart(Part):
    """`prod/canary` alone is short for `{pool: prod/canary, soak: 0s}`."""

    place: str = Field(alias="pool")
    soak: WholeDuration = 0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"pool": value} if isinstance(value, str) else value

    def given(self) -> dict[str, Any]:
        return {"soak": self.soak, **super().given()}


class EscalationPart(Part):
    after: Later
    to: Woken


class ApprovalPart(Part):
    quorum: Annotated[int, Field(ge=1, le=100)] = UNSET
    approvers: list[Approver] = UNSET
    two_person: bool = UNSET
    reason_required: bool = UNSET
    ask: WholeDuration = UNSET
    keep: WholeDuration = UNSET
    remind: Growing = UNSET
    escalate: list[EscalationPart] = UNSET


class ModesPart(Part):
    patch: ModeName = UNSET
    minor: ModeName = UNSET
    recipe: ModeName = UNSET
    first: ModeName = UNSET


class PolicyPart(Part):
    mode: ModeName = UNSET
    modes: ModesPart = UNSET
    approval: ApprovalPart = UNSET
    windows: list[WindowPart] = UNSET
    blackouts: list[BlackoutPart] = UNSET
    min_age: WholeDuration = UNSET
    after: list[AfterPart] = UNSET
    when_closed: Literal["finish", "pause"] = UNSET
    soak: WholeDuration = UNSET
    node: WholeDuration = UNSET
    time_zone: Zone = UNSET
