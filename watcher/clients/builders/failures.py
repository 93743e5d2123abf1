"""What it means that buildah failed: worth trying again, or not.

buildah tells little by its exit code: a RUN's own code, or 125 for nearly all else. So the words of
its last lines decide, and words not known here mean no.
"""

import re
import signal

from watcher.clients.builders.process import Ended
from watcher.ports import OutsideError, Refused, Transient

_MOST_CHARACTERS = 1000
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NETWORK = re.compile(
    r"connection (?:refused|reset|timed out)|i/o timeout|no such host|no route to host"
    r"|TLS handshake timeout|unexpected EOF|context deadline exceeded|network is unreachable"
    r"|server misbehaving|toomanyrequests|too many requests"
    r"|(?:status(?: code)?:?|StatusCode:) (?:429|50[0234])\b",
    re.IGNORECASE,
)
_RUN_FAILED = re.compile(r"building at STEP \"RUN |while running runtime: exit status")


def problem(what: str, ended: Ended) -> OutsideError:
    """The error for a program that ended with another code than 0."""
    lines = [line for line in ended.last_lines if line]
    said = " / ".join(lines[-5:])[-_MOST_CHARACTERS:] or "it said nothing"
    text = "\n".join(lines)
    if ended.code < 0:
        name = signal.Signals(-ended.code).name
        return Transient(f"{what} was ended by {name}, perhaps for want of memory: {said}")
    if _FULL.search(text):
        return Transient(f"{what} failed: the disk is full; free some space: {said}")
    last_error = next((line for line in reversed(lines) if "rror" in line), "")
    if _RUN_FAILED.search(last_error):
        return Refused(f"{what} failed with exit code {ended.code}: {said}")
    if _NETWORK.search(last_error):
        return Transient(f"{what} failed, the network or a registry did: {said}")
    return Refused(f"{what} failed with exit code {ended.code}: {said}")
