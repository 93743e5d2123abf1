"""Reads a recipe directory from disk.

Everything is opened relative to the directory above it and without following links, so that a
directory changed while it is read cannot lead out of itself. All of this blocks: callers in an
event loop use `asyncio.to_thread`.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from watcher.core.containerfile import decode
from watcher.core.facts import Malformed, Repository
from watcher.core.patterns import IgnoreRules
from watcher.core.recipe import EntryKind, Recipe, RecipeEntry, leaves_directory, recipe_digest
from watcher.ports import Refused, Transient

_CHUNK_BYTES = 1 << 20
HEAD_BYTES = 16384
"""Of each file; keys and pull secrets begin at the top."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a fifo put in place of a file must not hang us.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEFAULT_NAMES = ("Containerfile", "Dockerfile")
_IGNORE_NAMES = (".containerignore", ".dockerignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeLimits:
    """Far above real recipes; they stop a mistaken path (`/`, a home directory) early."""

    entries: int = 20_000
    total_bytes: int = 2 << 30
    containerfile_bytes: int = 1 << 20
    depth: int = 64
    """Directories below one another."""


def load_recipe(
    directory: Path,
    *,
    name: str,
    target: Repository,
    containerfile: str | None = None,
    build_args: Mapping[str, str] | None = None,
    limits: RecipeLimits | None = None,
) -> Recipe:
    """The recipe in `directory`, hashed. Blocking.

    `containerfile`: its path below the directory; without it Containerfile, then Dockerfile.
    Raise Refused if the directory is not one we can build from, and Transient if it changed while
    it was read. The messages begin with the recipe's name.
    """
    limits = limits or RecipeLimits()
    try:
        with _opened_root(directory) as root:
            text = _containerfile(root, containerfile, limits)
            entries = _Listing(root, _ignore_rules(root, limits), limits).read()
    except (Refused, Malformed) as error:
        raise Refused(f"recipe {name}: {error}") from error
    except Transient as error:
        raise Transient(f"recipe {name}: {error}") from error
    except PermissionError as error:
        raise Refused(f"recipe {name}: no permission to read {_shown(error.filename)}") from error
    except OSError as error:
        raise Transient(f"recipe {name}: {_shown(error.filename)}: {error.strerror}") from error
    args = dict(build_args or {})
    return Recipe(
        name=name,
        containerfile=text,
        digest=recipe_digest(containerfile=text, entries=entries, build_args=args, target=target),
        target=target,
        build_args=args,
        entries=entries,
    )


def heads(directory: Path) -> Callable[[str], bytes | None]:
    """The beginning of a recipe's file by its path, None where it cannot be read. Blocking.

    For files that `load_recipe` has found there.
    """
    # A mounted ConfigMap: the loader reads what ..data leads to, too.
    root = directory / "..data" if (directory / "..data").is_symlink() else directory

    def head(path: str) -> bytes | None:
        try:
            # The loader has seen a regular file there; no following and waiting if it changed.
            opened = os.open(root / path, _FILE)
        except OSError:
            return None
        with open(opened, "rb") as file:
            try:
                return file.read(HEAD_BYTES)
            except OSError:
                return None

    return head


def stage_recipe(recipe: Recipe, directory: Path, *, into: Path) -> None:
    """Copy what `recipe` lists from `directory` into the empty directory `into`. Blocking.

    The copy holds exactly what the digest was made of, with the modes that belong to it, so that a
    builder neither sees ignored files nor what was changed since. Raise Transient if the disk is
    full, or if the directory is no longer what the recipe says: load it again.
    """
    try:
        with _opened_root(directory) as root:
            for entry in recipe.entries:
                _make_folders(into, entry.path)
                _stage_entry(root, entry, into / entry.path)
    except (Refused, Transient, OSError) as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise Transient(
                f"recipe {recipe.name}: no room for a copy of it in {_shown(into)}:"
                " the disk is full; free some space there"
            ) from error
        raise Transient(
            f"recipe {recipe.name}: its directory changed since it was read ({error})"
        ) from error


def _make_folders(into: Path, path: str) -> None:
    # Directories come before what is in them, but one that is ignored and holds something that was
    # brought back is not listed at all.
    folder = into
    for part in path.split("/")[:-1]:
        folder /= part
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)


