"""Whether a signed release itself names the base that the cluster says it has.

Only what it names is proven by its signature: the objects in which a cluster says it may be edited.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from watcher.core import genuine
from watcher.core.facts import ClusterName, Pullspec
from watcher.core.genuine import Proof, Verdict
from watcher.core.release import Base
from watcher.ports import Images, OutsideError, Transient

AGAIN_SECONDS = 60.0
"""A release that cannot be read is not tried again for so long: each pool of the cluster looks."""


@dataclass(slots=True)
class Naming:
    """Remembers what cannot be read; what can is kept by `images`."""

    monotonic: Callable[[], float] = time.monotonic
    _unread: dict[tuple[ClusterName, Pullspec], tuple[float, Verdict]] = field(default_factory=dict)

    async def unless_named(
        self, images: Images, cluster: ClusterName, base: Base, *, fresh: bool
    ) -> Verdict | None:
        """Return what is wrong with a base of a release that is well signed, or None.

        `fresh`: try again whatever is remembered, and raise Transient.
        """
        release = base.release.image
        until, said = self._unread.get((cluster, release), (0.0, None))
        if said is not None and not fresh and self.monotonic() < until:
            return said
        try:
            payload = await images.seen_from(cluster).payload(release)
        except OutsideError as error:
            if fresh and isinstance(error, Transient):  # tried again, and nothing is given up
                raise
            because = f"it is signed, but cannot be read to see which OS image it names: {error}"
            said = Verdict(proof=Proof.UNREACHABLE, because=because)
            self._unread[cluster, release] = (self.monotonic() + AGAIN_SECONDS, said)
            return said
        self._unread.pop((cluster, release), None)
        return genuine.unless_named(payload, base.image.digest, said_by=base.source)
