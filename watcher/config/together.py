"""What each pool's settings cannot do together, once `defaults.policy` and its own are merged."""

from collections.abc import Iterator

from watcher.config import durations
from watcher.config.text import Node, Problem
from watcher.core.approval import GROUP, PERSON
from watcher.core.order import cycle
from watcher.settings import PoolSettings, Settings

MOST_SHOWN = 6
"""Places of a circle that are named."""


def of_pools(settings: Settings, root: Node, file: str) -> list[Problem]:
    """Return every such mistake, at the line that says it, be it the pool's own or the common."""
    found = []
    for number, pool in enumerate(settings.pools):
        said = (*_of_quorum(settings, pool), *_of_authors(settings, pool), *_of_times(pool))
        for keys, message in said:
            where, line = _where(root, number, keys)
            found.append(Problem(file, line, f"{where}: {message}"))
    for number, message in _of_order(settings):
        _, line = _where(root, number, ("after",))
        found.append(Problem(file, line, f"pools[{number}]: {message}"))
    return found


Said = Iterator[tuple[tuple[str, ...], str]]
"""Keys below the policy that are concerned, the one to be told of first; and the sentence."""


def _where(root: Node, number: int, keys: tuple[str, ...]) -> tuple[str, int]:
    """Return what a mistake is told of, and its line: where one of the keys is written.

    What the pool itself says comes first: without it there would be no mistake.
    """
    for policy, name in (
        (("pools", number, "policy"), f"pools[{number}]"),
        (("defaults", "policy"), "defaults.policy"),
    ):
        for key in keys:
            path = (*policy, *key.split("."))
            node = root.get(*path)
            if node is not None and node.value is not None:
                return name, root.line_of(path)
    return f"pools[{number}]", root.line_of(("pools", number))


def _one(settings: Settings, identity: str) -> str:
    """What an identity is counted under: that of its person, if it is anybody's."""
    person = settings.person_of(identity)
    return PERSON + person if person else identity


def _of_quorum(settings: Settings, pool: PoolSettings) -> Said:
    rules = pool.policy.approval
    listed = set(rules.approvers)
    able = len({_one(settings, identity) for identity in listed})
    if not listed or rules.quorum <= able or any(one.startswith(GROUP) for one in listed):
        return  # how many a group has is not known here
    few = f"only {able} approver(s) are listed"
    if able < len(listed):
        few = f"the {len(listed)} approvers are only {able} different person(s)"
    keys = ("approval.quorum", "approval.approvers")
    yield keys, f"quorum is {rules.quorum}, but {few}"


def _of_authors(settings: Settings, pool: PoolSettings) -> Said:
    rules = pool.policy.approval
    recipe = next((r for r in settings.recipes if r.name == pool.recipe), None)
    authors = {_one(settings, identity) for identity in recipe.authors} if recipe else set()
    if not rules.two_person or not rules.approvers:
        return
    if {_one(settings, identity) for identity in rules.approvers} <= authors:
        yield (
            ("approval.approvers", "approval.two_person"),
            f"two_person, but every approver of {pool.cluster}/{pool.pool} is an author of recipe"
            f" {pool.recipe}: nobody could be the second",
        )


def _of_times(pool: PoolSettings) -> Said:
    ask = pool.policy.approval.ask_seconds
    later = [("remind", seconds) for seconds in pool.asking.remind_seconds]
    later += [("escalate", one.after_seconds) for one in pool.asking.escalate]
    for key, seconds in later:
        if seconds >= ask:
            yield (
                (f"approval.{key}", "approval.ask"),
                f"{key} after {durations.text(seconds)} would come too late: an update waits for"
                f" its decision for {durations.text(ask)} (ask)",
            )


def _of_order(settings: Settings) -> Iterator[tuple[int, str]]:
    numbers = {f"{pool.cluster}/{pool.pool}": n for n, pool in enumerate(settings.pools)}
    rules: dict[str, list[str]] = {}
    for place, number in numbers.items():
        behind = [after.place for after in settings.pools[number].policy.after]
        rules[place] = [other for other in behind if other in numbers and other != place]
        if place in behind:
            yield number, f"{place} comes after itself; give it an `after` of its own, or []"
    while circle := cycle(rules):
        more = f"… ({len(circle) - MOST_SHOWN} more)" if len(circle) > MOST_SHOWN else ""
        shown = " after ".join((*circle[:MOST_SHOWN], *filter(None, (more, circle[0]))))
        yield numbers[circle[0]], f"{shown}: none of them would ever begin"
        rules[circle[0]] = []
