"""What a registry can say no to, told apart where a caller acts differently.

All are `Refused`: trying again as it is cannot help. What can is `Transient`, of the ports.
Everything a registry sends may end in a chat message or a log line, so it is cleaned and cut here.
"""

import re

import msgspec

from watcher.errors import Refused

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u2027\u202f-\ud7ff\uf900-\ufdff]+")
"""Control characters, also the invisible ones that turn the direction of text."""


class NotFound(Refused):
    """There is no such manifest, blob, tag or platform."""


class Unauthorised(Refused):
    """The credentials are missing, wrong, or not enough (401, 403)."""


class Untrusted(Refused):
    """No TLS with this host: its certificate is not trusted, or it speaks none."""


class Tampered(Refused):
    """What was sent is not what its digest or size promises."""


class TooLarge(Refused):
    """Something is larger than we read; the message names the limit."""


class BadContent(Refused):
    """The bytes are those promised, but they do not have the form they must have."""


def clean(text: object, *, limit: int = 200) -> str:
    """Text from outside made fit for a message: printable, one line, at most `limit` characters."""
    line = _UNPRINTABLE.sub(" ", str(text)[: limit * 4]).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def stated(body: bytes) -> str:
    """The code and message of a registry's error answer; empty for any other body.

    A body of another form is dropped: a proxy's error page may repeat the request's headers.
    """
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return clean("; ".join(f"{e.code} {e.message}".strip() for e in errors[:3]))
