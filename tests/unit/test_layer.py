"""What COPY puts where, and the archive made of it: the same bytes each time."""

import gzip
import hashlib
import io
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from watcher.clients.builders.copying import Layout, Placed
from watcher.clients.builders.layer import Layer, write_layer
from watcher.clients.builders.settings import AppendSettings
from watcher.core.append import CopyFiles, plan
from watcher.core.containerfile import scan
from watcher.core.recipe import EntryKind, RecipeEntry
from watcher.ports import Refused

MTIME = 1_762_000_000


def entry(path: str, kind: EntryKind = EntryKind.FILE, content: str = "x") -> RecipeEntry:
    return RecipeEntry(path=path, kind=kind, content=content)


TREE = (
    entry("a.conf"),
    entry("app.tar"),
    entry("b.conf"),
    entry("tree", EntryKind.DIRECTORY),
    entry("tree/etc", EntryKind.DIRECTORY),
    entry("tree/etc/file"),
    entry("tree/link", EntryKind.SYMLINK, "etc/file"),
    entry("up", EntryKind.SYMLINK, "a.conf"),
)


def placed(
    *lines: str, workdir: str = "/", entries: tuple[RecipeEntry, ...] = TREE
) -> list[Placed]:
    layout = Layout(entries, directory_modes=AppendSettings().directory_modes, workdir=workdir)
    for step in plan(scan("\n".join(("FROM r.example/x", *lines, "")))):
        assert isinstance(step, CopyFiles)
        layout.copy(step)
    return list(layout.placed())


def files(*lines: str, **more: str) -> dict[str, str]:
    found = placed(*lines, **more)  # type: ignore[arg-type]
    return {p.path: p.source or p.link for p in found if p.kind is not EntryKind.DIRECTORY}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY a.conf /etc/a.conf", {"etc/a.conf": "a.conf"}),
        ("COPY a.conf /etc/other.conf", {"etc/other.conf": "a.conf"}),
        ("COPY a.conf /etc/", {"etc/a.conf": "a.conf"}),
        ("COPY a.conf b.conf /etc/", {"etc/a.conf": "a.conf", "etc/b.conf": "b.conf"}),
        ("COPY *.conf /etc/", {"etc/a.conf": "a.conf", "etc/b.conf": "b.conf"}),
        ("COPY tree /usr", {"usr/etc/file": "tree/etc/file", "usr/link": "etc/file"}),
        ("COPY tree/ /usr/", {"usr/etc/file": "tree/etc/file", "usr/link": "etc/file"}),
        ("COPY tree /", {"etc/file": "tree/etc/file", "link": "etc/file"}),
        ("COPY a.conf /usr/bin/run", {"usr/bin/run": "a.conf"}),
        ("COPY a.conf /etc/x.d/../y.d/name", {"etc/y.d/name": "a.conf"}),
        ("ADD a.conf /etc/", {"etc/a.conf": "a.conf"}),
    ],
)
def test_copy_puts_files_where_the_reference_says(line: str, expected: dict[str, str]) -> None:
    assert files(line) == expected


def test_the_whole_directory_is_a_source_too() -> None:
    assert set(files("COPY . /usr/share/all")) == {
        f"usr/share/all/{e.path}" for e in TREE if e.kind is not EntryKind.DIRECTORY
    }


def test_a_relative_destination_begins_at_the_working_directory() -> None:
    assert files("COPY a.conf here/", workdir="/usr/share") == {"usr/share/here/a.conf": "a.conf"}


def test_a_later_copy_wins_and_may_go_into_a_directory_made_before() -> None:
    assert (
        files("COPY tree /usr/share/t", "COPY a.conf /usr/share/t/etc", "COPY b.conf /etc/a.conf")[
            "usr/share/t/etc/a.conf"
        ]
        == "a.conf"
    )
    assert files("COPY a.conf /etc/x.conf", "COPY b.conf /etc/x.conf") == {"etc/x.conf": "b.conf"}


