"""What a path within a dump says: whether it is read at all, and whose it is.

``oc adm must-gather`` and ``oc adm inspect`` write (oc pkg/cli/admin/inspect/resource.go)
``cluster-scoped-resources/<group or core>/<plural>/<name>.yaml``, or one ``<plural>.yaml`` of all,
and ``namespaces/<namespace>/<group or core>/<plural>…`` likewise. There only what can matter is
opened. Anywhere else it is the file's name that counts.
"""

import re
from typing import Any

from watcher.clients.kube import kinds
from watcher.clients.kube.kinds import Kind

Parts = tuple[str, ...]
"""A path, an archive in it being a directory like any other."""

CLUSTER_SCOPED, NAMESPACES = "cluster-scoped-resources", "namespaces"
TIMESTAMP = "timestamp"
"""``oc`` writes into it when it began and when it ended."""

_READABLE = re.compile(r"(?i)\.(?:ya?ml|json|jsonl|ndjson)(?:\.gz)?$")
_ARCHIVE = re.compile(r"(?i)\.(?:tar|tar\.gz|tgz)$|^[^.]+\.gz$")
_ENDING = re.compile(r"(?i)\.(?:ya?ml|json|jsonl|ndjson|tar|tgz|gz|txt)$")
_GATHERED = re.compile(r"(?i)(?:must-gather|inspect)\.local\.")
_BY_IMAGE = re.compile(r"(?i)-sha256-[0-9a-f]{8,}")
_GENERIC = re.compile(
    r"(?i)(?:must-gather|inspect|dumps?)(?:[._-]?(?:local)?[._-]?\d*)|.*-sha256-.*|tmp|fd|stdin|[0-9]*|\W*"
)

_KIND_WORDS = (
    "cv|clusterversions?|mcps?|machineconfigpools?|pools?|mcs?|machineconfigs?|nodes?|cms?"
    "|configmaps?|osimageurls?|moscs?|machineosconfigs?|mosbs?|machineosbuilds?|osimagestreams?"
    "|idms|itms|icsp|imagedigestmirrorsets?|imagetagmirrorsets?|imagecontentsourcepolic(?:y|ies)"
)
_LAST_WORD = re.compile(rf"(?i)(?:^|[-_. ])(?:{_KIND_WORDS})(?:[-_. ](?:trimmed|list|all|dump))?$")
_FIRST_WORD = re.compile(rf"(?i)^(?:{_KIND_WORDS})(?:[-_. ]|$)")


def _folder(kind: Kind[Any]) -> Parts:
    """Where a must-gather has a kind."""
    group = kind.group or "core"
    inside = (NAMESPACES, kind.namespace) if kind.namespace else (CLUSTER_SCOPED,)
    return (*inside, group, kind.resource)


_FOLDERS = tuple(_folder(kind) for kind in kinds.KINDS)


def is_wanted(parts: Parts) -> bool:
    """Whether the file at `parts` may say something."""
    at = _gather_at(parts)
    if at is None:
        name = parts[-1]
        return name == TIMESTAMP or bool(_READABLE.search(name) or _ARCHIVE.search(name))
    within = parts[at:]
    if not _READABLE.search(within[-1]):
        return False
    stem = (*within[:-1], within[-1].partition(".")[0])
    return any(folder in (within[:-1], stem) for folder in _FOLDERS)


def kind_at(parts: Parts) -> str:
    """The kind that a must-gather has there, for objects that do not say their own."""
    at = _gather_at(parts)
    within = () if at is None else (*parts[at:-1], parts[-1].partition(".")[0])
    for kind, folder in zip(kinds.KINDS, _FOLDERS, strict=True):
        if folder in (within, within[:-1]):
            return kind.title
    return ""


def may_hold(parts: Parts) -> bool:
    """Whether the directory at `parts` may hold, at any depth, a file that is wanted."""
    at = _gather_at(parts)
    if at is None:
        return True
    within = parts[at:]
    return any(folder[: len(within)] == within for folder in _FOLDERS)


def gather_root(parts: Parts) -> Parts | None:
    """The directory of the must-gather that the file at `parts` is of; None: it is of none.

    A must-gather has a directory for each image that gathered, named after that; all are of one
    cluster.
    """
    at = _gather_at(parts)
    if at is None:
        return None
    root = parts[:at]
    if len(root) > 1 and (_BY_IMAGE.search(root[-1]) or _GATHERED.match(root[-2])):
        return root[:-1]
    return root


def stem_of(name: str) -> str:
    """A file's name without what says its form and the kinds in it: `prod` of `prod-mcp.yaml`."""
    while (shorter := _ENDING.sub("", name)) != name and shorter:
        name = shorter
    shorter = _LAST_WORD.sub("", name)
    return shorter if shorter != name else _FIRST_WORD.sub("", name)


def is_archive(name: str) -> bool:
    return _ARCHIVE.search(name) is not None


def is_generic(name: str) -> bool:
    """Whether a name says nothing about whose dump it is."""
    return _GENERIC.fullmatch(name) is not None


def _gather_at(parts: Parts) -> int | None:
    for name in (CLUSTER_SCOPED, NAMESPACES):
        if name in parts[:-1]:
            return parts.index(name)
    return None
