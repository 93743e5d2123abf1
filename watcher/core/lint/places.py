"""Places of an image whose content does not reach a node that is there already."""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    path: str
    is_var: bool
    """Kept on the node from one image to the next, and so not taken from the image."""
    what: str
    """What happens there, as the end of a sentence."""


_VAR = "an update leaves a node's /var as it is, so that nodes never get it"
_EMPTY = "a node has its own, empty at each boot"
PLACES = (
    Place(path="/opt", is_var=True, what=f"/opt is a link to /var/opt, and {_VAR}"),
    Place(
        path="/usr/local", is_var=True, what=f"/usr/local is a link to /var/usrlocal, and {_VAR}"
    ),
    Place(path="/home", is_var=True, what=f"/home is a link to /var/home, and {_VAR}"),
    Place(path="/root", is_var=True, what=f"/root is a link to /var/roothome, and {_VAR}"),
    Place(path="/srv", is_var=True, what=f"/srv is a link to /var/srv, and {_VAR}"),
    Place(path="/mnt", is_var=True, what=f"/mnt is a link to /var/mnt, and {_VAR}"),
    Place(path="/var/run", is_var=False, what=f"this is /run: {_EMPTY}"),
    Place(path="/var/tmp", is_var=False, what="`ostree container commit` empties it"),  # noqa: S108
    Place(path="/var/cache", is_var=False, what="`ostree container commit` empties it"),
    Place(path="/var", is_var=True, what=_VAR),
    Place(path="/run", is_var=False, what=_EMPTY),
    Place(path="/tmp", is_var=False, what=_EMPTY),  # noqa: S108
)
"""The first that fits counts. A path is not used here, only compared (S108).

Sources: bootc, docs/src/filesystem.md (/var is unpacked only when a machine is installed); Red Hat,
Using image mode for RHEL, "Managing file systems" (RHEL CoreOS keeps the links into /var);
ostree-rs-ext, commit.rs (what is emptied).
"""

ROOM = frozenset(f"/var/{name}" for name in ("opt", "usrlocal", "home", "roothome", "srv", "mnt"))
"""Where the links lead: to make these directories while building puts nothing anywhere."""


def place_of(path: str) -> Place | None:
    """The place that a file or directory is in; None for where content belongs."""
    for place in PLACES:
        if path == place.path or path.startswith(place.path + "/"):
            return place
    return None


def covers(pattern: str, path: str) -> bool:
    """Whether removing or mounting `pattern` reaches `path`: itself, above it, or a wildcard."""
    if not pattern.startswith("/"):
        return False
    bare = pattern.rstrip("/")
    if not any(char in bare for char in "*?["):
        return path == bare or path.startswith(bare + "/")
    parts, own = bare.split("/"), path.split("/")
    return len(parts) <= len(own) and all(map(fnmatchcase, own, parts))
