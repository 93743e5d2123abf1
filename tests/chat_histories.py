"""Histories for `tests.chat_machine`, drawn so that they get far: each class counts where to."""

import asyncio
import random
from collections import Counter
from typing import ClassVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from structlog.testing import capture_logs

from tests.chat import ANN, BOB, CAT, EVE
from tests.chat_acts import Act, act, bound
from tests.chat_judge import Flight, Rules
from tests.chat_machine import Machine
from watcher.clients.store.memory_store import MemoryStore

HOUR, DAY = 3600, 24 * 3600
STEPS = 10
"""Of each history at most; most of them have several who act at the same time."""
Said = tuple[str, str, str, str, str]
WHO = (ANN, BOB, CAT, ANN, BOB, EVE, "U0ANN2")
WHAT = (
    *["approve button", "approve command", "reject form", "snooze button"] * 2,
    *["reject command", "reject opens", "snooze command"],
)
VALUES = (*["right"] * 15, "stale", "other", "garbage", "gone", "none")
WORDS = ("1h", "4h", "tomorrow", "", " ", "next-window", "nonsense", "<!channel>")
ORIGINS = (*["ours"] * 15, "team", "home", "app")


def _some(number: int) -> list[Said]:
    """Acts to draw from in one draw, the plainest first: a draw for each part costs too much."""
    chosen = random.Random(0)
    plain = [(who, "approve button", "right", "1h", "ours") for who in (ANN, BOB, CAT, EVE)]
    mixed = [
        tuple(chosen.choice(part) for part in (WHO, WHAT, VALUES, WORDS, ORIGINS))
        for _ in range(number)
    ]
    return [*plain * (number // 5), *mixed]  # type: ignore[list-item] # five words each


ACTS = st.sampled_from(_some(500))
SEEDS = st.integers(0, 2**16)
"""0: one after the other; else in turns as it has it."""
DEATHS = st.sampled_from((None, None, None, None, 1, 2, 3, 4, 5, 6, 8, 10))
"""At which of its moments a process is gone."""


class Histories(RuleBasedStateMachine):
    about: ClassVar[Rules]
    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._quiet = capture_logs()
        self._quiet.__enter__()
        self._runner = asyncio.Runner()
        self.machine = self.made()
        self.acts: list[Act] = []

    def made(self) -> Machine:
        return Machine(self.about, MemoryStore, self._runner.get_loop())

    def run(self, *flights: Flight, seed: int = 0) -> None:
        self.machine.run(flights, seed)

    @initialize()
    def an_update_waits_for_people(self) -> None:
        self.run(self.machine.planner())
        self.run(self.machine.engine("u-1"))

    @property
    def newest(self) -> str:
        return self.machine.updates[-1]

    def done(self, said: Said, back: int = 0) -> Act:
        who, what, value, words, origin = said
        updates = self.machine.updates
        about = self.machine.known[updates[max(0, len(updates) - 1 - back)]][1]
        other = bound(self.machine.known[updates[0]][1]) or "sha256:" + "6" * 64
        if other == bound(about):
            other = "sha256:" + "6" * 64
        made = act(who, what, about, value, words, origin, other)
        self.acts.append(made)
        return made

    @rule(said=ACTS, dies=DEATHS, back=st.sampled_from((0, 0, 0, 1)))
    def somebody_acts(self, said: Said, dies: int | None, back: int) -> None:
        self.run(self.machine.delivery(self.done(said, back), dies))

    @rule(one=ACTS, other=ACTS, dies=DEATHS, seed=SEEDS)
    def two_act_while_the_engine_works(
        self,
        one: Said,
        other: Said,
        dies: int | None,
        seed: int,
    ) -> None:
        self.run(
            self.machine.delivery(self.done(one), dies),
            self.machine.delivery(self.done(other)),
            self.machine.engine(self.newest),
            seed=seed,
        )

    @rule(which=st.integers(1, 3), dies=DEATHS, seed=SEEDS)
    def the_same_comes_again(self, which: int, dies: int | None, seed: int) -> None:
        if not self.acts:
            return
        again = self.acts[-min(which, len(self.acts))]
        flights = [self.machine.delivery(again, dies), self.machine.delivery(again)]
        self.run(*flights, seed=seed)

    @rule(seed=SEEDS, dies=DEATHS)
    def the_engine_works_at_it_twice(self, seed: int, dies: int | None) -> None:
        self.run(
            self.machine.engine(self.newest, dies), self.machine.engine(self.newest), seed=seed
        )

    @rule(said=ACTS, seed=SEEDS, dies=DEATHS)
    def it_is_replaced_while_somebody_acts(self, said: Said, seed: int, dies: int | None) -> None:
        self.run(self.machine.planner(dies), self.machine.delivery(self.done(said)), seed=seed)
        self.run(self.machine.engine(self.newest))

    @rule(by=st.sampled_from((HOUR, 13 * HOUR, 25 * HOUR, 8 * DAY)), said=ACTS, seed=SEEDS)
    def time_passes_while_somebody_acts(self, by: int, said: Said, seed: int) -> None:
        self.run(
            self.machine.ticking(by),
            self.machine.delivery(self.done(said)),
            self.machine.engine(self.newest),
            seed=seed,
        )

    @rule(seed=SEEDS, said=ACTS)
    def what_it_is_about_changes_while_somebody_acts(self, seed: int, said: Said) -> None:
        self.run(
            self.machine.rewriter(self.newest), self.machine.delivery(self.done(said)), seed=seed
        )

    @rule(changed=st.booleans())
    def the_configuration_changes(self, changed: bool) -> None:
        self.machine.configure(changed=changed)

    @rule(seed=SEEDS)
    def it_is_frozen_or_not_any_more(self, seed: int) -> None:
        self.run(self.machine.freezer(), self.machine.engine(self.newest), seed=seed)

    def teardown(self) -> None:
        self._quiet.__exit__(None, None, None)
        self._runner.close()
        states = {str(job.state) for _, job in self.machine.known.values()}
        seen = [name for name, count in self.machine.seen.items() if count]
        for name in (*seen, *(f"ends {state}" for state in states)):
            event(name)
            self.reached[name] += 1
        self.reached["histories"] += 1
