"""As `test_chat_stateful`, where two different people must approve, and one has two identities."""

from hypothesis import settings

from tests.chat import ANN, BOB, CAT, a_policy
from tests.chat_histories import STEPS, Histories
from tests.chat_judge import Rules


class TwoMust(Histories):
    about = Rules(
        policy=a_policy(quorum=2, approvers=("person:ann", f"slack:{BOB}", "person:cat")),
        may=frozenset({ANN, "U0ANN2", BOB, CAT}),
        quorum=2,
    )


TestTwoMust = TwoMust.TestCase
TestTwoMust.settings = settings(max_examples=2500, stateful_step_count=STEPS)
