"""What COPY and ADD put where, decided from the list of the recipe's files alone.

The base is never read, so its directories and links are not known. What hangs on them is refused
with the line rather than guessed; `docs/decisions/0002-builders.md` has the reasons.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename, dirname, normpath

from watcher.core.append import CopyFiles, InlineFile, Source
from watcher.core.patterns import glob
from watcher.core.recipe import EntryKind, RecipeEntry
from watcher.ports import Refused

_LINKED = ("bin", "sbin", "lib", "lib64", "home", "root", "opt", "mnt", "media", "srv", "ostree")
_LINKED_BELOW = ("usr/local", "usr/tmp", "var/run", "var/lock", "var/mail", "etc/init.d")
_NOT_OF_THE_IMAGE = ("dev", "proc", "run", "sys", "sysroot", "tmp", "boot")
_ARCHIVES = (".tar", ".tgz", ".gz", ".tbz", ".tbz2", ".bz2", ".txz", ".xz", ".zst", ".tzst")
_ARCHIVE_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_DIRECTORIES_OF_FILES = frozenset({"bin", "sbin", "libexec"})
_WHITEOUT = ".wh."


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One entry of the layer."""

    path: str
    """In the image, without the leading slash."""
    kind: EntryKind
    mode: int
    owner: tuple[int, int] = (0, 0)
    source: str = ""
    """Of a file, its path in the recipe."""
    content: bytes | None = None
    """Of a file that stands in the Containerfile."""
    link: str = ""


class Layout:
    """The layer as it grows, step by step."""

    def __init__(
        self, entries: Sequence[RecipeEntry], *, directory_modes: Mapping[str, int], workdir: str
    ) -> None:
        self._entries = {entry.path: entry for entry in entries}
        self._modes = directory_modes
        self._workdir = workdir or "/"
        self._placed: dict[str, Placed] = {}

    def placed(self) -> tuple[Placed, ...]:
        """Sorted, so that a directory comes before what is in it."""
        return tuple(self._placed[path] for path in sorted(self._placed))

    def copy(self, step: CopyFiles) -> None:
        """Raise Refused naming the line."""
        try:
            self._copy(step)
        except Refused as error:
            raise Refused(f"line {step.line}: {error}") from None

    def _copy(self, step: CopyFiles) -> None:
        found = [item for source in step.sources for item in self._found(source)]
        into = step.destination.endswith(("/", "/."))
        if len(found) > 1 and not into:
            raise Refused(
                f"several sources need a destination that ends with /: {step.destination}"
            )
        path = _in_image(self._workdir, step.destination)
        for item in found:
            if isinstance(item, InlineFile):
                target = f"{path}/{item.name}" if into else path
                self._file(_clean(target), step, content=item.content.encode(), mode=0o644)
            elif item is None or item.kind is EntryKind.DIRECTORY:
                self._tree(item, path, step)
            else:
                self._one(item, path, step, into=into)

    def _found(self, source: Source | InlineFile) -> Iterator[RecipeEntry | InlineFile | None]:
        """What a source names; None is the recipe directory itself."""
        if isinstance(source, InlineFile):
            yield source
        elif not source.path:
            yield None
        elif source.is_glob:
            pattern = glob(source.path)
            matching = [entry for path, entry in self._entries.items() if pattern.fullmatch(path)]
            if not matching:
                raise Refused(f"no file of the recipe matches {source.path!r}")
            yield from matching
        else:
            entry = self._entries.get(source.path)
            if entry is None:
                raise Refused(f"{source.path!r} is not in the recipe (or is ignored)")
            yield entry

    def _one(self, item: RecipeEntry, path: str, step: CopyFiles, *, into: bool) -> None:
        if item.kind is EntryKind.SYMLINK:
            # Builders follow such a link, and each in its own way.
            raise Refused(f"{item.path!r} is a link; copy what it points to")
        if step.unpacks and item.path.endswith(_ARCHIVES):
            raise Refused(f"ADD would unpack {item.path!r}: use COPY, or the buildah builder")
        known = self._placed.get(path)
        if into or path == "" or (known and known.kind is EntryKind.DIRECTORY):
            path = _clean(f"{path}/{basename(item.path)}")
        elif not known and not _is_surely_a_file(path, item.path):
            raise Refused(
                f"/{path} may be a directory of the base: end it with / if it is, "
                "else use the buildah builder"
            )
        self._file(path, step, source=item.path, mode=item.mode)

    def _tree(self, top: RecipeEntry | None, path: str, step: CopyFiles) -> None:
        """What is in a directory, not the directory itself."""
        self._directory(path)
        prefix = f"{top.path}/" if top else ""
        for entry in self._entries.values():
            if not entry.path.startswith(prefix):
                continue
            target = _clean(f"{path}/{entry.path.removeprefix(prefix)}")
            if entry.kind is EntryKind.DIRECTORY:
                self._directory(target, step=step)
            elif entry.kind is EntryKind.SYMLINK:
                self._put(
                    Placed(
                        path=target,
                        kind=entry.kind,
                        mode=entry.mode,
                        owner=step.owner,
                        link=entry.content,
                    )
                )
            else:
                self._file(target, step, source=entry.path, mode=entry.mode)

    def _file(
        self,
        path: str,
        step: CopyFiles,
        *,
        mode: int,
        source: str = "",
        content: bytes | None = None,
    ) -> None:
        self._put(
            Placed(
                path=path,
                kind=EntryKind.FILE,
                mode=mode if step.mode is None else step.mode,
                owner=step.owner,
                source=source,
                content=content,
            )
        )

    def _directory(self, path: str, *, step: CopyFiles | None = None) -> None:
        """A directory; of one that is copied (`step`) the mode and owner that were asked for."""
        if path == "":
            return
        known = self._placed.get(path)
        if known and known.kind is not EntryKind.DIRECTORY:
            raise Refused(f"/{path} is already a {known.kind.value}, so no directory")
        mode = self._modes.get(path, 0o755)
        owner = (0, 0)
        if step:
            mode, owner = mode if step.mode is None else step.mode, step.owner
        if step or not known:
            self._put(Placed(path=path, kind=EntryKind.DIRECTORY, mode=mode, owner=owner))

    def _put(self, new: Placed) -> None:
        _refuse_unknown(new.path)
        known = self._placed.get(new.path)
        if known and (known.kind is EntryKind.DIRECTORY) != (new.kind is EntryKind.DIRECTORY):
            raise Refused(f"/{new.path} is already a {known.kind.value}, so no {new.kind.value}")
        if parent := dirname(new.path):
            self._directory(parent)
        self._placed[new.path] = new


