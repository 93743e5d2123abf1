"""Whatever people, crashes and duplicates do: nothing is applied that was not approved so.

Here one approval is enough; its siblings need two, or somebody else than the author, or a real
Redis that is killed. Together they are 10,000 histories.
"""

from collections import Counter
from typing import ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chat import ANN, BOB, a_policy
from tests.chat_histories import STEPS, Histories
from tests.chat_judge import Rules


class OneIsEnough(Histories):
    about = Rules(policy=a_policy(), may=frozenset({ANN, BOB}))


def test_one_is_enough_and_the_histories_get_far_enough_to_prove_something() -> None:
    class Counted(OneIsEnough):
        reached: ClassVar[Counter[str]] = Counter()

    # Not a few extra ones: what hypothesis draws depends on which modules are loaded beside it.
    run_state_machine_as_test(
        Counted, settings=settings(max_examples=2500, stateful_step_count=STEPS)
    )
    reached, drawn = Counted.reached, Counted.reached["histories"]
    for name, share in {
        "approve counted": 0.2,
        "to scheduled": 0.2,
        "to applying": 0.1,
        "ends rolling-out": 0.05,
        "to expired": 0.02,
        "to superseded": 0.05,
        "reject counted": 0.003,
        "snooze counted": 0.003,
        "refused": 0.3,
        "from elsewhere": 0.1,
        "again": 0.05,
        "died": 0.2,
        "died after its commit": 0.01,
    }.items():
        assert reached[name] >= share * drawn, (name, reached)
