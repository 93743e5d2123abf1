"""Is a release genuine: what its OpenPGP signatures prove, and what follows from it.

Rules: openshift/library-go pkg/verify: every ``verifier-public-key-*`` must have signed. The OS
image is not signed by itself: trust goes through image-references in the verified payload.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from watcher.core.facts import Digest, Malformed
from watcher.core.images import Payload

STATEMENT_BYTES = 16 * 1024
"""The most that is read of a signed statement; real ones have about 300 bytes."""
_TYPE = "atomic container signature"
_TEXT = 200
"""Characters of a statement's text that are repeated to people."""


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


_BUILT_DAILY = re.compile(
    r"[0-9]+\.[0-9]+\.[0-9]+-0\.[a-z0-9.-]*[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}[a-z0-9.-]*"
)
_LONGEST_VERSION = 200


def is_built_daily(version: str) -> bool:
    """Whether a version is that of a CI build or a nightly, which need not be signed.

    These are what OpenShift's release controller builds and names by itself: pre-release ``0.``,
    the stream, and the date and time, as in ``4.17.0-0.nightly-2024-08-01-120000``,
    ``4.18.0-0.ci.test-…-ci-ln-…``, ``4.20.0-0.konflux-nightly-…`` and OKD's ``4.15.0-0.okd-…`` and
    ``-0.okd-scos-…``. Everything that is promoted has another form and must be signed: ``4.17.1``,
    ``4.17.0-ec.2``, ``4.17.0-rc.3`` and OKD's ``4.17.0-okd-scos.1``.
    """
    return len(version) <= _LONGEST_VERSION and _BUILT_DAILY.fullmatch(version) is not None


_NEXT: Mapping[Proof, str] = {
    Proof.MISSING: "add its signature to the cluster (`oc adm release mirror"
    " --apply-release-image-signature`), or set release.verify to warn",
    Proof.BAD: "do not apply it before you know where it comes from: compare its digest with the"
    " vendor's",
    Proof.UNREACHABLE: "let Relayer reach that place, or add the signature to the cluster"
    " (`oc adm release mirror --apply-release-image-signature`)",
    Proof.UNCHECKED: "until then release.verify: warn applies it unproven",
}
"""What a person can do about it."""


def ruling(setting: Verify, verdict: Verdict, *, version: str, taken_unverified: bool) -> Ruling:
    """Return what follows for applying images of a release.

    `taken_unverified`: the cluster itself runs or works towards it without a good signature. For
    a CI build or nightly that is reason enough to go along with it; of any other release it is
    not, as its administrator may have forced an upgrade that nobody meant for the layered pools.
    One that is signed wrongly is nobody's nightly.
    """
    if setting is Verify.OFF:
        return Ruling(told="not looked at: release.verify is off")
    if verdict.proof is Proof.GOOD:
        return Ruling(told=_told_good(verdict))
    loud = "BAD SIGNATURE: " if verdict.proof is Proof.BAD else "not proven genuine: "
    told = f"{loud}{verdict.because}"
    if setting is Verify.WARN:
        return Ruling(told=f"{told} (only a warning: release.verify is warn)")
    if taken_unverified and is_built_daily(version) and verdict.proof is not Proof.BAD:
        return Ruling(
            told=f"{told} (only a warning: the cluster itself took this CI build or nightly"
            " unverified)"
        )
    blocks = f"release {version} is not proven genuine: {verdict.because}; {_NEXT[verdict.proof]}"
    return Ruling(blocks=blocks, told=told)


def unless_named(payload: Payload, image: Digest, *, said_by: str) -> Verdict | None:
    """Return what is wrong with an OS image that a well signed release does not name, or None.

    `said_by`: what named it, as MCO would take it: OSImageStream or the ConfigMap.
    """
    if any(named.partition("@")[2] == image for named in payload.tags.values()):
        return None
    because = (
        f"it is signed, but it has no image {image}, which {said_by} of the cluster names as its"
        " OS image"
    )
    return Verdict(proof=Proof.BAD, because=because)


def short(fingerprint: str) -> str:
    """The last 16 hex digits, the long key id, which people and `gpg` know keys by."""
    return fingerprint[-16:]


def _told_good(verdict: Verdict) -> str:
    if not verdict.signers:
        return verdict.because
    where = "the cluster" if verdict.source == "cluster" else verdict.source
    return f"signed by {', '.join(map(short, verdict.signers))}, found in {where}"


# --- the signed statement -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a key signed: "an image of this digest goes by this name"."""

    digest: Digest
    reference: str
    """The name it was signed under; anything, as mirrors have other names."""
    creator: str = ""
    timestamp: int | None = None
    """Seconds since 1970; informal, it proves nothing."""


def parse_statement(raw: bytes, release: Digest) -> Statement:
    """Read the JSON of an atomic container signature; raise Malformed unless it is for `release`.

    The form is that of containers/image docs/containers-signature.5.md, read at least as strictly
    as by library-go: no unknown and no repeated fields, exact types, nothing before or after.
    """
    if len(raw) > STATEMENT_BYTES:
        raise Malformed(f"the signed statement is larger than {STATEMENT_BYTES} bytes")
    try:
        whole = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except (UnicodeDecodeError, RecursionError) as error:
        raise Malformed("the signed statement is not JSON") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"the signed statement is not JSON: {error.msg}") from error
    except ValueError as error:  # ours, or a number of too many digits
        if isinstance(error, Malformed):
            raise
        raise Malformed("the signed statement holds a number that is none") from error
    fields = _fields(whole, "the statement", needs=("critical",), may=("optional",))
    critical = _fields(fields["critical"], "critical", needs=("type", "image", "identity"))
    image = _fields(critical["image"], "image", needs=("docker-manifest-digest",))
    identity = _fields(critical["identity"], "identity", needs=("docker-reference",))
    kind, said = _text(critical, "type"), _text(image, "docker-manifest-digest")
    if kind != _TYPE:
        raise Malformed(f"it signs something of type {kind[:_TEXT]!r}, not an image")
    if said != release:
        raise Malformed(f"it is for another image, {said[:_TEXT]!r}")
    reference = _text(identity, "docker-reference")
    if not reference:
        raise Malformed("docker-reference is empty")
    creator, timestamp = _optional(fields.get("optional", {}))
    return Statement(digest=release, reference=reference, creator=creator, timestamp=timestamp)


def _optional(found: object) -> tuple[str, int | None]:
    optional = _fields(found, "optional", may=("creator", "timestamp"))
    creator = _text(optional, "creator") if "creator" in optional else ""
    if "timestamp" not in optional:
        return creator, None
    timestamp = optional["timestamp"]
    # A bool is an int here, and not in JSON.
    if not isinstance(timestamp, int) or isinstance(timestamp, bool) or abs(timestamp) >= 1 << 63:
        raise Malformed("timestamp is not a whole number of 64 bits")
    return creator, timestamp


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a field of the signed statement is there twice")
    return found


def _no_constant(name: str) -> object:
    raise Malformed(f"{name} is not JSON")


def _fields(
    found: object, name: str, *, needs: tuple[str, ...] = (), may: tuple[str, ...] = ()
) -> dict[str, object]:
    if not isinstance(found, dict):
        raise Malformed(f"{name} is not an object")
    if unknown := sorted(found.keys() - {*needs, *may}):
        raise Malformed(f"{name} has the unknown field {unknown[0][:_TEXT]!r}")
    if missing := [field for field in needs if field not in found]:
        raise Malformed(f"{name} lacks {missing[0]}")
    return found


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or any("\ud800" <= c <= "\udfff" for c in value):
        raise Malformed(f"{name} is not text")
    return value
