"""What somebody does in a made-up Slack: as a payload of Slack's, and judged without our code.

`Act.may_count` says once more, in other words than the product, whose act may decide about what.
"""

import hashlib
import itertools
import json
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.chat import ANN, APP, BOB, CAT, EVE, TEAM
from watcher.core.update import Policy, Update

HUMANS = {ANN: "ann", BOB: "bob", CAT: "cat", EVE: "eve", "U0ANN2": "ann"}
"""Who is behind an identity: Ann has two."""
_numbers = itertools.count(1)


@cache
def _policy(policy: Policy) -> str:
    return policy.digest()


def bound(update: Update) -> str:
    """What an approval of the update as it is must be bound to, worked out anew."""
    if update.image is None:
        return ""
    parts = (
        update.id,
        update.image.digest,
        update.target.base.digest,
        update.target.recipe_digest,
        _policy(update.policy),
    )
    return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that one person did, once; it may be delivered several times."""

    number: int
    user: str
    action: str
    """approve, reject, snooze"""
    way: str
    """button, form, command; or `opens`: the button that opens the form."""
    update: str
    value: str
    """What the button or form carries."""
    binding: str | None
    """What it carries as the binding; None: a command, which is about what is there now."""
    words: str = ""
    """Reason or duration."""
    team: str = TEAM
    home: str = TEAM
    app: str = APP

    @property
    def is_ours(self) -> bool:
        return (self.team, self.home, self.app) == (TEAM, TEAM, APP)

    @property
    def human(self) -> str:
        return HUMANS[self.user]

    def may_count(self, before: Update, may: Set[str]) -> bool:
        """Whether it may decide about the update as it was right before."""
        fits = self.binding is None or (self.binding == bound(before) and bool(self.binding))
        return self.is_ours and self.user in may and self.update == before.id and fits

    def body(self) -> dict[str, Any]:
        """The payload, the same at every delivery."""
        trigger = f"{self.number}.trigger"
        if self.way == "command":
            return {
                "command": "/relayer",
                "text": f"{self.action} {self.update} {self.words}",
                "team_id": self.team,
                "api_app_id": self.app,
                "user_id": self.user,
                "channel_id": "C1",
                "trigger_id": trigger,
            }
        common = {
            "team": {"id": self.team},
            "api_app_id": self.app,
            "user": {"id": self.user, "team_id": self.home},
            "trigger_id": trigger,
        }
        if self.way == "form":
            values = {"reason": {"reason": {"type": "plain_text_input", "value": self.words}}}
            view = {
                "id": f"V{self.number}",
                "hash": "h",
                "callback_id": "reject",
                "private_metadata": self.value,
                "state": {"values": values},
            }
            return {**common, "type": "view_submission", "view": view}
        pressed = {"action_id": self.action, "action_ts": f"{self.number}.0", "value": self.value}
        return {
            **common,
            "type": "block_actions",
            "container": {"message_ts": "1.0"},
            "channel": {"id": "C1"},
            "actions": [pressed],
        }


def act(
    user: str, what: str, about: Update, value: str, words: str, origin: str, other: str
) -> Act:
    """`what` like "approve button"; `value`: what the button carries instead of what it should."""
    action, _, way = what.partition(" ")
    update, binding = about.id, bound(about)
    if value == "gone":
        update = "u-gone"
    carried = {
        "u": update,
        "b": {"stale": "sha256:" + "5" * 64, "other": other}.get(value, binding),
    }
    if value == "none":
        carried["b"] = ""
    if action == "snooze":
        carried["c"] = words
    text = "no json" if value == "garbage" else json.dumps(carried, separators=(",", ":"))
    of_command = way == "command"
    return Act(
        number=next(_numbers),
        user=user,
        action=action,
        way=way,
        update=update if of_command or value != "garbage" else "",
        value="" if of_command else text,
        binding=None if of_command else carried["b"],
        words=words,
        team="T0OTHER" if origin == "team" else TEAM,
        home="T0OTHER" if origin == "home" and not of_command else TEAM,
        app="A0OTHER" if origin == "app" else APP,
    )
