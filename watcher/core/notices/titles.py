"""What a notice says: its title, its sentence, and the pools that it names."""

from collections.abc import Sequence

from watcher.core.alerts.model import Case, Rule
from watcher.core.notices.memory import PLACES, SENTENCE


def bounded(names: Sequence[str]) -> tuple[str, ...]:
    """Return the pools that are named, and how many more there are."""
    more = len(names) - PLACES
    return (*names[:PLACES], f"and {more} more") if more > 0 else tuple(names)


def is_cut(places: Sequence[str]) -> bool:
    return len(places) > PLACES


def sentence_of(group: Sequence[Case]) -> str:
    """Return why; where the words differ from pool to pool, those of the first."""
    first = group[0]
    alike = all(case.sentence == first.sentence for case in group)
    text = first.sentence if alike else f"for one, {first.place}: {first.sentence}"
    return text if len(text) <= SENTENCE else text[: SENTENCE - 1] + "…"


def title_of(case: Case, names: Sequence[str]) -> str:
    """Return one line; `names` are all of its places."""
    pools, are, what = _pools(names), "is" if len(names) == 1 else "are", case.what
    block = "blocks" if len(names) == 1 else "block"
    match case.rule:
        case Rule.LAG:
            return f"{pools} {are} behind {what or 'the release'}"
        case Rule.BLOCKS_MINOR:
            return f"{pools} {block} the upgrade to {what}"
        case Rule.BLOCKS_PATCH:
            return f"{pools} {block} every upgrade"
        case Rule.CERTIFICATE:
            return f"Certificates end on {pools}"
        case Rule.PAUSED:
            return f"{pools} {are} paused"
        case Rule.DEGRADED:
            return f"{pools} {are} degraded"
        case Rule.UNPULLABLE:
            return f"The image of {pools} cannot be pulled"
        case Rule.UNVERIFIED:
            return f"The release for {pools} is not proven genuine"
        case Rule.HELD:
            return f"{pools} {are} held"
        case Rule.UPDATE_STUCK:
            return f"{pools} could not be put back"
        case Rule.APPROVAL_WAITING:
            return f"{what or 'An update'} waits for approval for {pools}"
        case Rule.ROLLOUT_STALLED:
            return f"The rollout of {pools} is late"
        case Rule.BUILD_FAILING:
            return f"Builds of recipe {what} fail"
        case Rule.BLIND:
            return f"{what} is not seen" if what else f"{pools} {are} not looked at"
        case Rule.QUEUE_NOT_MOVING:
            return f"Jobs of kind {what} are not worked on"
        case Rule.AVAILABLE:
            return f"{what or 'An update'} is there for {pools}"
        case Rule.FROZEN:
            word = "held" if "/" in what else "frozen"
            return f"{what or 'Everything'} is {word} by a person"


def _pools(names: Sequence[str]) -> str:
    clusters = {name.rpartition("/")[0] for name in names}
    if len(names) == 1:
        return names[0]
    return f"{len(names)} pools of " + (
        next(iter(clusters)) if len(clusters) == 1 else f"{len(clusters)} clusters"
    )
