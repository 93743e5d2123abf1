"""The blocks a tar archive is made of: POSIX ustar, with GNU's long numbers."""

from watcher.clients.registry.errors import BadContent

BLOCK = 512
LONGEST_NAME = 64 * 1024
"""Bytes of a long name or a pax header; a path is at most 4 KiB on Linux."""
FILE_TYPES = frozenset(b"0\x007")
WITHOUT_CONTENT = frozenset(b"123456")
"""Links, devices, directories, FIFOs: no content follows, whatever size is said. As Go's reader."""


def padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def check_sum(block: bytes) -> None:
    """The sum of all bytes with the field itself as blanks; ustar's only check."""
    actual = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if actual != number(block[148:156]):
        raise BadContent("the archive has a header with a wrong checksum")


def number(field: bytes) -> int:
    """An octal number, or GNU's base-256 form with the high bit set; never negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.split(b"\0", 1)[0].strip()
    if not digits or digits.strip(b"01234567"):
        raise BadContent("the archive has a header with a malformed number")
    return int(digits, 8)


def short_name(block: bytes) -> str:
    name = text(block[:100])
    prefix = text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
