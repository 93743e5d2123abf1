"""What gpgv reports, keys in armor, and what is refused before anything is run or asked."""

import base64
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import T0, seconds
from tests.virtual_time import virtually
from watcher.clients.signatures import armor, gpgv
from watcher.clients.signatures.gpgv import NotInstalled, Signed, judged
from watcher.clients.signatures.stores import unusable
from watcher.core.facts import Malformed

KEY, BY_KEY = b"\x99 one", b"\xa3 one"


# --- gpgv's report --------------------------------------------------------------------------------

FPR = "0A4D0BAD0D2A79DCE511B4F7985436D8A0833741"
TEXT = b'{"a":1}\n'
REPORT = [
    "PLAINTEXT 62 1795609499 m",
    "PLAINTEXT_LENGTH 8",
    "NEWSIG t@e",
    f"KEY_CONSIDERED {FPR} 0",
    "GOODSIG 985436D8A0833741 Test <t@e>",
    f"VALIDSIG {'3' * 40} 2026-11-25 1795609499 0 4 0 22 8 00 {FPR}",
]


def report(*lines: str) -> bytes:
    return "".join(f"[GNUPG:] {line}\n" for line in lines).encode()


def changed(old: str, new: str) -> list[str]:
    """The good report with one thing changed; a line that becomes empty is left out."""
    lines = [line.replace(old, new) for line in REPORT]
    assert lines != REPORT
    return [line for line in lines if line]


def test_a_good_report_names_the_primary_key() -> None:
    said = judged(report(*REPORT), TEXT, 0, T0)
    assert said == Signed(text=TEXT, fingerprint=FPR, expires=None)


def test_when_a_signature_expires_is_read_and_compared_with_our_clock() -> None:
    lines = report(*changed("1795609499 0 4", "1795609499 1795695899 4"))
    expires = datetime(2026, 11, 26, 12, 24, 59, tzinfo=UTC)
    assert judged(lines, TEXT, 0, expires - seconds(1)).expires == expires
    with pytest.raises(Malformed, match="has expired"):
        judged(lines, TEXT, 0, expires)


LIES = [
    pytest.param(changed("GOODSIG", "EXPSIG"), "signature has expired", id="EXPSIG"),
    pytest.param(changed("GOODSIG", "EXPKEYSIG"), "key that signed it has exp", id="EXPKEYSIG"),
    pytest.param(changed("GOODSIG", "REVKEYSIG"), "revoked", id="REVKEYSIG"),
    pytest.param(changed("GOODSIG", "BADSIG"), "does not fit its text", id="BADSIG"),
    pytest.param([*REPORT[:3], "ERRSIG A 22 8 00 1 9 B", "NO_PUBKEY A"], "another key", id="key"),
    pytest.param([*REPORT[:3], "ERRSIG A 22 8 00 1 4 B"], "cannot be checked", id="ERRSIG"),
    pytest.param([*REPORT[:2], "NODATA 4"], "not a signed message", id="NODATA"),
    pytest.param([*REPORT, "ERROR proc_pkt.plaintext 89"], "one whole signed", id="ERROR"),
    pytest.param([*REPORT, "FAILURE gpgv 1"], "gpgv failed", id="FAILURE"),
    pytest.param([], "not one text", id="nothing said"),
    pytest.param([REPORT[0], *REPORT], "not one text", id="two texts"),
    pytest.param([*REPORT, *REPORT[2:]], "not one text", id="two signatures"),
    pytest.param([*REPORT, REPORT[4]], "not one text", id="two GOODSIG"),
    pytest.param([*REPORT, REPORT[5]], "not one text", id="two VALIDSIG"),
    pytest.param(REPORT[:4] + REPORT[5:], "not one text", id="VALIDSIG alone"),
    pytest.param(REPORT[:5], "not one text", id="GOODSIG alone"),
    pytest.param(REPORT[1:], "not one text", id="no text"),
    pytest.param(changed("LENGTH 8", "LENGTH 7"), "another text", id="length"),
    pytest.param(changed(" 22 8 00", " 22 2 00"), "no longer safe", id="SHA-1"),
    pytest.param(changed(" 22 8 00", " 22 1 00"), "no longer safe", id="MD5"),
    pytest.param(changed(" 22 8 00", " 22 8 01"), "not a signature of a message", id="text mode"),
    pytest.param(changed(f"00 {FPR}", "00"), "something else", id="no primary key"),
    pytest.param(changed(f"00 {FPR}", "00 " + "Z" * 40), "something else", id="no fingerprint"),
    pytest.param(changed(f"00 {FPR}", "00 " + FPR[:16]), "something else", id="short fingerprint"),
    pytest.param(changed("499 0 4", "499 x 4"), "something else", id="expiry"),
    pytest.param(changed("499 0 4", "499 " + "9" * 30 + " 4"), "something else", id="long expiry"),
]