def test_parents_are_as_the_base_has_them_and_come_first() -> None:
    found = placed("COPY --chown=5:6 --chmod=0400 a.conf /etc/sudoers.d/")
    assert [(p.path, oct(p.mode), p.owner) for p in found] == [
        ("etc", "0o755", (0, 0)),
        ("etc/sudoers.d", "0o750", (0, 0)),
        ("etc/sudoers.d/a.conf", "0o400", (5, 6)),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("COPY gone /etc/", "'gone' is not in the recipe"),
        ("COPY *.zip /etc/", "no file of the recipe matches"),
        ("COPY *.conf /etc/conf", "several sources need a destination that ends with /"),
        ("COPY up /etc/", "'up' is a link"),
        ("ADD app.tar /etc/", "would unpack"),
        ("COPY a.conf /etc/sysctl.d", "may be a directory of the base"),
        ("COPY a.conf /etc/systemd", "may be a directory of the base"),
        ("COPY a.conf /etc", "may be a directory of the base"),
        ("COPY a.conf /a.conf", "may be a directory of the base"),
        ("COPY a.conf /bin/", "link on OSTree systems"),
        ("COPY a.conf /usr/local/bin/a.conf", "link on OSTree systems"),
        ("COPY a.conf /opt/app/", "link on OSTree systems"),
        ("COPY a.conf /tmp/", "does not reach a node"),
        ("COPY a.conf /etc/x.d/.wh.name", "means a removal"),
    ],
)
def test_what_depends_on_the_base_is_refused_with_its_line(line: str, said: str) -> None:
    with pytest.raises(Refused, match=f"^line 2: .*{said}"):
        placed(line)


def test_a_directory_over_a_link_of_ostree_is_refused_wherever_it_comes_from() -> None:
    tree = (entry("r", EntryKind.DIRECTORY), entry("r/lib", EntryKind.DIRECTORY))
    with pytest.raises(Refused, match="link on OSTree"):
        placed("COPY r/ /", entries=tree)


def test_a_file_is_not_put_below_a_file() -> None:
    with pytest.raises(Refused, match="already a file"):
        placed("COPY a.conf /etc/a.conf", "COPY b.conf /etc/a.conf/")


def made(context: Path, contents: Mapping[str, bytes], **more: object) -> Layer:
    for path, content in contents.items():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).write_bytes(content)
    listed = placed("COPY tree /usr/share", "COPY --chown=5 a.conf /etc/a.conf")
    return write_layer(listed, context, mtime=MTIME, memory_bytes=1 << 20, **more)  # type: ignore[arg-type]


CONTENTS = {"tree/etc/file": b"f" * 3000, "a.conf": b"a"}


def test_the_same_files_give_the_same_layer_on_another_day(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    with made(first, CONTENTS).file as one:
        time_of_old = time.time() - 1e6
        for path in CONTENTS:
            (second / path).parent.mkdir(parents=True, exist_ok=True)
            (second / path).write_bytes(b"")
            os.utime(second / path, (time_of_old, time_of_old))
        with made(second, dict(reversed(CONTENTS.items()))).file as other:
            assert one.read() == other.read()


def test_digests_and_size_are_those_of_the_bytes(tmp_path: Path) -> None:
    layer = made(tmp_path, CONTENTS)
    with layer.file as file:
        packed = file.read()
    assert layer.size == len(packed)
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    plain = gzip.decompress(packed)
    assert layer.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert packed[4:8] == bytes(4)  # no time of compression
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {m.mtime for m in members} == {MTIME}
    assert {m.uname + m.gname for m in members} == {""}
    owners = {m.name: (m.uid, m.gid) for m in members}
    assert owners["etc/a.conf"] == (5, 5)
    assert owners["usr/share/etc/file"] == (0, 0)


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    for head in (gzip.compress(b""), b"\xfd7zXZ\x00", b"BZh9", b"\0" * 257 + b"ustar"):
        with pytest.raises(Refused, match="unpack"):
            made(tmp_path, {**CONTENTS, "a.conf": head}, unpacked=frozenset({"a.conf"}))


def test_a_large_layer_is_kept_in_a_file(tmp_path: Path) -> None:
    noise = os.urandom(1 << 21)
    layer = made(tmp_path, {**CONTENTS, "a.conf": noise}, scratch=tmp_path)
    with layer.file as file:
        assert getattr(file, "_rolled") is True  # noqa: B009 - no public way to ask
        assert layer.size > 1 << 21
