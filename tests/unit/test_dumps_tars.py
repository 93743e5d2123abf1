"""Archives of all of tar's forms, and what is none."""

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.clients.dumps.tars import entries, is_tar
from watcher.errors import Refused

LONG = "/".join(["a-directory-with-a-name"] * 12) + "/file.yaml"
"""Longer than an ustar name may be."""


def packed(form: int, *members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.mtime = len(content), kind, 1_790_000_000
    return made


def file(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, content), content


def read(archive: bytes, size: int = 1000) -> dict[str, bytes]:
    parts = (archive[n : n + size] for n in range(0, len(archive), size))
    return {"/".join(e.parts): b"".join(e.content) for e in entries(parts)}


FORMS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 511, 100_000])
def test_every_form_of_tar(form: int, size: int) -> None:
    files = {"a.yaml": b"x" * 700, "./b/c.yaml": b"", "d.yaml": b"y" * 512}
    if form != tarfile.USTAR_FORMAT:
        files[LONG] = b"long"
        files["ü.yaml"] = b"name"
    else:
        files["p" * 90 + "/" + "q" * 90] = b"prefix"
    archive = packed(form, *(file(name, content) for name, content in files.items()))
    assert is_tar(archive)
    assert read(archive, size) == {n.removeprefix("./"): content for n, content in files.items()}


def test_the_times_of_files() -> None:
    """Whole seconds, or pax's fractions; none where nobody set one."""
    exact, never = member("a"), member("b")
    exact.pax_headers = {"mtime": "1790000000.5"}
    never.mtime = 0
    archive = packed(tarfile.PAX_FORMAT, (exact, b""), (never, b""), file("c", b""))
    assert [entry.written for entry in entries([archive])] == [1_790_000_000.5, None, 1_790_000_000]


def test_what_is_no_regular_file_is_passed_over() -> None:
    link = member("link", kind=tarfile.SYMTYPE)
    link.linkname = "/etc/passwd"
    directory = member("dir", kind=tarfile.DIRTYPE)
    directory.size = 0
    pipe = member("pipe", kind=tarfile.FIFOTYPE)
    odd = member("odd", b"x" * 600, kind=b"V")
    members = [(link, b""), (directory, b""), (pipe, b""), (odd, b"x" * 600), file("a", b"1")]
    assert read(packed(tarfile.GNU_FORMAT, *members)) == {"a": b"1"}


def test_a_link_that_claims_a_size_has_no_content() -> None:
    link = member("link", kind=tarfile.SYMTYPE)
    link.linkname, link.size = "x", 5000
    header = link.tobuf(tarfile.USTAR_FORMAT)
    assert read(header + packed(tarfile.USTAR_FORMAT, file("a", b"1"))) == {"a": b"1"}


def test_global_headers_and_long_link_names_are_passed_over() -> None:
    link = member("link", kind=tarfile.SYMTYPE)
    link.linkname = "t" * 300
    made = io.BytesIO()
    with tarfile.open(
        fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "c" * 900}
    ) as archive:
        archive.addfile(member("a", b"1"), io.BytesIO(b"1"))
    gnu = packed(tarfile.GNU_FORMAT, (link, b""), file("b", b"2"))
    assert read(made.getvalue()) == {"a": b"1"}
    assert read(gnu) == {"b": b"2"}


def test_a_global_header_between_a_name_and_its_file_changes_nothing() -> None:
    named = packed(tarfile.PAX_FORMAT, file(LONG, b"1"))
    between = packed(
        tarfile.USTAR_FORMAT, (member("g", b"12 comm=xyz\n", kind=b"g"), b"12 comm=xyz\n")
    )
    assert named[156:157] == b"x"
    assert read(named[:1024] + between[:1024] + named[1024:]) == {LONG: b"1"}


def test_a_path_that_leaves_the_archive_is_passed_over() -> None:
    names = ("../a.yaml", "x/../../a.yaml", "..", "/", "ok.yaml")
    archive = packed(tarfile.GNU_FORMAT, *(file(name, b"1") for name in names))
    assert read(archive) == {"ok.yaml": b"1"}


def test_content_that_nobody_reads_is_passed_over() -> None:
    archive = packed(tarfile.GNU_FORMAT, file("a", b"x" * 5000), file("b", b"y" * 600))
    found: Iterator[bytes] = iter(())
    names = []
    for entry in entries([archive[:3000], archive[3000:]]):
        names.append(entry.parts[0])
        found = entry.content
        if entry.parts == ("b",):
            assert b"".join(found) == b"y" * 600
    assert names == ["a", "b"]


def pax(records: bytes) -> bytes:
    header = member("pax", records, kind=b"x")
    return packed(tarfile.USTAR_FORMAT, (header, records), file("a", b"1"))


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (packed(tarfile.GNU_FORMAT, file("a", b"x" * 900))[:800], "ends within an entry"),
        (packed(tarfile.GNU_FORMAT, file("a", b"x" * 900))[:300], "ends within an entry"),
        (b"x" * 512, "malformed number"),
        (b"b" + packed(tarfile.GNU_FORMAT, file("a", b"x"))[1:], "wrong checksum"),
        (pax(b"99 path=x\n"), "malformed pax header"),
        (pax(b"3 path=x\n"), "malformed pax header"),
        (pax(b"x path=x\n"), "malformed pax header"),
        (pax(b"12 size=1x2\n"), "malformed size"),
        (pax(b"30 size=" + b"9" * 21 + b"\n"), "malformed size"),
        (packed(tarfile.GNU_FORMAT, file("a" * 70_000, b"")), "longer than the limit of 65536"),
    ],
)
def test_what_is_no_archive_is_said(archive: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        read(archive)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255))))
def test_anything_is_an_archive_or_refused(noise: bytes, flips: list[tuple[int, int]]) -> None:
    archive = bytearray(packed(tarfile.PAX_FORMAT, file(LONG, b"1"), file("ü", noise)))
    for at, byte in flips[:5]:
        archive[at % len(archive)] = byte
    for candidate in (noise, bytes(archive)):
        try:
            read(candidate)
        except Refused:
            continue
