"""When a certificate or a token ends by its own word, and that a token is never shown."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from watcher.clients.kube import credentials


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("year", [2026, 2049, 2050, 2100])
def test_the_end_of_a_certificate_is_read(year: int, authority: trustme.CA, tmp_path: Path) -> None:
    end = datetime(year, 3, 4, 5, 6, 7, tzinfo=UTC)
    path = tmp_path / "cert.pem"
    authority.issue_cert("relayer", not_after=end).cert_chain_pems[0].write_to_path(path)
    assert credentials.certificate_expiry(str(path)) == end


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nMA==\n-----END", b"\xff"])
def test_a_certificate_that_cannot_be_read_has_no_end(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_bytes(content)
    assert credentials.certificate_expiry(str(path)) is None


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Bearer sha256~opaque", None),
        ("Bearer a.b.c", None),
        ("Bearer e30.e30.x", None),
        ("Bearer e30.eyJleHAiOjE4MDAwMDAwMDB9.x", datetime(2027, 1, 15, 8, 0, tzinfo=UTC)),
        ("", None),
    ],
)
def test_the_end_of_a_token_is_read_where_it_tells(text: str, end: datetime | None) -> None:
    assert credentials.token_expiry(text) == end


def test_an_access_does_not_show_its_token() -> None:
    access = credentials.Access(url="https://x", authorization="Bearer secret")
    assert "secret" not in repr(access)
