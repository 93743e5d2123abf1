"""The letters of one update: its card, the thread below it, and what must wake somebody."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from watcher.core.approval import CHAT, GROUP, PERSON
from watcher.core.letters import About, Card, Escalation, Letters, Nudge, Wanted
from watcher.core.rollout import Phase
from watcher.core.update import Update, missing
from watcher.core.update_events import UpdateState
from watcher.settings import PoolSettings, Settings
from watcher.telling import routing, state_line
from watcher.telling.cards import Cards, Facts

S = UpdateState
SLACK = "slack:"
CHANNEL = ("slack:C", "slack:G", "slack:D")
"""How channels begin: old private ones, and those of two people, among them."""
BAD_ENDS = {
    S.ROLLING_BACK: ("end-rolling-back", True),
    S.ROLLED_BACK: ("end-rolling-back", True),
    S.STUCK: ("end-stuck", True),
    S.FAILED: ("end-failed", False),
    S.EXPIRED: ("end-expired", False),
}
"""States that are said in the thread too, because an edit wakes nobody: under which name, and
whether in the channel. A rollback may be over before anybody was told that it began: said once."""


@dataclass(frozen=True, slots=True)
class UpdateLetters:
    settings: Settings
    cards: Cards

    async def letters(self, update: Update) -> Letters:
        """Return what shall stand about the update now. Raise what the store raises."""
        facts = await self.cards.facts(update)
        card = self.cards.card(facts)
        wanted: list[Wanted] = []
        for place in self._places(update):
            wanted += self._at(place, facts, card)
        wanted += self._elsewhere(facts, card)
        return Letters(
            wanted=tuple(wanted),
            again_at=min(self._moments(facts), default=None),
        )

    def _places(self, update: Update) -> tuple[str, ...]:
        """Where it goes; whoever was told that it went wrong is told how it ended."""
        found: dict[str, None] = {}
        for severity in state_line.severities(update):
            places = routing.places(
                self.settings.routes,
                cluster=update.cluster,
                pool=update.pool,
                severity=severity,
                about=About.UPDATE,
                default=self.settings.usual_place,
            )
            found |= dict.fromkeys(places)
        return tuple(found)

    def _at(self, place: str, facts: Facts, card: Card) -> Iterator[Wanted]:
        key = f"card@{place}"
        wanted = partial(Wanted, place=place, about=About.UPDATE, severity=card.severity)
        yield wanted(key=key, body=card)
        if place.startswith(SLACK):
            details = self.cards.details(facts)
            yield wanted(key=f"details@{place}", body=details, thread_of=key)
        for name, nudge, broadcast in self._nudges(facts):
            yield wanted(
                key=f"{name}@{place}", body=nudge, thread_of=key, once=True, broadcast=broadcast
            )

    def _nudges(self, facts: Facts) -> Iterator[tuple[str, Nudge, bool]]:
        """What is said once in the thread, as far as its time has come."""
        update, asked = facts.update, asked_at(facts.update)
        if update.state in BAD_ENDS:
            said = f"{_title(update)} is {str(update.state).replace('-', ' ')}"
            why = f"{said}: {update.ended_because}" if update.ended_because else said
            name, broadcast = BAD_ENDS[update.state]
            yield name, self._nudge(facts, why), broadcast
        if update.state is S.ROLLING_OUT and facts.progress.get("phase") == Phase.STALLED:
            late = f"{_title(update)} is late: {facts.progress.get('waiting', '')}"
            yield "late", self._nudge(facts, late), False
        if asked is None:
            return
        ends = f"by {update.expires_at:%Y-%m-%d %H:%M} UTC" if update.expires_at else ""
        need = f"{missing(update)} more approval(s) needed {ends}".rstrip()
        if self._is_asleep(facts):
            return
        again = _round(update)
        yield f"ask{again}", self._nudge(facts, f"{_title(update)}: {need}", wake=True), False
        for number, due in enumerate(self._reminders(update, asked), 1):
            if facts.now >= due:
                sentence = f"Reminder {number}: {_title(update)}: {need}"
                yield f"remind-{number}{again}", self._nudge(facts, sentence, wake=True), False
        for number, rule, due in self._escalations(update, asked):
            if facts.now >= due and not rule.to.startswith(CHANNEL):
                sentence = f"Nobody has decided yet: {_title(update)}: {need}"
                nudge = self._nudge(facts, sentence, mentions=(rule.to,))
                yield f"escalate-{number}{again}", nudge, False

    def _elsewhere(self, facts: Facts, card: Card) -> Iterator[Wanted]:
        """Escalations to another channel: a message of its own there."""
        asked = asked_at(facts.update)
        if asked is None:  # while it is asleep none of them is due
            return
        for number, rule, due in self._escalations(facts.update, asked):
            if facts.now >= due and rule.to.startswith(CHANNEL):
                sentence = (
                    f"Nobody has decided yet: {_title(facts.update)}: "
                    f"{missing(facts.update)} more approval(s) needed"
                )
                yield Wanted(
                    key=f"escalate-{number}{_round(facts.update)}@{rule.to}",
                    place=rule.to,
                    about=About.UPDATE,
                    severity=card.severity,
                    body=self._nudge(facts, sentence),
                    once=True,
                )

    def _nudge(
        self, facts: Facts, sentence: str, *, wake: bool = False, mentions: tuple[str, ...] = ()
    ) -> Nudge:
        update = facts.update
        approvers = self._awake(update) if wake else ()
        return Nudge(
            update=update.id,
            cluster=update.cluster,
            pool=update.pool,
            sentence=sentence,
            mentions=mentions or approvers,
            severity=state_line.severity(update),
        )

    def _awake(self, update: Update) -> tuple[str, ...]:
        """Those approvers that chat can wake; of a person, her identities there."""
        found: dict[str, None] = {}
        for name in update.policy.approval.approvers:
            mine: tuple[str, ...] = (name,)
            if name.startswith(PERSON):
                who = name.removeprefix(PERSON)
                mine = next((p.identities for p in self.settings.people if p.name == who), ())
            found |= dict.fromkeys(one for one in mine if one.startswith((CHAT, GROUP)))
        return tuple(found)

    def _reminders(self, update: Update, asked: datetime) -> list[datetime]:
        remind = self._asking(update).asking.remind_seconds
        return [asked + timedelta(seconds=seconds) for seconds in remind]

    def _escalations(
        self, update: Update, asked: datetime
    ) -> list[tuple[int, Escalation, datetime]]:
        rules = self._asking(update).asking.escalate
        return [
            (number, rule, asked + timedelta(seconds=rule.after_seconds))
            for number, rule in enumerate(rules, 1)
        ]

    def _asking(self, update: Update) -> PoolSettings:
        return self.cards.place(update)

    def _is_asleep(self, facts: Facts) -> bool:
        until = facts.update.snoozed_until
        return until is not None and facts.now < until

    def _moments(self, facts: Facts) -> Iterator[datetime]:
        """When something of this changes though nothing happens."""
        update, asked = facts.update, asked_at(facts.update)
        step = state_line.next_step(update, facts.progress, now=facts.now)
        if step is not None:
            yield step
        yield from self.cards.moments(facts)
        if asked is None:
            return
        due = [*self._reminders(update, asked)]
        due += [at for _, _, at in self._escalations(update, asked)]
        yield from (at for at in due if at > facts.now)


def asked_at(update: Update) -> datetime | None:
    """Return since when people are asked; a snooze begins it anew. None: they are not."""
    if update.state is not S.AWAITING_APPROVAL or update.policy.approval.auto:
        return None
    began = state_line.since(update)
    return max(began, update.snoozed_until) if update.snoozed_until else began


def _round(update: Update) -> str:
    """Return what names the letters of asking after a snooze: those from before were said once."""
    return f"-{update.snoozed_until:%Y%m%d-%H%M%S}" if update.snoozed_until else ""


def _title(update: Update) -> str:
    """Whose pool it is stands before every nudge."""
    return f"the update to {update.target.release_version}"
