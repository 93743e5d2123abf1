"""Asks `gpgv` about one signed message. It does the cryptography; we believe only its status lines.

Status lines are described in GnuPG doc/DETAILS. They come on a pipe of their own: on the one for
messages to people, a user id or a file name could look like them. Neither its exit code nor
VALIDSIG is enough: both are given for revoked and expired keys too (tried with 2.2.40).
"""

import asyncio
import errno
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from watcher.clients.signatures.armor import packet_tag
from watcher.core.facts import Malformed
from watcher.core.genuine import STATEMENT_BYTES
from watcher.errors import Refused

SIGNATURE_BYTES = 50 * 1024
"""The most that one signature may have; real ones have under 1 KiB, of several keys under 10."""
_STATUS_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
_TIMEOUT_SECONDS = 10.0
"""It takes some 5 ms."""
_AT_A_TIME = 4
_REAP_SECONDS = 5.0
_NO_PROGRAM = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC})
"""Why a program cannot be started at all; anything else may pass."""
_SIGNED = frozenset({8, 4, 2})
"""Packets that a signed message begins with: compressed, one-pass signature, signature."""
_PREFIX = "[GNUPG:] "
_STRONG = frozenset({"8", "9", "10", "11", "12", "14"})
"""Hash algorithms of RFC 9580 section 9.5: SHA-2 and SHA-3. A signature over SHA-1 or MD5 may be
one for another text; the self-signatures of old keys may still be so."""
_WRONG = {
    "BADSIG": "the signature does not fit its text",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key that signed it has expired",
    "REVKEYSIG": "the key that signed it is revoked",
    "NO_PUBKEY": "it is signed by another key",
    "ERRSIG": "the signature cannot be checked",
    "NODATA": "it is not a signed message",
    "ERROR": "it is not one whole signed message",
    "FAILURE": "gpgv failed at it",
}
"""Status words after which nothing is believed, and what they mean; the first counts."""


class NotInstalled(Exception):
    """There is no gpgv here, or it cannot be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A text, and the one key of the keyring that signed exactly it."""

    text: bytes
    fingerprint: str
    """Of the primary key, in full, upper case."""
    expires: datetime | None
    """When the signature stops being good."""


class Checker(Protocol):
    async def check(self, signature: bytes, keyring: bytes, now: datetime) -> Signed:
        """What a key of the (binary) keyring signed.

        Raise Malformed, with what is wrong, unless a good signature by one of its keys covers all
        of the text; NotInstalled, or Refused where gpgv itself did not do its work.
        """


@dataclass(frozen=True, slots=True)
class _Said:
    status: bytes
    text: bytes
    code: int


class Gpgv:
    """`Checker` by the program of that name."""

    def __init__(
        self,
        program: str = "gpgv",
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        directory: Path | None = None,
    ) -> None:
        """`directory`: where its files lie for a moment, instead of the system's temporary one."""
        self._program = program
        self._directory = directory
        self._timeout_seconds = timeout_seconds
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    async def check(self, signature: bytes, keyring: bytes, now: datetime) -> Signed:
        """See `Checker`."""
        if len(signature) > SIGNATURE_BYTES:
            raise Malformed(f"the signature is larger than {SIGNATURE_BYTES} bytes")
        # Armor, clear-signed text, encrypted and unsigned messages: nobody signs releases so.
        if packet_tag(signature) not in _SIGNED:
            raise Malformed("it is not a signed OpenPGP message")
        program = _found(self._program)
        async with self._turns:
            try:
                with _directory(signature, keyring, self._directory) as work:
                    said = await self._run(program, work)
            except OSError as error:  # no room, no temporary directory, no more open files
                raise Refused(f"gpgv cannot be given its work: {error.strerror}") from error
        return judged(said.status, said.text, said.code, now)

    async def _run(self, program: str, work: Path) -> _Said:
        status_in, status_out = os.pipe()
        try:
            process = await _spawn(
                (
                    program,
                    "--homedir",
                    str(work / "home"),
                    "--keyring",
                    str(work / "keyring"),
                    "--status-fd",
                    str(status_out),
                    "--output",
                    "-",
                    str(work / "signature"),
                ),
                work,
                status_out,
            )
        except BaseException:
            os.close(status_in)
            raise
        finally:
            os.close(status_out)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await _read(process, status_in)
        except TimeoutError as error:
            raise Refused(f"gpgv was stopped after {self._timeout_seconds:g} s") from error
        finally:
            await _end(process)


