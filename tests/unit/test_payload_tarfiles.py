"""The tar reader against the standard library's writer, however the bytes are cut."""

import contextlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.clients.registry import BadContent, Limits, TooLarge
from watcher.clients.registry.tarfiles import TarFiles
from watcher.ports import Refused

WANTED = "release-manifests/image-references"
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def archive(entries: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=kind) as made:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def read(data: bytes, *wanted: str, cut: int = 10_000, limits: Limits | None = None) -> TarFiles:
    files = TarFiles(frozenset(wanted), limits=limits or Limits())
    for at in range(0, len(data), cut):
        files.feed(data[at : at + cut])
    files.close()
    return files


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=150)


@given(
    st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=5, unique_by=lambda e: e[0]),
    st.sampled_from(FORMATS[1:]),
    st.integers(1, 3000),
)
def test_what_the_standard_library_writes_is_read(
    entries: list[tuple[str, bytes]], kind: int, cut: int
) -> None:
    found = read(archive(entries, kind), *(name for name, _ in entries), cut=cut).found
    assert found == dict(entries)


@pytest.mark.parametrize("kind", FORMATS, ids=["ustar", "gnu", "pax"])
@pytest.mark.parametrize("name", [f"{'d' * 90}/{'f' * 60}", f"./{WANTED}", f"/{WANTED}"])
def test_names_are_read_in_every_form(kind: int, name: str) -> None:
    wanted = name.removeprefix("./").lstrip("/")
    assert read(archive([(name, b"content")], kind), wanted).found == {wanted: b"content"}


@given(st.binary(max_size=3000), st.integers(0, 2500), st.integers(0, 255))
def test_no_bytes_break_the_reader(tail: bytes, at: int, byte: int) -> None:
    good = archive([("a" * 120, b"x" * 700), (WANTED, b"content")])
    damaged = good[:at] + bytes([byte]) + good[at + 1 :]
    for data in (tail, damaged):
        with contextlib.suppress(Refused):
            read(data, WANTED)


def test_a_header_with_one_wrong_bit_is_refused() -> None:
    data = bytearray(archive([(WANTED, b"content")]))
    data[0] ^= 1
    with pytest.raises(BadContent, match="wrong checksum"):
        read(bytes(data), WANTED)


def test_a_link_in_place_of_a_file_is_refused() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        entry = tarfile.TarInfo(WANTED)
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/shadow"
        made.addfile(entry)
    with pytest.raises(BadContent, match="not a regular file"):
        read(target.getvalue(), WANTED)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, b"3", b"6"])
def test_what_has_no_content_hides_none_behind_its_size(kind: bytes) -> None:
    """Go's reader, which `oc` uses, finds an entry there: so must we."""
    entry = tarfile.TarInfo("a")
    entry.type, entry.size, entry.linkname = kind, 10**6, "b"
    # The standard library writes no such size by itself.
    header = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"00003641100\0"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * 32)
    found = read(bytes(header) + archive([(WANTED, b"content")]), WANTED).found
    assert found == {WANTED: b"content"}


def test_a_file_that_is_there_twice_is_refused() -> None:
    data = archive([(WANTED, b"one"), (f"./{WANTED}", b"two")])
    with pytest.raises(BadContent, match="there twice"):
        read(data, WANTED, "another")


def test_nothing_is_read_once_all_is_found() -> None:
    files = TarFiles(frozenset({WANTED}), limits=Limits())
    files.feed(archive([(WANTED, b"content")])[:1024] + b"what follows is not even tar" * 100)
    files.close()
    assert files.complete
    assert files.found == {WANTED: b"content"}


def test_an_entry_that_claims_to_be_huge_is_not_waited_for() -> None:
    entry = tarfile.TarInfo(WANTED)
    entry.size = 10**15
    header = entry.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(TooLarge, match="file limit"):
        read(header, WANTED)


def test_names_are_bounded() -> None:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 10**9
    with pytest.raises(TooLarge):
        read(entry.tobuf(tarfile.GNU_FORMAT), WANTED)
