"""A login in a browser, as its cookie says it: signed, and good only with the token it came from.

Signed cookies and not records in the store: nothing is left behind that has to be cleared away,
and whoever can read the store still cannot log in as somebody, because the token's digest is part
of what is signed and stands in no store. A logout is remembered for as long as a cookie without
use counts (`auth.idle`), which the store does by itself for an hour.
"""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass

import msgspec

from watcher.ports_reviews import Reviewed
from watcher.web.doors.keys import Key

LONGEST = 3800
"""Of the whole value; browsers keep cookies of 4,096 bytes with name and attributes."""
SKEW_SECONDS = 60.0
"""The clocks of two replicas may differ by this."""
RENEWED_SECONDS = 120.0
"""A cookie in use is given anew after this, so that it counts as used."""
_SHAPE = re.compile(r"v1\.([0-9a-f]{12})\.([A-Za-z0-9_-]{1,3700})\.([A-Za-z0-9_-]{43})")


class Session(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    id: str
    door: str
    """token or openshift."""
    name: str
    """Of the token; empty for openshift."""
    began: float
    seen: float
    """Seconds since 1970."""
    bound: bytes = b""
    """A signature of the token's digest."""
    person: Reviewed | None = None
    """Whom the cluster named, for openshift."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    session_seconds: float
    idle_seconds: float

    def is_over(self, session: Session, *, now: float) -> bool:
        """Whether it was too long ago, or is from a future that no clock of ours has seen."""
        age, unused = now - session.began, now - session.seen
        began = -SKEW_SECONDS <= age < self.session_seconds
        used = -SKEW_SECONDS <= unused < self.idle_seconds
        return not (began and used and session.began <= session.seen)


def bound_to(key: Key, token_digest: bytes) -> bytes:
    """What ties a session to a token without saying anything of it."""
    return key.sign("bound", token_digest)


def seal(session: Session, key: Key) -> str | None:
    """Return the cookie's value; None where it would be too long for a browser."""
    said = _packed(msgspec.json.encode(session))
    value = f"v1.{key.id}.{said}.{_packed(key.sign('session', said.encode()))}"
    return value if len(value) <= LONGEST else None


def key_id_of(value: str) -> str:
    """Return which key a cookie says it is signed with; empty if it is no cookie of ours."""
    found = _SHAPE.fullmatch(value) if len(value) <= LONGEST else None
    return found.group(1) if found else ""


def unseal(value: str, key: Key) -> Session | None:
    """Return what the cookie says if it was signed with this key, else None."""
    found = _SHAPE.fullmatch(value) if len(value) <= LONGEST else None
    if found is None or found.group(1) != key.id:
        return None
    said, signature = found.group(2), found.group(3)
    # The text and not its bytes: of base64 several texts may mean the same.
    if not hmac.compare_digest(signature, _packed(key.sign("session", said.encode()))):
        return None
    try:
        return msgspec.json.decode(
            base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)), type=Session
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error):
        return None


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
