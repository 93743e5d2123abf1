"""What kind of change an update is, and what the policy does about that kind."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from watcher.core import mco


class Change(StrEnum):
    PATCH = "patch"
    """Another version of the same minor release."""
    MINOR = "minor"
    """Another minor or major release, newer or older."""
    RECIPE = "recipe"
    """The same release with another recipe or build."""
    FIRST = "first"
    """Nothing is layered yet, or nobody knows what runs."""


class Mode(StrEnum):
    NOTIFY = "notify"
    """Tell that there is something to do, and do nothing."""
    APPROVE = "approve"
    """Ask, and act when people approve."""
    AUTO = "auto"
    """Act without asking."""


def change_of(running_release: str, target_release: str) -> Change:
    """Return what kind of change leads from one version to another; never raises."""
    try:
        running, target = mco.minor_of(running_release), mco.minor_of(target_release)
    except ValueError:
        return Change.FIRST
    if running != target:
        return Change.MINOR
    return Change.RECIPE if running_release == target_release else Change.PATCH


def mode_for(
    mode: Mode, modes: Mapping[str, str] | Iterable[tuple[str, str]], change: Change
) -> Mode:
    """Return the mode of a kind of change: its own, else the general one.

    Raise ValueError for a mode that does not exist.
    """
    pairs = modes.items() if isinstance(modes, Mapping) else modes
    return Mode(dict(pairs).get(change, mode))