def judged(status: bytes, text: bytes, code: int, now: datetime) -> Signed:
    """What gpgv's status lines prove of `text`; raise Malformed where that is nothing."""
    lines = [
        line.removeprefix(_PREFIX).split(" ")
        for line in status.decode("utf-8", errors="replace").split("\n")
        if line.startswith(_PREFIX)
    ]
    said = [line[0] for line in lines]
    for word, meaning in _WRONG.items():
        if word in said:
            raise Malformed(meaning)
    # One text and one signature: with more, it would be open which text which signature is for.
    if [said.count(word) for word in ("PLAINTEXT", "NEWSIG", "GOODSIG", "VALIDSIG")] != [1] * 4:
        raise Malformed("it is not one text with one good signature")
    if code != 0:
        raise Malformed(f"gpgv does not accept it (it ended with {code})")
    length = next((line[1:] for line in lines if line[0] == "PLAINTEXT_LENGTH"), None)
    if length is not None and length != [str(len(text))]:
        raise Malformed("gpgv gave out another text than it checked")
    return _valid(next(line for line in lines if line[0] == "VALIDSIG")[1:], text, now)


def _valid(fields: Sequence[str], text: bytes, now: datetime) -> Signed:
    """VALIDSIG: fingerprint, date, made at, expires at, version, reserved, algorithm of the key and
    of the hash, class, fingerprint of the primary key."""
    if len(fields) < 10 or not re.fullmatch("[0-9]{1,10}", fields[3]):  # until the year 2286
        raise Malformed("gpgv said something else than expected")
    if fields[7] not in _STRONG:
        raise Malformed("it is signed over a hash that is no longer safe")
    if fields[8] != "00":
        raise Malformed("it is not a signature of a message as it is")
    primary = fields[9].upper()
    if not re.fullmatch("[0-9A-F]{40}|[0-9A-F]{64}", primary):
        raise Malformed("gpgv said something else than expected")
    seconds = int(fields[3])
    expires = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds) if seconds else None
    # gpgv knows only this machine's time.
    if expires is not None and expires <= now:
        raise Malformed(_WRONG["EXPSIG"])
    return Signed(text=text, fingerprint=primary, expires=expires)


def _found(program: str) -> str:
    """Its full path, so that no directory on the way is searched later."""
    found = shutil.which(program)
    if found is None:
        raise NotInstalled(program)
    return str(Path(found).absolute())


@contextmanager
def _directory(signature: bytes, keyring: bytes, inside: Path | None) -> Iterator[Path]:
    """A directory that only we can read, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="relayer-gpgv-", dir=inside) as name:  # of mode 0700
        work = Path(name)
        (work / "home").mkdir(mode=0o700)
        (work / "keyring").write_bytes(keyring)
        (work / "signature").write_bytes(signature)
        yield work


async def _spawn(argv: Sequence[str], work: Path, status: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(status,),
            env={"LC_ALL": "C", "HOME": str(work)},
            cwd=work,
            start_new_session=True,
        )
    except OSError as error:
        if error.errno not in _NO_PROGRAM:
            raise
        raise NotInstalled(f"{argv[0]}: {error.strerror}") from error


async def _read(process: asyncio.subprocess.Process, status_in: int) -> _Said:
    assert process.stdout is not None
    stream = asyncio.StreamReader()
    pipe = os.fdopen(status_in, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), pipe
    )
    try:
        async with asyncio.TaskGroup() as group:
            status = group.create_task(_limited(stream, _STATUS_BYTES, "report"))
            text = group.create_task(_limited(process.stdout, STATEMENT_BYTES, "signed text"))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # there is only the one limit that was passed
    finally:
        transport.close()
    return _Said(status.result(), text.result(), await process.wait())


async def _limited(stream: asyncio.StreamReader, limit: int, what: str) -> bytes:
    """All of it; raise Malformed beyond the limit: a few bytes may inflate to gigabytes."""
    found = bytearray()
    while block := await stream.read(_READ_BYTES):
        found += block
        if len(found) > limit:
            raise Malformed(f"its {what} is larger than {limit} bytes")
    return bytes(found)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it with all that it may have started, and let asyncio close its pipe."""
    if process.returncode is None:  # else the number may be another's by now
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    # First what it still wrote: asyncio does not end a process whose output nobody reads.
    with suppress(TimeoutError):
        async with asyncio.timeout(_REAP_SECONDS):
            while await process.stdout.read(_READ_BYTES):
                pass
            await process.wait()
    await asyncio.sleep(0)  # the pipe is closed in the loop's next turn
