"""Is a release genuine: what its OpenPGP signatures prove, and what follows from it.

Rules: library-go pkg/verify (FACTS §6): every ``verifier-public-key-*`` must have signed. The OS
image is not signed by itself: trust goes through image-references in the verified payload.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verify(StrEnum):
    """The setting ``release.verify``."""

    REQUIRE = "require"
    WARN = "warn"
    OFF = "off"


class Proof(StrEnum):
    GOOD = "good"
    MISSING = "missing"
    """No signature by all keys was found, and every place was asked."""
    BAD = "bad"
    """There are signatures for this digest, and none is good: another key, expired, malformed."""
    UNREACHABLE = "unreachable"
    """Not found where we could look, and some place could not be asked."""
    UNCHECKED = "unchecked"
    """Switched off, no keys, or no gpgv here: the sentence says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known about the signatures of one release digest."""

    proof: Proof
    because: str
    """A sentence for people."""
    signers: tuple[str, ...] = ()
    """Full fingerprints of the keys that made good signatures."""
    source: str = ""
    """Where the good ones were found: ``cluster`` or a store's URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What follows from a verdict under the setting."""

    blocks: str = ""
    """Why the release may not be applied; empty: it may."""
    told: str
    """The sentence kept with an update and shown to approvers."""


def ruling(setting: Verify, verdict: Verdict, *, version: str, taken_unverified: bool) -> Ruling:
    """Return what follows for applying images of a release.

    `taken_unverified`: the cluster itself runs or works towards it without a good signature.
    """
    raise NotImplementedError
