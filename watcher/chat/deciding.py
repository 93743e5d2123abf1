"""Clicks and forms: what was clicked on is what is decided about, or nothing is.

A button carries the update and the binding that was shown beside it. Whatever has become of the
update meanwhile, the person learns it privately, and nothing changes.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from watcher.chat.places import Place, Reading
from watcher.chat.waiting import soon
from watcher.clients.slack import answers, modals
from watcher.core.approval import CHAT
from watcher.core.facts import Digest, Malformed
from watcher.core.moments import next_window, parse_until
from watcher.errors import Declined
from watcher.people import Outcome, People
from watcher.planner import Planner
from watcher.ports import Meter
from watcher.ports_telling import Click, Command, Content, Heard, Listener, Reply, Submitted
from watcher.rights import Rights
from watcher.telling.cards import Cards

BUTTON, FORM, COMMAND = "slack button", "slack form", "slack command"
QUESTIONS = frozenset({"details", "update"})
"""What decides nothing: asking about something unknown is no refused attempt."""
MOST_CARRIED = 3000


@dataclass(frozen=True, slots=True)
class _Carried:
    """What a button or a form brings back."""

    update: str
    binding: Digest | None
    choice: str = ""


class NotOurs(Exception):
    """The value was not made by us; the sentence is for the person who clicked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatListener(Listener):
    people: People
    planner: Planner
    rights: Rights
    cards: Cards
    reading: Reading
    command: Callable[[Command], Awaitable[Reply]]
    meter: Meter | None = None

    async def commanded(self, command: Command) -> Reply:
        """See `ports_telling.Listener`."""
        return await self._answered(command, self.command(command))

    async def clicked(self, click: Click) -> Reply:
        """See `ports_telling.Listener`."""
        return await self._answered(click, self._clicked(click))

    async def submitted(self, form: Submitted) -> Reply:
        """See `ports_telling.Listener`."""
        try:
            return await self._submitted(form)
        except (Declined, KeyError, NotOurs) as error:
            await self._noted(form, error)
            return Reply(view=modals.failed(_sentence(error)))

    async def turned_away(self, heard: Heard, because: str) -> None:
        """See `ports_telling.Listener`."""
        await self._refused(heard, because)

    def excuse(self, because: str) -> Content:
        """See `ports_telling.Listener`."""
        return answers.answer(
            f"This is not known to be saved, so do not count on it: {because}. Try again in a "
            "moment; the message shows what was counted."
        )

    async def _answered(self, heard: Heard, work: Awaitable[Reply]) -> Reply:
        try:
            return await work
        except (Declined, KeyError, NotOurs) as error:
            await self._noted(heard, error)
            return Reply(answer=answers.answer(_sentence(error)))

    async def _noted(self, heard: Heard, error: Exception) -> None:
        """Count a refusal, and audit one that came before anybody could decide about it."""
        if isinstance(error, Declined):
            if self.meter:
                self.meter.declined("slack")
        elif _attempt(heard)[0] not in QUESTIONS:
            await self._refused(heard, _sentence(error))

    async def _refused(self, heard: Heard, because: str) -> None:
        if self.meter:
            self.meter.declined("slack")
        what, surface, said = _attempt(heard)
        if said.binding is not None:
            because += f" (it carried binding {said.binding})"
        by = CHAT + heard.user[:60]
        await self.people.refused(
            said.update, what.capitalize(), by=by, because=because, surface=surface
        )

    async def _clicked(self, click: Click) -> Reply:
        said, by = _read(click.value), CHAT + click.user
        match click.action:
            case "approve":
                outcome = await self.people.approve(
                    said.update, by=by, binding=_bound(said), surface=BUTTON
                )
            case "snooze":
                outcome = await self._snoozed(said, by)
            case "reject":
                return await self._ask_why(said, click, by)
            case "details":
                return await self._details(said.update)
            case _:
                raise NotOurs("this button is not known any more; look at the newest message")
        return Reply(answer=answers.answer(outcome.sentence))

    async def _snoozed(self, said: _Carried, by: str) -> Outcome:
        update, now = await self.reading.update(said.update), self.cards.clock.now()
        try:
            until = parse_until(
                said.choice,
                now=now,
                zone=self.cards.zone(update),
                next_window=next_window(update.policy.windows, update.policy.blackouts, now=now),
            )
        except ValueError as error:
            raise NotOurs(str(error)) from error
        return await self.people.snooze(
            said.update, by=by, until=until, binding=_bound(said), surface=BUTTON
        )

    async def _ask_why(self, said: _Carried, click: Click, by: str) -> Reply:
        """Open the form, unless it is clear already that the answer would not count."""
        update = await self.people.may(
            said.update, "Reject", by=by, binding=_bound(said), surface=BUTTON
        )
        view = modals.reject_modal(
            update=update.id,
            binding=str(said.binding or ""),
            pool=f"{update.cluster}/{update.pool}",
            reason_required=update.policy.approval.reason_required,
            channel=click.channel,
            ts=click.message,
        )
        return Reply(view=view)

    async def _details(self, update_id: str) -> Reply:
        facts = await self.cards.facts(await self.reading.update(update_id))
        view = modals.details_modal(self.cards.details(facts), self.cards.card(facts))
        return Reply(view=view)

    async def _submitted(self, form: Submitted) -> Reply:
        by = CHAT + form.user
        if form.form == "stock":
            return await self._stock(form, by)
        if form.form != "reject":
            raise NotOurs("this form is not known any more")
        said, reason = _read(form.carried), form.values.get("reason", "")
        update = await self.reading.update(said.update)
        if update.policy.approval.reason_required and not reason.strip():
            return Reply(errors={"reason": "This pool's policy asks for a reason."})
        outcome = await self.people.reject(
            said.update, by=by, binding=_bound(said), reason=reason, surface=FORM
        )
        return Reply(answer=answers.answer(outcome.sentence))

    async def _stock(self, form: Submitted, by: str) -> Reply:
        carried = _json(form.carried)
        place = self.reading.place(f"{carried.get('k', '')}/{carried.get('p', '')}")
        return await self.ask_stock(place, by=by, surface=FORM)

    async def ask_stock(self, place: Place, *, by: str, surface: str) -> Reply:
        """Ask for the stock image; confirmed already."""
        await self.rights.check("Stock", str(place), by=by, surface=surface)

        async def work() -> Content:
            update = await self.planner.stock(place.cluster, place.pool, by=by, surface=surface)
            return answers.answer(f"{update.id} asks for the stock image: it is {update.state}")

        return await soon(work)