def _stage_entry(root: int, entry: RecipeEntry, to: Path) -> None:
    match entry.kind:
        case EntryKind.DIRECTORY:
            to.mkdir(exist_ok=True)
        case EntryKind.SYMLINK:
            to.symlink_to(entry.content)
            return
        case EntryKind.FILE:
            with _opened_below(root, entry.path) as (opened, _), to.open("xb") as copy:
                digest = hashlib.sha256()
                while chunk := os.read(opened, _CHUNK_BYTES):
                    digest.update(chunk)
                    copy.write(chunk)
            if digest.hexdigest() != entry.content:
                raise Transient(f"{_shown(entry.path)} has other content")
    to.chmod(entry.mode)


@contextmanager
def _opened_root(directory: Path) -> Iterator[int]:
    """The directory, opened. The path to it may pass through links: the configuration names it."""
    try:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Refused(f"there is no directory {_shown(directory)}") from None
    try:
        # A mounted ConfigMap holds links into ..data, itself a link to a directory that is replaced
        # as a whole at each change. Read that one: it is consistent, and its name, which is a
        # time, stays out of the digest.
        current = _link_target(root, "..data")
        if current and "/" not in current and current != "..":
            inner = os.open(current, _DIRECTORY, dir_fd=root)
            os.close(root)
            root = inner
        yield root
    finally:
        os.close(root)


