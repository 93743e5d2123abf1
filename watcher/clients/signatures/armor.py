"""Keys as text become keys as bytes: `gpgv` reads only binary keyrings.

ASCII armor of RFC 9580 section 6. No program is asked: `gpg` may not be installed where `gpgv` is.
"""

import base64
import binascii
import re

from watcher.core.facts import Malformed

MOST_BYTES = 1024 * 1024
"""A ConfigMap holds no more; Red Hat's key of two has 3 KiB."""
_MOST_BLOCKS = 32
_BEGIN, _END = "-----BEGIN ", "-----END "
_DASHES = "-----"
_KEY = "PGP PUBLIC KEY BLOCK"
_HEADER = re.compile(r"[A-Za-z0-9-]+: ?.*")
_PUBLIC_KEY = 6
"""Packet tag with which a key begins."""


def keyring(raw: bytes) -> bytes:
    """Return the binary keyring of an armored (or already binary) one.

    Several blocks one after another are one keyring; text between them is skipped, as `gpg` does.
    Raise Malformed where it is no public key, or a checksum does not fit.
    """
    if len(raw) > MOST_BYTES:
        raise Malformed(f"the key is larger than {MOST_BYTES} bytes")
    if raw[:1] >= b"\x80":
        return _checked(raw)
    try:
        lines = [line.strip() for line in raw.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise Malformed("the key is neither text nor an OpenPGP packet") from error
    found, at = b"", 0
    for _ in range(_MOST_BLOCKS):
        at = _next_block(lines, at)
        if at < 0:
            break
        block, at = _block(lines, at)
        found += _checked(block)
    else:
        if _next_block(lines, at) >= 0:
            raise Malformed(f"the key has more than {_MOST_BLOCKS} armored blocks")
    if not found:
        raise Malformed(f"there is no {_BEGIN}{_KEY}{_DASHES} in it")
    return found


def _next_block(lines: list[str], at: int) -> int:
    """The line after the next BEGIN; -1 if there is none. Raise Malformed if it begins no key."""
    for number in range(at, len(lines)):
        line = lines[number]
        if line.startswith(_BEGIN):
            if line != f"{_BEGIN}{_KEY}{_DASHES}":
                raise Malformed(f"it holds {line[len(_BEGIN) : 60]!r}, not a public key")
            return number + 1
    return -1


def _block(lines: list[str], at: int) -> tuple[bytes, int]:
    """The bytes of the block whose headers begin at `at`, and the line after its end."""
    while at < len(lines) and _HEADER.fullmatch(lines[at]):
        at += 1
    if at >= len(lines) or lines[at]:
        raise Malformed("an armored block has no empty line before its data")
    end = next((n for n in range(at, len(lines)) if lines[n].startswith(_DASHES)), len(lines))
    if end == len(lines) or lines[end] != f"{_END}{_KEY}{_DASHES}":
        raise Malformed(f"an armored block does not end with {_END}{_KEY}{_DASHES}")
    body = [line for line in lines[at:end] if line]
    # RFC 9580 makes the checksum optional; where it is, it must fit.
    checksum = body.pop()[1:] if body and re.fullmatch("=[^=]{4}", body[-1]) else None
    content = _base64("".join(body))
    if not content:
        raise Malformed("an armored block is empty")
    if checksum is not None and _base64(checksum) != _crc24(content):
        raise Malformed("the checksum of an armored block does not fit: it was cut or changed")
    return content, end + 1


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("an armored block is not base64") from error


def _crc24(content: bytes) -> bytes:
    """RFC 9580 section 6.1.1."""
    register = 0xB704CE
    for byte in content:
        register ^= byte << 16
        for _ in range(8):
            register <<= 1
            if register & 0x1000000:
                register ^= 0x1864CFB
    return register.to_bytes(3, "big")


def packet_tag(content: bytes) -> int:
    """The type of the OpenPGP packet that it begins with; -1 if it does not begin with one."""
    first = content[0] if content else 0
    if not first & 0x80:
        return -1
    return first & 0x3F if first & 0x40 else first >> 2 & 0x0F


def _checked(content: bytes) -> bytes:
    if packet_tag(content) != _PUBLIC_KEY:
        raise Malformed("it does not begin with an OpenPGP public key")
    return content