def _sentence(error: Exception) -> str:
    if isinstance(error, KeyError):
        named = str(error.args[0])[:80] if error.args else ""
        return (
            f"there is no update {named or '(none named)'}; `/relayer status` lists those there are"
        )
    return str(error)


def _attempt(heard: Heard) -> tuple[str, str, _Carried]:
    """Return what was tried, where, and about what; as far as that can be read."""
    match heard:
        case Click(action=action, value=value):
            return action[:40], BUTTON, _readable(value)
        case Submitted(form=form, carried=value):
            return form[:40], FORM, _readable(value)
        case Command(text=text):
            verb, update, *_ = (*text.split(maxsplit=2), "", "")
            return verb[:40].lower(), COMMAND, _Carried(update, None)
    return "chat", BUTTON, _Carried("", None)


def _readable(value: str) -> _Carried:
    try:
        return _read(value)
    except NotOurs:
        return _Carried("", None)


def _bound(said: _Carried) -> Digest:
    """What the button was shown beside; without it there is nothing to decide about."""
    if said.binding is None:
        raise NotOurs("there was nothing to decide yet when this was shown: look at it again")
    return said.binding


def _read(value: str) -> _Carried:
    carried = _json(value)
    try:
        binding = Digest(carried["b"]) if carried.get("b") else None
    except Malformed as error:
        raise NotOurs("this button carries nothing that can be decided about") from error
    return _Carried(carried.get("u", ""), binding, carried.get("c", ""))


def _json(text: str) -> Mapping[str, str]:
    try:
        found = json.loads(text[:MOST_CARRIED])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise NotOurs("this was not made by Relayer")
    return found