@pytest.mark.parametrize(("lines", "says"), LIES)
def test_a_report_that_is_anything_less_proves_nothing(lines: list[str], says: str) -> None:
    with pytest.raises(Malformed, match=says):
        judged(report(*lines), TEXT, 0, T0)


def test_an_exit_code_other_than_0_proves_nothing() -> None:
    with pytest.raises(Malformed, match="ended with 2"):
        judged(report(*REPORT), TEXT, 2, T0)


def test_a_line_without_the_prefix_is_nobodys_word() -> None:
    spoken = b"[GNUPG:] ".join([b"", *(f"{line}\n".encode() for line in REPORT[:4])])
    spoken += "".join(f"gpgv: {line}\n" for line in REPORT[4:]).encode()
    with pytest.raises(Malformed, match="not one text"):
        judged(spoken, TEXT, 0, T0)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(REPORT) | st.text(max_size=20), max_size=8), st.binary(max_size=9))
def test_any_report_is_judged_or_refused(lines: list[str], text: bytes) -> None:
    with suppress(Malformed):
        assert judged(report(*lines), text, 0, T0).fingerprint == FPR


# --- armor ----------------------------------------------------------------------------------------

PACKET = b"\x99\x01\x0d" + bytes(range(200))


def armored(content: bytes = PACKET, *, checksum: bool = True, header: str = "") -> str:
    text = base64.encodebytes(content).decode()
    crc = "=" + base64.b64encode(armor._crc24(content)).decode() + "\n" if checksum else ""
    kind = "PGP PUBLIC KEY BLOCK"
    return f"-----BEGIN {kind}-----\n{header}\n{text}{crc}-----END {kind}-----\n"


def test_the_checksum_is_that_of_the_standard() -> None:
    # The check value of CRC-24/OPENPGP in the catalogue of CRC algorithms.
    assert armor._crc24(b"123456789").hex() == "21cf02"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(armored(), id="plain"),
        pytest.param(armored(header='Comment: Use "gpg --dearmor"\nVersion: 1\n'), id="headers"),
        pytest.param(armored(checksum=False), id="no checksum"),
        pytest.param(armored().replace("\n", "\r\n"), id="CRLF"),
        pytest.param(f"a key of ours\n{armored()}\nand its end\n", id="text around it"),
        pytest.param("\n".join(f"  {line}" for line in armored().split("\n")), id="indented"),
    ],
)
def test_an_armored_key_becomes_bytes(text: str) -> None:
    assert armor.keyring(text.encode()) == PACKET


def test_several_blocks_are_one_keyring_and_binary_stays_as_it_is() -> None:
    assert armor.keyring((armored() + armored()).encode()) == PACKET * 2
    assert armor.keyring(PACKET) == PACKET


