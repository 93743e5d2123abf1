"""What a tag meant when an override with it was first seen, and whether it means that still.

Nodes that pull it later get another image, and neither MCO nor Kubernetes notices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from watcher.core.facts import Digest, without_login


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSeen:
    """What the tag of one MachineConfig's image meant at one moment."""

    image: str
    uid: str
    generation: int
    """With the uid: a MachineConfig that was edited or made anew is another one."""
    digest: Digest
    at: datetime

    def is_of_same(self, other: "TagSeen") -> bool:
        """Whether both are about the same MachineConfig in the same state."""
        mine = (self.image, self.uid, self.generation)
        return mine == (other.image, other.uid, other.generation)


def moved(first: TagSeen | None, now: TagSeen) -> str:
    """Return a sentence if the tag means something else than when it was first seen; else empty."""
    if first is None or not first.is_of_same(now) or first.digest == now.digest:
        return ""
    return (
        f"{without_login(now.image)} is {now.digest.short} now, and was {first.digest.short} "
        f"when it was first seen ({first.at:%Y-%m-%d})"
    )


def to_values(seen: TagSeen) -> dict[str, object]:
    """As JSON values, to be kept."""
    return {
        "image": seen.image,
        "uid": seen.uid,
        "generation": seen.generation,
        "digest": str(seen.digest),
        "at": seen.at.isoformat(),
    }


def from_values(said: Mapping[str, object]) -> TagSeen | None:
    """What was kept; None for what is nothing of the kind."""
    try:
        return TagSeen(
            image=str(said["image"]),
            uid=str(said["uid"]),
            generation=int(str(said["generation"])),
            digest=Digest(str(said["digest"])),
            at=datetime.fromisoformat(str(said["at"])),
        )
    except (KeyError, ValueError):
        return None