def _link_target(folder: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _containerfile(root: int, path: str | None, limits: RecipeLimits) -> str:
    for candidate in (path,) if path else _DEFAULT_NAMES:
        data = _small_file(root, candidate, limits)
        if data is not None:
            try:
                return decode(data)
            except Malformed as error:
                raise Refused(f"{_shown(candidate)}, {error}") from error
    wanted = _shown(path) if path else " or ".join(_DEFAULT_NAMES)
    raise Refused(f"there is no {wanted} in its directory")


def _ignore_rules(root: int, limits: RecipeLimits) -> IgnoreRules:
    for name in _IGNORE_NAMES:
        data = _small_file(root, name, limits)
        if data is not None:
            try:
                return IgnoreRules.parse(decode(data).removeprefix("\ufeff").splitlines())
            except Malformed as error:
                raise Refused(f"{name}, {error}") from error
    return IgnoreRules()


def _small_file(root: int, path: str, limits: RecipeLimits) -> bytes | None:
    """The bytes of a text file; None if it is not there."""
    try:
        with _opened_below(root, path) as (opened, _):
            data = _read_up_to(opened, limits.containerfile_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > limits.containerfile_bytes:
        raise Refused(f"{_shown(path)} is larger than {limits.containerfile_bytes} bytes")
    return data


@contextmanager
def _opened_below(root: int, path: str) -> Iterator[tuple[int, os.stat_result]]:
    """The regular file at `path`, reached without following any link."""
    *folders, name = path.split("/")
    if any(part in ("", ".", "..") for part in (*folders, name)):
        raise Refused(f"{_shown(path)} is not a path below the recipe directory")
    folder = os.dup(root)
    try:
        for part in folders:
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        with _opened_file(folder, name, path) as opened:
            yield opened
    finally:
        os.close(folder)


def _read_up_to(opened: int, most: int) -> bytes:
    chunks: list[bytes] = []
    while most > 0 and (chunk := os.read(opened, min(_CHUNK_BYTES, most))):
        chunks.append(chunk)
        most -= len(chunk)
    return b"".join(chunks)


@contextmanager
def _opened_file(folder: int, name: str, path: str) -> Iterator[tuple[int, os.stat_result]]:
    """A regular file, opened, and what it is; raise Refused for anything else."""
    # Asked first: opening a device can do things, and opening a socket fails without a reason.
    _refuse_special(os.stat(name, dir_fd=folder, follow_symlinks=False), path)
    opened = os.open(name, _FILE, dir_fd=folder)
    try:
        seen = os.fstat(opened)
        _refuse_special(seen, path)
        yield opened, seen
    finally:
        os.close(opened)


def _refuse_special(seen: os.stat_result, path: str) -> None:
    if stat.S_ISLNK(seen.st_mode):
        raise Refused(f"{_shown(path)} is a link; put the file itself there")
    if not stat.S_ISREG(seen.st_mode):
        raise Refused(f"{_shown(path)} is neither a file, a directory nor a link; remove it")


class _Listing:
    """One pass over the directory, within limits."""

    def __init__(self, root: int, rules: IgnoreRules, limits: RecipeLimits) -> None:
        self._root, self._rules, self._limits = root, rules, limits
        self._entries: list[RecipeEntry] = []
        self._links: dict[str, str] = {}
        self._seen = 0
        self._bytes = 0

    def read(self) -> tuple[RecipeEntry, ...]:
        self._folder(self._root, "", depth=0)
        for entry in self._entries:
            if entry.kind is EntryKind.SYMLINK and leaves_directory(entry.path, links=self._links):
                raise Refused(
                    f"the link {_shown(entry.path)} -> {_shown(entry.content)} leads out of the "
                    "recipe directory; make it relative and keep it inside"
                )
        return tuple(sorted(self._entries, key=lambda entry: entry.path))

    def _folder(self, folder: int, prefix: str, *, depth: int) -> None:
        if depth > self._limits.depth:
            raise Refused(f"more than {self._limits.depth} directories below one another")
        with os.scandir(folder) as found:
            names = [entry.name for entry in found]
        for name in names:
            self._entry(folder, name, prefix + name, depth=depth)

    def _entry(self, folder: int, name: str, path: str, *, depth: int) -> None:
        self._seen += 1
        if self._seen > self._limits.entries:
            raise Refused(
                f"more than {self._limits.entries} files and directories; "
                "is this the right directory, or is something to be ignored?"
            )
        if not _is_utf8(name):
            raise Refused(f"the file name {_shown(path)} is not UTF-8; rename it")
        ignored = self._rules.ignores(path)
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(seen.st_mode):
            self._directory(folder, name, path, ignored=ignored, depth=depth)
        elif stat.S_ISLNK(seen.st_mode):
            self._link(folder, name, path, ignored=ignored)
        elif not ignored:
            self._file(folder, name, path)

    def _directory(self, folder: int, name: str, path: str, *, ignored: bool, depth: int) -> None:
        if not ignored:
            self._entries.append(RecipeEntry(path=path, kind=EntryKind.DIRECTORY))
        elif self._rules.never_bring_back:
            return
        inner = os.open(name, _DIRECTORY, dir_fd=folder)
        try:
            self._folder(inner, path + "/", depth=depth + 1)
        finally:
            os.close(inner)

    def _link(self, folder: int, name: str, path: str, *, ignored: bool) -> None:
        target = os.readlink(name, dir_fd=folder)
        if not _is_utf8(target):
            raise Refused(f"the target of the link {_shown(path)} is not UTF-8")
        # Ignored links are kept for the question where others lead.
        self._links[path] = target
        if not ignored:
            self._entries.append(RecipeEntry(path=path, kind=EntryKind.SYMLINK, content=target))

    def _file(self, folder: int, name: str, path: str) -> None:
        with _opened_file(folder, name, path) as (opened, before):
            digest, size = self._hashed(opened)
            after = os.fstat(opened)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or (
            size != after.st_size
        ):
            raise Transient(f"{_shown(path)} changed while it was read")
        self._entries.append(
            RecipeEntry(
                path=path,
                kind=EntryKind.FILE,
                content=digest,
                executable=bool(before.st_mode & stat.S_IXUSR),
                size_bytes=size,
            )
        )

    def _hashed(self, opened: int) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        while chunk := os.read(opened, _CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            self._bytes += len(chunk)
            if self._bytes > self._limits.total_bytes:
                raise Refused(f"its files are larger than {self._limits.total_bytes} bytes in all")
        return digest.hexdigest(), size


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: object) -> str:
    """A path as it can go into a message: bounded, without control characters."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    return ascii(str(text)[:200])
