"""The directory builds happen in: one build at a time, and whatever a crash left is removed.

Who holds the lock owns everything below the directory. The kernel frees the lock when its holder
dies, however it dies; a mark that outlives its holder says that there is something to clean.
"""

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from watcher.clients.builders import process
from watcher.clients.builders.settings import BuildahSettings
from watcher.ports import Refused, Transient

_BUSY_SECONDS = 10.0
_UMOUNT_SECONDS = 30.0
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OCTAL = re.compile(r"\\([0-7]{3})")


class Kept(msgspec.Struct, forbid_unknown_fields=False):
    """What stays in the storage between builds."""

    results: list[str] = []
    """Names of images that were pushed; the next build removes them."""
    bases: list[str] = []
    """The newest first."""


class Workplace:
    """One work directory of buildah."""

    def __init__(self, settings: BuildahSettings) -> None:
        self.path = settings.work.absolute()
        self.storage = self.path / "storage"
        self.run = self.path / "run"
        self.temporary = self.path / "tmp"
        self._dirty = self.path / "unclean"
        self._kept = self.path / "kept.json"
        self._driver = settings.storage_driver
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Wait for our turn in this process; raise Transient while another process has it."""
        async with self._turn:
            self.make()
            lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise Transient(
                        f"another process builds in {self.path}", retry_after_seconds=_BUSY_SECONDS
                    ) from error
                yield
            finally:
                os.close(lock)

    def make(self) -> None:
        """Make the directories, unless they are there."""
        _make(self.path, self.storage, self.run, self.temporary)

    @property
    def is_unclean(self) -> bool:
        """True if a build began and nobody cleaned up after it."""
        return self._dirty.exists()

    def begin(self) -> Path:
        """Mark it as unclean and make a private directory for a build."""
        self._dirty.touch(mode=0o600)
        return Path(tempfile.mkdtemp(dir=self.temporary, prefix="build-"))

    def end(self) -> None:
        """Remove the temporary files and the mark; to be called when nothing else is left."""
        self._refuse_mounts(self.temporary)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._dirty.unlink(missing_ok=True)

    async def stop_leftovers(self) -> None:
        """End processes and mounts of a build that was not ended in order."""
        await process.kill_all(self.path)
        for mount in reversed(mounts_below(self.path)):
            umount = process.Program(
                argv=["umount", "--lazy", str(mount)],
                work=self.path,
                environment={"PATH": SEARCH_PATH},
                timeout_seconds=_UMOUNT_SECONDS,
                grace_seconds=1.0,
            )
            await process.run(umount, silent)

    def discard_storage(self) -> None:
        """Remove all images: a cache that cannot be read any more."""
        for directory in (self.storage, self.run):
            self._refuse_mounts(directory)
            shutil.rmtree(directory, ignore_errors=True)
        self._kept.unlink(missing_ok=True)

    def storage_conf(self) -> Path:
        """A storage.conf of our own, so that the machine's options do not count."""
        path = self.path / "storage.conf"
        if not path.exists():
            path.write_text(f'[storage]\ndriver = "{self._driver}"\n')
        return path

    def _refuse_mounts(self, path: Path) -> None:
        """Removing files below a mount would remove them from what is mounted."""
        if found := mounts_below(path):
            raise Transient(f"still mounted, so not removed: {found[0]}")

    def kept(self) -> Kept:
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            return Kept()

    def keep(self, kept: Kept) -> None:
        beside = self._kept.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(kept))
        beside.replace(self._kept)


async def silent(line: str) -> None:
    """Takes the output nobody reads."""


def mounts_below(path: Path) -> list[Path]:
    """Mount points below `path` in the order they were mounted (proc(5), mountinfo, field 5)."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(_OCTAL.sub(_character, line.split(" ")[4])) for line in lines]
    return [point for point in points if point != path and point.is_relative_to(path)]


def _character(octal: re.Match[str]) -> str:
    return chr(int(octal.group(1), 8))


def _make(*directories: Path) -> None:
    for directory in directories:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(
                f"{directory} cannot be made ({error.strerror}): name a writable work directory"
            ) from error
