"""What must be true of every commit, every answer and the memory, judged from what people did.

Not from what the product wrote down of it: who may, what a binding is, when it is too late and how
many are enough is said here once more, in other words.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.chat_acts import HUMANS, Act, bound
from tests.facts import T0, seconds
from tests.fakes import FixedClock
from watcher.clients.store.rows import HANDLED_SECONDS
from watcher.core.update import Policy, Update
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry, Change, Store
from watcher.ports_telling import Reply

S = UpdateState
COUNTED = ("is approved by", "counted;", "is rejected; the", "is put off until", "counts once")
WAYS = {"button": "slack button", "form": "slack form", "command": "slack command"}
TIMES = ("1h", "4h", "tomorrow", "", " ")
"""Words for a time here, where there are no windows."""


@dataclass(eq=False)
class Flight:
    """One delivery of one act, or one turn of somebody else, while it runs."""

    name: str
    act: Act | None = None
    work: Coroutine[Any, Any, Any] | None = None
    dies_at: int | None = None
    """After so many moments its process is gone."""
    moments: int = 0
    task: asyncio.Task[None] | None = None
    turn: asyncio.Future[None] | None = None
    """Done when it has come to its next moment, or its end."""
    gate: asyncio.Future[None] | None = None
    """Holds it at a moment."""
    ended: bool = False
    died: bool = False
    """Nobody knows what became of it: it was not acknowledged."""
    reply: Reply | None = None
    started: datetime = T0
    frozen_then: bool = False
    settled_then: bool = False
    """Whether its act had been acknowledged before it started."""
    commits: list[tuple[Update, Update]] = field(default_factory=list)
    entries: list[AuditEntry] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """What one machine is about."""

    policy: Policy
    may: frozenset[str]
    """Identities that may decide, once more."""
    quorum: int = 1
    not_alone: str = ""
    """Whose vote alone does not do."""


class Judge:
    def __init__(self, rules: Rules, clock: FixedClock, loop: asyncio.AbstractEventLoop) -> None:
        self.store: Store
        self.loop = loop
        self.rules, self.clock = rules, clock
        self.configured = rules.policy
        self.frozen = False
        self.updates: list[str] = []
        self.known: dict[str, tuple[int, Update]] = {}
        self.deadline: dict[str, tuple[datetime, datetime]] = {}
        """Between which two moments the time to decide ends."""
        self.approved: dict[str, tuple[datetime, datetime]] = {}
        """Between which two moments it was approved."""
        self.given: dict[tuple[str, str], set[str]] = {}
        """Update and binding → humans whose approval for exactly that was saved in time."""
        self.asleep: dict[str, datetime] = {}
        self.entries: list[AuditEntry] = []
        self.settled: dict[int, datetime] = {}
        """Numbers of acts that were acknowledged, and when: it is remembered for an hour."""
        self.seen: Counter[str] = Counter()

    def at_once(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something that nobody can come between."""
        return self.loop.run_until_complete(work)

    def begins(self, flight: Flight) -> None:
        """What is true now is what it begins with."""
        flight.started, flight.frozen_then = self.clock.now(), self.frozen
        if flight.act is not None and (at := self.settled.get(flight.act.number)):
            flight.settled_then = self.clock.now() < at + seconds(HANDLED_SECONDS)

    # --- commits --------------------------------------------------------------------------------

    def committed(
        self, flight: Flight, changes: Sequence[Change], audit: Sequence[AuditEntry]
    ) -> None:
        self.entries += audit
        flight.entries += audit
        for change in changes:
            after = change.job
            assert isinstance(after, Update)
            had = self.known.get(after.id)
            assert change.expected == (had[0] if had else 0)
            self.known[after.id] = (change.expected + 1, after)
            if had is None:
                self.updates.append(after.id)
                continue
            flight.commits.append((had[1], after))
            self._judge(flight, had[1], after)

    def _judge(self, flight: Flight, before: Update, after: Update) -> None:
        news = [vote for vote in after.votes if vote not in before.votes]
        if flight.act is None:
            assert not news
            assert before.snoozed_until == after.snoozed_until or after.approval
            assert after.state is not S.REJECTED
        else:
            self._judge_act(flight, flight.act, before, after)
        if after.state is not before.state:
            self.seen[f"to {after.state}"] += 1
            self._judge_state(flight, before, after)

    def _judge_act(self, flight: Flight, act: Act, before: Update, after: Update) -> None:
        assert act.may_count(before, self.rules.may), f"{act} must not count"
        assert act.way != "opens", "only the form decides"
        assert before.state in (S.WAITING_FOR_BUILD, S.AWAITING_APPROVAL, S.SCHEDULED)
        match act.action:
            case "approve":
                assert before.state is S.AWAITING_APPROVAL
                assert flight.started < self.deadline[before.id][1], "too late"
                assert after.state in (S.AWAITING_APPROVAL, S.SCHEDULED)
                given = self.given.setdefault((before.id, bound(before)), set())
                assert act.human not in given, "counted twice"
                given.add(act.human)
            case "reject":
                assert after.state is S.REJECTED
                asked = self.rules.policy.approval.reason_required
                assert not asked or act.words.strip(), "a reason is asked for"
            case "snooze":
                assert (after.state, after.votes) == (before.state, before.votes)
                self._judge_snooze(flight, before, after)

    def _judge_snooze(self, flight: Flight, before: Update, after: Update) -> None:
        until, month = after.snoozed_until, timedelta(days=30)
        assert until is not None
        assert flight.started < until <= self.clock.now() + month
        self.asleep[before.id] = until
        if before.state is S.AWAITING_APPROVAL:
            low, high = self.deadline[before.id]
            assert flight.started < high, "too late"
            again = until + seconds(before.policy.approval.ask_seconds)
            self.deadline[before.id] = max(again, low), max(again, high)
        else:
            assert until < self._approved_until(before)[1]

    def _judge_state(self, flight: Flight, before: Update, after: Update) -> None:
        now = self.clock.now()
        match after.state:
            case S.AWAITING_APPROVAL:
                ask = seconds(after.policy.approval.ask_seconds)
                self.deadline[after.id] = flight.started + ask, now + ask
            case S.SCHEDULED:
                self._enough(after)
                assert flight.started < self.deadline[after.id][1], "too late"
                self.approved[after.id] = flight.started, now
                self.asleep.pop(after.id, None)
            case S.APPLYING:
                assert flight.act is None, "nobody applies by clicking"
                self._enough(after)
                assert flight.started < self._approved_until(after)[1], "the approval is over"
                assert self.asleep.get(after.id, T0) <= now, "it is put off"
                assert not (self.frozen and flight.frozen_then), "it is frozen"
                assert after.policy == self.configured, "the policy has changed"
            case S.EXPIRED if before.state is S.AWAITING_APPROVAL:
                assert now >= self.deadline[after.id][0], "too early"
            case S.EXPIRED:
                assert now >= self._approved_until(before)[0], "too early"

    def _enough(self, after: Update) -> None:
        """The quorum of different humans who may, for exactly what it is now."""
        humans = self.given.get((after.id, bound(after)), set())
        assert humans <= {HUMANS[user] for user in self.rules.may}
        assert len(humans) >= self.rules.quorum, f"{humans} are not enough"
        assert humans - {self.rules.not_alone}, "its author alone is not enough"

    def _approved_until(self, update: Update) -> tuple[datetime, datetime]:
        keep = seconds(update.policy.approval.keep_seconds)
        low, high = self.approved[update.id]
        return low + keep, high + keep

    # --- answers --------------------------------------------------------------------------------

    def finished(self, flight: Flight) -> None:
        act, reply = flight.act, flight.reply
        if flight.died:
            self.seen["died"] += 1
            self.seen["died after its commit"] += bool(flight.commits)
        elif act is not None:
            assert reply is not None
            self._judge_reply(flight, act, reply)

    def _judge_reply(self, flight: Flight, act: Act, reply: Reply) -> None:
        if not act.is_ours:
            assert reply == Reply(), "whoever is from elsewhere hears nothing"
            self._refused(flight, act)
            self.seen["from elsewhere"] += 1
            return
        if flight.settled_then:
            assert not flight.commits, "an act that was acknowledged decided again"
            assert not flight.entries
            self.seen["again"] += 1
            return
        if reply.errors:
            assert not flight.commits
            return
        if reply == Reply():
            assert act.number in self.settled or self.given or self.entries
            assert not flight.commits
            self.seen["together"] += 1  # another delivery of it came first
            return
        self.settled.setdefault(act.number, flight.started)
        said = _text(reply)
        if reply.view and reply.view.get("callback_id"):
            assert act.way == "opens"
            assert not flight.commits
            assert act.user in self.rules.may
        elif any(words in said for words in COUNTED):
            self._counted(flight, act, said)
        else:
            self._refused(flight, act)
            self.seen["refused"] += 1

    def _counted(self, flight: Flight, act: Act, said: str) -> None:
        """What is told as counted is in the memory, with its audit entry."""
        if "counts once" in said:
            # For what it was when this was read; it may have been rewritten since.
            given = [who for (about, _), who in self.given.items() if about == act.update]
            assert any(act.human in who for who in given)
            return
        assert len(flight.commits) == 1, said
        audit = self.at_once(self.store.audit(act.update))
        assert all(entry in audit for entry in flight.entries)
        what = {"approve": "Voted", "reject": "Rejected", "snooze": "Snoozed"}[act.action]
        (entry,) = [entry for entry in flight.entries if entry.event == what]
        assert (entry.by, entry.surface) == (f"slack:{act.user}", WAYS[act.way])
        assert entry.binding == bound(flight.commits[0][0])
        self.seen[f"{act.action} counted"] += 1

    def _refused(self, flight: Flight, act: Act) -> None:
        """Nothing changed, and it is audited under the name and way of who tried."""
        assert not flight.commits, "refused, and yet something changed"
        no_time = (act.action, act.way) == ("snooze", "command") and act.words not in TIMES
        if act.is_ours and no_time and not flight.entries:
            return  # it was no attempt yet
        (entry,) = flight.entries
        assert entry.event.endswith("Declined")
        assert entry.by == f"slack:{act.user}"
        assert entry.surface == WAYS.get(act.way, "slack button")
        if act.binding and len(act.binding) == 71 and act.value != "no json":
            assert act.binding in (entry.binding, *entry.detail.rstrip(")").split())

    # --- the memory -----------------------------------------------------------------------------

    def check(self) -> None:
        """The memory is what was committed, to the last entry; and nobody else is in it."""
        for update_id, (version, job) in self.known.items():
            stored = self.at_once(self.store.get(update_id))
            assert (stored.version, stored.job) == (version, job)
            assert {vote.by.removeprefix("slack:") for vote in job.votes} <= self.rules.may
        audit = self.at_once(self.store.audit())
        assert len(audit) == len(self.entries)
        assert set(audit) == set(self.entries)


def _text(reply: Reply) -> str:
    return str(reply.answer["text"]) if reply.answer else str(reply.view)
