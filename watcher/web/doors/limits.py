"""How often somebody may try to log in, and have what is forbidden audited; in bounded memory."""

from collections import OrderedDict
from dataclasses import dataclass

from watcher.web.doors.proxies import address_of

MOST_PEERS = 4096


@dataclass(frozen=True, slots=True)
class Rate:
    burst: int
    seconds_each: float
    """After so long one more."""


PEER = Rate(burst=10, seconds_each=6.0)
"""Somebody who mistypes is not kept waiting; somebody who guesses gets 600 an hour."""
ALL = Rate(burst=100, seconds_each=0.5)
DECLINED = Rate(burst=30, seconds_each=60.0)
"""Of one identity: 500 KB of audit trail a day."""
MOST_IDENTITIES = 1000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float

    def fill(self, rate: Rate, now: float) -> None:
        gained = max(0.0, now - self.at) / rate.seconds_each
        self.left, self.at = min(rate.burst, self.left + gained), now


class Tries:
    """Buckets of tries. A try that succeeds is given back."""

    def __init__(self, peer: Rate = PEER, everybody: Rate = ALL, most: int = MOST_PEERS) -> None:
        self._peer, self._everybody, self._most = peer, everybody, most
        self._all = _Bucket(everybody.burst, 0.0)
        self._peers: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def take(self, peer: str, now: float) -> float:
        """Take one; return 0, or after how many seconds there is one again."""
        mine = self._of(peer, now)
        self._all.fill(self._everybody, now)
        wait = max(
            (1 - mine.left) * self._peer.seconds_each,
            (1 - self._all.left) * self._everybody.seconds_each,
        )
        if wait > 0:
            return wait
        mine.left -= 1
        self._all.left -= 1
        return 0.0

    def give_back(self, peer: str, now: float) -> None:
        """It was no guess."""
        for bucket, rate in ((self._of(peer, now), self._peer), (self._all, self._everybody)):
            bucket.left = min(rate.burst, bucket.left + 1)

    def _of(self, peer: str, now: float) -> _Bucket:
        key = _network_of(peer)
        bucket = self._peers.setdefault(key, _Bucket(self._peer.burst, now))
        self._peers.move_to_end(key)
        # Whoever has the addresses to push others out meets the limit for all.
        while len(self._peers) > self._most:
            self._peers.popitem(last=False)
        bucket.fill(self._peer, now)
        return bucket


class Declines:
    """What a role forbids is audited, but not without end: the trail is kept for good, and who may
    change nothing could fill the store and push what others did out of sight."""

    def __init__(self, rate: Rate = DECLINED, most: int = MOST_IDENTITIES) -> None:
        self._rate, self._most = rate, most
        self._known: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, identity: str, now: float) -> bool:
        """Whether this one is audited. Those without any role share one identity: ""."""
        bucket = self._known.setdefault(identity, _Bucket(self._rate.burst, now))
        self._known.move_to_end(identity)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        bucket.fill(self._rate, now)
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True


def _network_of(peer: str) -> str:
    """Who has one IPv6 address has the 2**64 around it."""
    address = address_of(peer)
    if address is None:
        return ""
    return address.exploded[:19] if address.version == 6 else str(address)
