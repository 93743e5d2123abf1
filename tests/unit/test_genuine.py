"""What signatures prove and what follows: the signed statement, and the ruling."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import digest
from watcher.core.facts import Digest, Malformed
from watcher.core.genuine import (
    STATEMENT_BYTES,
    Proof,
    Statement,
    Verdict,
    Verify,
    is_built_daily,
    parse_statement,
    ruling,
    short,
)

RELEASE = digest("release 4.16.3")
KEY = "567E347AD0044ADE55BA8A5F199E2F91FD431D51"
GOOD = Verdict(proof=Proof.GOOD, because="all signed", signers=(KEY,), source="cluster")
NIGHTLY = "4.17.0-0.nightly-2024-08-01-120000"


def critical(**said: Any) -> dict[str, Any]:
    default = {
        "type": "atomic container signature",
        "image": {"docker-manifest-digest": str(RELEASE)},
        "identity": {"docker-reference": "quay.io/openshift-release-dev/ocp-release:4.16.3"},
    }
    return {**default, **said}


def statement(**said: Any) -> bytes:
    return json.dumps({"critical": critical(), **said}).encode()


# --- the statement --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optional", "creator", "timestamp"),
    [
        pytest.param({}, "", None, id="nothing optional"),
        pytest.param({"creator": "signing service"}, "signing service", None, id="creator"),
        pytest.param({"timestamp": 1554833664}, "", 1554833664, id="timestamp"),
    ],
)
def test_a_statement_of_the_right_form_is_read(
    optional: dict[str, Any], creator: str, timestamp: int | None
) -> None:
    read = parse_statement(statement(optional=optional), RELEASE)
    assert read == Statement(
        digest=RELEASE,
        reference="quay.io/openshift-release-dev/ocp-release:4.16.3",
        creator=creator,
        timestamp=timestamp,
    )


def test_the_optional_part_may_be_left_out_as_library_go_allows() -> None:
    assert parse_statement(statement(), RELEASE).creator == ""


def _repeated(field: str) -> bytes:
    whole = statement(optional={"creator": "a"}).decode()
    at = whole.index(f'"{field}"')
    value = json.JSONDecoder().raw_decode(whole, whole.index(":", at) + 2)[1]
    return (whole[:at] + whole[at:value] + ", " + whole[at:]).encode()


UNTRUE = [
    pytest.param(b"", "not JSON", id="nothing"),
    pytest.param(b"<html>", "not JSON", id="HTML"),
    pytest.param(b"\xff\xfe", "not JSON", id="no UTF-8"),
    pytest.param(b"[" * 9000, "not JSON", id="nested without end"),
    pytest.param(b"[]", "not an object", id="a list"),
    pytest.param(b"null", "not an object", id="null"),
    pytest.param(statement() + b"{}", "not JSON", id="something after it"),
    pytest.param(statement() + b"x", "not JSON", id="garbage after it"),
    pytest.param(b"\xef\xbb\xbf" + statement(), "not JSON", id="a byte order mark"),
    pytest.param(statement(more=1), "unknown field 'more'", id="unknown field"),
    pytest.param(
        statement(critical=critical(more=1)), "unknown field 'more'", id="unknown field in critical"
    ),
    pytest.param(
        statement(critical=critical(image={"docker-manifest-digest": RELEASE, "os": "x"})),
        "unknown field 'os'",
        id="unknown field in image",
    ),
    pytest.param(
        statement(critical=critical(identity={"docker-reference": "a", "x": 1})),
        "unknown field 'x'",
        id="unknown field in identity",
    ),
    pytest.param(statement(optional={"x": 1}), "unknown field 'x'", id="unknown in optional"),
    pytest.param(
        statement().replace(b"critical", b"Critical"), "unknown field", id="Go's other case"
    ),
    pytest.param(_repeated("critical"), "there twice", id="critical twice"),
    pytest.param(_repeated("docker-manifest-digest"), "there twice", id="digest twice"),
    pytest.param(_repeated("creator"), "there twice", id="creator twice"),
    pytest.param(b"{}", "lacks critical", id="no critical"),
    pytest.param(statement(critical={}), "critical lacks type", id="no type"),
    pytest.param(statement(critical=critical(image={})), "image lacks", id="no digest"),
    pytest.param(statement(critical=critical(identity={})), "identity lacks", id="no reference"),
    pytest.param(statement(critical=critical(image=[])), "image is not an object", id="image"),
    pytest.param(
        statement(critical=critical(type="cosign")), "type 'cosign', not an image", id="type"
    ),
    pytest.param(statement(critical=critical(type=None)), "type is not text", id="type null"),
    pytest.param(
        statement(critical=critical(image={"docker-manifest-digest": str(digest("another"))})),
        "for another image",
        id="another digest",
    ),
    pytest.param(
        statement(critical=critical(image={"docker-manifest-digest": RELEASE.upper()})),
        "for another image",
        id="digest in upper case",
    ),
    pytest.param(
        statement(critical=critical(identity={"docker-reference": ""})), "is empty", id="no name"
    ),
    pytest.param(
        statement(critical=critical(identity={"docker-reference": 1})), "not text", id="name 1"
    ),
    pytest.param(
        statement(critical=critical(identity={"docker-reference": "\ud800"})),
        "not text",
        id="half a character",
    ),
    pytest.param(statement(optional=None), "optional is not an object", id="optional null"),
    pytest.param(statement(optional={"creator": 7}), "creator is not text", id="creator 7"),
    pytest.param(statement(optional={"creator": None}), "creator is not text", id="creator null"),
    pytest.param(statement(optional={"timestamp": 1.5}), "whole number", id="timestamp 1.5"),
    pytest.param(statement(optional={"timestamp": True}), "whole number", id="timestamp true"),
    pytest.param(statement(optional={"timestamp": None}), "whole number", id="timestamp null"),
    pytest.param(statement(optional={"timestamp": "1"}), "whole number", id="timestamp text"),
    pytest.param(statement(optional={"timestamp": 1 << 63}), "whole number", id="timestamp 2^63"),
    pytest.param(
        statement(optional={"timestamp": 0}).replace(b": 0}", b": " + b"9" * 5000 + b"}"),
        "number that is none",
        id="timestamp of 5000 digits",
    ),
    pytest.param(statement(optional={"timestamp": float("nan")}), "NaN", id="timestamp NaN"),
    pytest.param(
        statement(optional={"creator": "x" * STATEMENT_BYTES}), "larger than", id="oversized"
    ),
]


@pytest.mark.parametrize(("raw", "says"), UNTRUE)
def test_a_statement_of_another_form_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        parse_statement(raw, RELEASE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "critical",
                    "type",
                    "image",
                    "identity",
                    "docker-reference",
                    "optional",
                    "timestamp",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_signed_is_refused_or_for_this_release(raw: bytes) -> None:
    with suppress(Malformed):
        assert parse_statement(raw, RELEASE).digest == RELEASE


@settings(max_examples=100)
@given(st.integers(0, len(statement()) - 1), st.integers(0, 255))
def test_a_statement_with_one_byte_changed_never_speaks_for_another_release(
    at: int, byte: int
) -> None:
    raw = bytearray(statement())
    raw[at] = byte
    other = Digest("sha256:" + "0" * 64)
    with pytest.raises(Malformed):
        parse_statement(bytes(raw), other)


# --- which builds need no signature ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "daily"),
    [
        (NIGHTLY, True),
        ("4.17.0-0.nightly-arm64-2024-08-01-120000", True),
        ("4.17.0-0.nightly-multi-2024-08-01-120000", True),
        ("4.17.0-0.nightly-priv-2024-08-01-120000", True),
        ("4.20.0-0.konflux-nightly-2025-06-11-055129", True),
        ("4.17.0-0.ci-2024-08-01-120000", True),
        ("4.17.0-0.ci.test-2024-08-01-120000-ci-ln-abc1234-latest", True),
        ("4.15.0-0.okd-2024-03-10-010116", True),
        ("4.16.0-0.okd-scos-2024-09-24-151747", True),
        ("4.17.1", False),
        ("4.17.0", False),
        ("4.17.0-ec.2", False),
        ("4.17.0-fc.0", False),
        ("4.17.0-rc.3", False),
        ("4.17.0-okd-scos.1", False),
        ("4.18.0-okd-scos.ec.1", False),
        ("4.17.0-0.hotfix", False),
        ("4.17.0-rc.1-2024-08-01-120000", False),
        ("4.17.1+0.nightly-2024-08-01-120000", False),
        (f"{NIGHTLY}\n", False),
        ("", False),
        ("4.17.0-0." + "a" * 400 + "-2024-08-01-120000", False),
    ],
)
def test_what_the_release_controller_builds_by_itself_is_known_by_its_name(
    version: str, daily: bool
) -> None:
    assert is_built_daily(version) is daily


# --- the ruling -----------------------------------------------------------------------------------

NOT_GOOD = [proof for proof in Proof if proof is not Proof.GOOD]


def not_good(proof: Proof) -> Verdict:
    return Verdict(proof=proof, because="no signature by redhat was found")


def rule(
    setting: Verify, verdict: Verdict, version: str = "4.16.3", *, unverified: bool = False
) -> tuple[str, str]:
    said = ruling(setting, verdict, version=version, taken_unverified=unverified)
    return said.blocks, said.told


def test_a_good_release_may_be_applied_and_people_are_told_who_signed_it() -> None:
    told = "signed by 199E2F91FD431D51, found in the cluster"
    assert rule(Verify.REQUIRE, GOOD) == ("", told)
    assert rule(Verify.WARN, GOOD) == ("", told)
    assert short(KEY) == "199E2F91FD431D51"


def test_the_store_of_a_good_signature_is_told() -> None:
    url = "https://mirror.example.com/signatures"
    verdict = Verdict(proof=Proof.GOOD, because="", signers=(KEY, "A" * 40), source=url)
    told = f"signed by 199E2F91FD431D51, {'A' * 16}, found in {url}"
    assert rule(Verify.REQUIRE, verdict) == ("", told)


@pytest.mark.parametrize("proof", NOT_GOOD)
def test_nothing_of_a_release_that_is_not_proven_is_applied_where_that_is_required(
    proof: Proof,
) -> None:
    for unverified in (False, True):
        blocks, told = rule(Verify.REQUIRE, not_good(proof), unverified=unverified)
        assert "release 4.16.3 is not proven genuine: no signature by redhat was found; " in blocks
        assert "no signature by redhat was found" in told


@pytest.mark.parametrize(
    ("proof", "step"),
    [
        (Proof.MISSING, "oc adm release mirror --apply-release-image-signature"),
        (Proof.UNREACHABLE, "let Relayer reach that place"),
        (Proof.BAD, "compare its digest with the vendor's"),
        (Proof.UNCHECKED, "release.verify: warn"),
    ],
)
def test_what_blocks_says_the_next_step(proof: Proof, step: str) -> None:
    assert step in rule(Verify.REQUIRE, not_good(proof))[0]


@pytest.mark.parametrize("proof", [proof for proof in NOT_GOOD if proof is not Proof.BAD])
def test_a_nightly_that_the_cluster_took_unverified_is_only_warned_of(proof: Proof) -> None:
    blocks, told = rule(Verify.REQUIRE, not_good(proof), NIGHTLY, unverified=True)
    assert blocks == ""
    assert "only a warning: the cluster itself took this CI build or nightly unverified" in told


def test_a_nightly_that_is_signed_wrongly_is_not_applied() -> None:
    assert rule(Verify.REQUIRE, not_good(Proof.BAD), NIGHTLY, unverified=True)[0]


@pytest.mark.parametrize("proof", NOT_GOOD)
def test_a_nightly_that_the_cluster_took_verified_must_be_proven_here_too(proof: Proof) -> None:
    assert rule(Verify.REQUIRE, not_good(proof), NIGHTLY)[0]


@pytest.mark.parametrize("proof", NOT_GOOD)
def test_warn_never_blocks_and_always_tells(proof: Proof) -> None:
    blocks, told = rule(Verify.WARN, not_good(proof))
    assert blocks == ""
    assert "no signature by redhat was found (only a warning: release.verify is warn)" in told


@pytest.mark.parametrize("setting", [Verify.REQUIRE, Verify.WARN])
def test_a_bad_signature_is_told_loudly(setting: Verify) -> None:
    assert rule(setting, not_good(Proof.BAD))[1].startswith("BAD SIGNATURE: ")
    assert rule(setting, not_good(Proof.BAD), NIGHTLY, unverified=True)[1].startswith("BAD SIG")
    assert not rule(setting, not_good(Proof.MISSING))[1].startswith("BAD")


@pytest.mark.parametrize("proof", list(Proof))
def test_off_says_only_that_it_is_off(proof: Proof) -> None:
    verdict = Verdict(proof=proof, because="whatever")
    assert rule(Verify.OFF, verdict) == ("", "not looked at: release.verify is off")