def is_archive(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are those of an archive that ADD unpacks."""
    return head.startswith(_ARCHIVE_MAGIC) or head[257:262] == b"ustar"


def _in_image(workdir: str, destination: str) -> str:
    """`/etc//a/` → `etc/a`; the root is empty."""
    whole = destination if destination.startswith("/") else f"{workdir}/{destination}"
    return normpath(f"/{whole}").strip("/")


def _clean(path: str) -> str:
    return path.strip("/")


def _is_surely_a_file(path: str, source: str) -> bool:
    """Whether a destination without a slash at its end can be no directory of the base.

    A directory there would have to be copied into, and we would put a file in its place.
    """
    parent, name = basename(dirname(path)), basename(path)
    if name == basename(source) or parent in _DIRECTORIES_OF_FILES or parent.endswith(".d"):
        return dirname(path) != ""
    _, dot, extension = name.rpartition(".")
    return bool(dot) and extension != "d" and dirname(path) != ""


def _refuse_unknown(path: str) -> None:
    """Raise Refused where an entry would not do what it says."""
    first, name = path.partition("/")[0], basename(path)
    if first in _LINKED or _is_at_or_below(path, _LINKED_BELOW):
        raise Refused(
            f"/{path} passes through what is a link on OSTree systems: "
            "name its target, such as /usr/bin for /bin, or use the buildah builder"
        )
    if first in _NOT_OF_THE_IMAGE:
        raise Refused(f"/{path}: /{first} of an image does not reach a node")
    if name.startswith(_WHITEOUT):
        raise Refused(f"/{path}: a name with {_WHITEOUT} means a removal in a layer; rename it")


def _is_at_or_below(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)
