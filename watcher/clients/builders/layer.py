"""One layer as a compressed archive: the same entries give the same bytes, on any day.

Nothing of the building machine gets in: no names of users, no times but the one given, no order of
a directory listing. What is compressed is hashed on its way, so the layer is written once.
"""

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from watcher.clients.builders.copying import Placed, is_archive
from watcher.core.facts import Digest
from watcher.core.recipe import EntryKind
from watcher.ports import Refused

_LEVEL = 6
"""zlib's default. Level 9 takes three times as long for a few per cent."""
_HEAD_BYTES = 512
_TYPES = {
    EntryKind.FILE: tarfile.REGTYPE,
    EntryKind.DIRECTORY: tarfile.DIRTYPE,
    EntryKind.SYMLINK: tarfile.SYMTYPE,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer ready to be pushed. Close `file` when done."""

    digest: Digest
    """Of the compressed bytes."""
    diff_id: Digest
    """Of the archive."""
    size: int
    """Bytes, compressed."""
    entries: int
    file: IO[bytes]


class _Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Hashed(io.RawIOBase):
    """Hands on what is written, and hashes it."""

    def __init__(self, target: _Sink) -> None:
        super().__init__()
        self._target = target
        self._hash = hashlib.sha256()
        self.length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._target.write(data)
        self._hash.update(data)
        self.length += len(data)
        return len(data)

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hash.hexdigest()}")


def write_layer(
    entries: Sequence[Placed],
    context: Path,
    *,
    mtime: int,
    unpacked: frozenset[str] = frozenset(),
    memory_bytes: int,
    scratch: Path | None = None,
) -> Layer:
    """Write the archive; files are read from `context`. Blocking.

    `unpacked`: sources that ADD would unpack if they were archives, which we do not: Refused then.
    """
    spooled = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - handed to the caller, who closes it
        max_size=memory_bytes, dir=str(scratch) if scratch else None
    )
    file = cast(IO[bytes], spooled)
    try:
        packed = _Hashed(file)
        with gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as compressed:
            plain = _Hashed(compressed)
            # A stream: tarfile then never seeks back, and nothing is held but one block.
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                for entry in entries:
                    _add(archive, entry, context, mtime=mtime, unpacked=unpacked)
        file.seek(0)
        return Layer(packed.digest, plain.digest, packed.length, len(entries), file)
    except BaseException:
        file.close()
        raise


def _add(
    archive: tarfile.TarFile, entry: Placed, context: Path, *, mtime: int, unpacked: frozenset[str]
) -> None:
    info = tarfile.TarInfo(entry.path)
    info.type, info.mode, info.mtime = _TYPES[entry.kind], entry.mode, mtime
    info.uid, info.gid = entry.owner
    info.linkname = entry.link
    if entry.kind is not EntryKind.FILE:
        archive.addfile(info)
    elif entry.content is not None:
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
    else:
        with (context / entry.source).open("rb") as source:
            if entry.source in unpacked and is_archive(source.read(_HEAD_BYTES)):
                raise Refused(
                    f"ADD would unpack {entry.source!r}: use COPY, or the buildah builder"
                )
            info.size = source.seek(0, io.SEEK_END)
            source.seek(0)
            archive.addfile(info, source)