BROKEN = [
    pytest.param("", "there is no -----BEGIN", id="nothing"),
    pytest.param("no key", "there is no -----BEGIN", id="text"),
    pytest.param(
        armored().replace("PUBLIC", "PRIVATE"), "'PGP PRIVATE KEY BLOCK-----'", id="a private key"
    ),
    pytest.param(armored().replace("PUBLIC KEY BLOCK", "MESSAGE"), "not a public", id="a message"),
    pytest.param(armored() + "-----BEGIN CERTIFICATE-----\n", "not a public", id="a certificate"),
    pytest.param(armored().partition("-----END")[0], "does not end", id="cut off"),
    pytest.param(armored().replace("END PGP", "END XXX"), "does not end", id="another end"),
    pytest.param(armored().replace("\n\n", "\n", 1), "no empty line", id="no empty line"),
    pytest.param(armored().replace("A", "B", 1), "checksum", id="a letter changed"),
    pytest.param(armored(checksum=False).replace("A", "!!!!A", 1), "not base64", id="no base64"),
    pytest.param(armored(b"", checksum=False), "is empty", id="empty"),
    pytest.param(armored(b"\x85" + PACKET), "does not begin with", id="another packet"),
    pytest.param(armored(b"text"), "does not begin with", id="no packet"),
    pytest.param(armored() * 33, "more than 32", id="too many blocks"),
    pytest.param(armored() + " " * armor.MOST_BYTES, "larger than", id="oversized"),
]


@pytest.mark.parametrize(("text", "says"), BROKEN)
def test_a_broken_key_is_refused(text: str, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        armor.keyring(text.encode())


def test_a_key_that_is_neither_text_nor_a_packet_is_refused() -> None:
    for raw in (b"\x7f\xff\xfe", b"\x95\x01private"):
        with pytest.raises(Malformed):
            armor.keyring(raw)


ARMOR_LINES = st.sampled_from(
    [*armored().splitlines(), "", "=AAAA", "-----", "-----BEGIN PGP PUBLIC KEY BLOCK-----", "A: b"]
)


@settings(max_examples=100)
@given(
    st.binary(max_size=300)
    | st.lists(ARMOR_LINES, max_size=30).map(lambda lines: "\n".join(lines).encode())
)
def test_any_bytes_are_a_keyring_or_refused(raw: bytes) -> None:
    with suppress(Malformed):
        assert armor.packet_tag(armor.keyring(raw)) == 6


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=2000), st.booleans())
def test_what_was_armored_comes_back(content: bytes, checksum: bool) -> None:
    content = b"\x99" + content
    assert armor.keyring(armored(content, checksum=checksum).encode()) == content


# --- before anything is run or asked --------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "says"),
    [
        pytest.param(b"", "not a signed OpenPGP message", id="nothing"),
        pytest.param(b"<html>", "not a signed OpenPGP message", id="HTML"),
        pytest.param(b"-----BEGIN PGP MESSAGE-----", "not a signed OpenPGP", id="armor"),
        pytest.param(b"\xcb\x01unsigned", "not a signed OpenPGP message", id="a text alone"),
        pytest.param(b"\x84\x01encrypted", "not a signed OpenPGP message", id="encrypted"),
        pytest.param(b"\xa3" + bytes(gpgv.SIGNATURE_BYTES), "larger than 51200", id="oversized"),
    ],
)
def test_what_is_no_signature_never_reaches_gpgv(signature: bytes, says: str) -> None:
    checking: Callable[[bytes, bytes, datetime], Awaitable[Signed]] = gpgv.Gpgv("nowhere").check
    with pytest.raises(Malformed, match=says):
        virtually(checking(signature, KEY, T0))  # type: ignore[arg-type]


def test_a_gpgv_that_is_not_there_is_told_apart() -> None:
    with pytest.raises(NotInstalled):
        virtually(gpgv.Gpgv("no-such-gpgv").check(BY_KEY, KEY, T0))


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("https://mirror.example.com/pub/signatures", ""),
        (" https://mirror.example.com/pub\n", ""),
        ("http://127.0.0.1:8080/signatures", ""),
        ("http://[::1]:8080/signatures", ""),
        ("http://mirror.example.com/signatures", "is plain http"),
        ("http://127.0.0.1.example.com/", "is plain http"),
        ("https://user:word@mirror.example.com/", "holds a login"),
        ("file:///etc/signatures", "is not an https URL"),
        ("ftp://mirror.example.com", "is not an https URL"),
        ("https://", "is not an https URL"),
        ("mirror.example.com", "is not an https URL"),
        ("", "is not an https URL"),
        ("https://a\nb", "is not a URL"),
    ],
)
def test_only_https_stores_are_asked(store: str, why: str) -> None:
    assert unusable(store) == why
