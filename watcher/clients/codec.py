"""Records of jobs as versioned JSON: what is in Redis outlives the code that wrote it.

Two replicas of neighbouring releases read each other's records during an upgrade. So fields that
a reader does not know are skipped, fields that a writer did not know take their defaults, and only
a change that breaks both raises `VERSION`, which older code refuses by name.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from watcher.core.build import Build
from watcher.core.jobs import Job, JobKind, kind_of
from watcher.core.letters import Delivered
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.core.update import Update
from watcher.ports import AuditEntry, Refused

VERSION = 1


class UnreadableRecord(Refused):
    """A record that this release cannot read; whoever wrote it, or a newer one, can."""


class _Envelope(msgspec.Struct):
    v: int
    kind: str
    body: msgspec.Raw


def _from_text(wanted: type[Any], text: object) -> object:
    """Digests, pullspecs and repositories are strings that check themselves when made."""
    return wanted(text)


_encoder = msgspec.json.Encoder(enc_hook=str)
_envelope = msgspec.json.Decoder(_Envelope)
_builds = msgspec.json.Decoder(Build, dec_hook=_from_text)
_updates = msgspec.json.Decoder(Update, dec_hook=_from_text)
_entries = msgspec.json.Decoder(AuditEntry)
_freezes = msgspec.json.Decoder(Freeze)
_silences = msgspec.json.Decoder(Silence)
_letters = msgspec.json.Decoder(Delivered)
_values = msgspec.json.Decoder(dict[str, Any])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)


def _json(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        raise Refused("a text is not valid Unicode, so it cannot be stored: correct it") from error


def encode(job: Job) -> bytes:
    """Return `{"v":1,"kind":"build|update","body":{…}}`."""
    head = b'{"v":%d,"kind":"%s","body":' % (VERSION, kind_of(job).encode())
    return head + _json(job) + b"}"


def decode(record: bytes) -> Job:
    """Return the job; raise UnreadableRecord, saying what is wrong with it."""
    try:
        envelope = _envelope.decode(record)
        if envelope.v != VERSION:
            raise UnreadableRecord(
                f"a stored record has format {envelope.v}, this release reads format {VERSION}:"
                " run the release that wrote it, or a newer one"
            )
        if envelope.kind == JobKind.BUILD:
            return _builds.decode(envelope.body)
        if envelope.kind == JobKind.UPDATE:
            return _updates.decode(envelope.body)
    except _UNREADABLE as error:
        raise UnreadableRecord(f"a stored record cannot be read: {str(error)[:200]}") from error
    raise UnreadableRecord(f"a stored record is of the unknown kind {envelope.kind[:40]!r}")


def encode_entry(entry: AuditEntry) -> bytes:
    """Return one audit entry as JSON."""
    return _json(entry)


def decode_entry(record: bytes) -> AuditEntry:
    """Return the audit entry; raise UnreadableRecord."""
    try:
        return _entries.decode(record)
    except _UNREADABLE as error:
        raise UnreadableRecord(f"an audit entry cannot be read: {str(error)[:200]}") from error


def encode_values(values: Mapping[str, object]) -> bytes:
    """Return a small mapping (progress, a view) as JSON."""
    return _json(dict(values))


def decode_values(record: bytes) -> dict[str, Any]:
    """Return the mapping; raise UnreadableRecord."""
    try:
        return _values.decode(record)
    except _UNREADABLE as error:
        raise UnreadableRecord(f"a stored view cannot be read: {str(error)[:200]}") from error


def encode_freeze(freeze: Freeze) -> bytes:
    """Return a freeze as JSON."""
    return _json(freeze)


def decode_freeze(record: bytes, scope: str) -> Freeze:
    """Return the freeze of this scope; raise UnreadableRecord, which names the way out."""
    try:
        return _freezes.decode(record)
    except _UNREADABLE as error:
        raise UnreadableRecord(
            f"the freeze of {scope[:100] or 'everything'} cannot be read, so it stays in force"
            f" until it is lifted or ordered anew: {str(error)[:200]}"
        ) from error


def encode_silence(silence: Silence) -> bytes:
    """Return a silence as JSON."""
    return _json(silence)


def decode_silence(record: bytes) -> Silence | None:
    """Return the silence; None for one that cannot be read: it holds nothing back."""
    try:
        return _silences.decode(record)
    except _UNREADABLE:
        return None


def encode_delivered(letter: Delivered) -> bytes:
    """Return what stands at a place as JSON."""
    return _json(letter)


def decode_delivered(record: bytes, subject: str) -> Delivered:
    """Return what stands at a place for this subject; raise UnreadableRecord."""
    try:
        return _letters.decode(record)
    except _UNREADABLE as error:
        raise UnreadableRecord(
            f"what was delivered of {subject[:100]} cannot be read: {str(error)[:200]}"
        ) from error
