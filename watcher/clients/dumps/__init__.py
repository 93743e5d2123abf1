"""Clusters from files alone: must-gathers, and what ``oc get … -o yaml`` or ``-o json`` printed.

Nothing but the given files is read, nothing is written, and nothing is asked of anybody. Objects
become facts by the same structs as those of a live cluster. Whatever cannot be read is a sentence
with its file and line, and the rest goes on; no sentence quotes what a file has in it, and of an
object of kind Secret nothing but kind and name is decoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watcher.clients.dumps.clusters import Views, grouped
from watcher.clients.dumps.limits import Budget, Limits
from watcher.clients.dumps.opening import read_files
from watcher.core.cluster import ClusterView

__all__ = ["Dumps", "Limits", "read_dumps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumps:
    """Everything that was read."""

    views: tuple[ClusterView, ...]
    """One for each cluster, in the order of their names. Each has its own `problems`."""
    problems: tuple[str, ...]
    """Sentences about what belongs to no view."""
    ignored: int
    """Objects of kinds that nobody asks for."""


def read_dumps(paths: Sequence[Path], *, limits: Limits | None = None, now: datetime) -> Dumps:
    """Read files, directories and archives, in any mix and of any number of clusters.

    `clusters` says which of them make one cluster. A view's `observed_at` is when the must-gather
    says that it ended, else when the newest of its files was written, and never later than `now`.
    Raise nothing: a path that is not there is a problem like any other.
    """
    budget = Budget(limits or Limits())
    read = read_files(paths, budget=budget)
    spent = (read.spent,) if read.spent else ()
    views = Views(now=now, limit=budget.limits.problems, told=spent)
    for group in grouped(read.files):
        views.add(group)
    nothing = () if views.clusters or views.problems or spent else (_nothing(paths),)
    return Dumps(
        views=tuple(sorted((c.view for c in views.clusters), key=lambda view: view.cluster)),
        problems=(*views.problems, *views.told_twice(), *nothing, *spent),
        ignored=read.ignored,
    )


def _nothing(paths: Sequence[Path]) -> str:
    where = ", ".join(str(path) for path in paths[:3]) or "no path"
    return (
        f"{where}: holds nothing of a cluster; expected is a must-gather, or the output of"
        " `oc get clusterversion,mcp,mc,nodes -o yaml`"
    )
