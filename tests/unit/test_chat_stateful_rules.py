"""As `test_chat_stateful`, with the two-person rule, and with reasons that must be given."""

from hypothesis import settings

from tests.chat import ANN, BOB, CAT, a_policy
from tests.chat_histories import STEPS, Histories
from tests.chat_judge import Rules


class NotTheAuthorAlone(Histories):
    about = Rules(
        policy=a_policy(two_person=True, approvers=("person:ann", f"slack:{BOB}")),
        may=frozenset({ANN, "U0ANN2", BOB}),
        not_alone="ann",
    )


class ReasonsAreGiven(Histories):
    about = Rules(
        policy=a_policy(reason_required=True, approvers=(f"slack:{ANN}", "person:cat")),
        may=frozenset({ANN, CAT}),
    )


TestNotTheAuthorAlone = NotTheAuthorAlone.TestCase
TestNotTheAuthorAlone.settings = settings(max_examples=2500, stateful_step_count=STEPS)
TestReasonsAreGiven = ReasonsAreGiven.TestCase
TestReasonsAreGiven.settings = settings(max_examples=2400, stateful_step_count=STEPS)
