"""Signatures made by gpg, checked by the real gpgv, also as a whole with a store over HTTP."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from simulator.signing import Signer, statement
from tests.contract.signature_store import PACKET, QUICK, RELEASE, a_store
from tests.facts import PROD, T0, digest
from tests.fakes import FakeCluster, FixedClock
from watcher.clients.signatures import GpgSignatures, Gpgv, Stores, armor
from watcher.clients.signatures.gpgv import SIGNATURE_BYTES
from watcher.core.facts import Digest, Malformed
from watcher.core.genuine import Proof, Verdict, parse_statement
from watcher.ports import Refused, ReleaseSignatures
from watcher.settings_registry import ReleaseSettings

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"
real_gpg = pytest.mark.real("gpg", "gpgv")
NOW = T0


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    with Signer.made() as made:
        yield made


@pytest.fixture(scope="module")
def stranger() -> Iterator[Signer]:
    with Signer.made("Somebody else") as made:
        yield made


async def check(signature: bytes, *keys: str, now: datetime = NOW) -> bytes:
    signed = await Gpgv().check(signature, armor.keyring("".join(keys).encode()), now)
    return signed.text


# --- gpgv -----------------------------------------------------------------------------------------


@real_gpg
async def test_a_signature_made_by_gpg_is_good_and_its_text_is_the_statement(
    signer: Signer,
) -> None:
    keyring = armor.keyring(signer.public_key.encode())
    signed = await Gpgv().check(signer.sign(RELEASE.digest), keyring, NOW)
    assert signed.fingerprint == signer.fingerprint
    assert signed.expires is None
    read = parse_statement(signed.text, RELEASE.digest)
    assert read.reference == "quay.io/openshift-release-dev/ocp-release"


@real_gpg
async def test_a_signature_by_another_key_is_told(signer: Signer, stranger: Signer) -> None:
    with pytest.raises(Malformed, match="signed by another key"):
        await check(stranger.sign(RELEASE.digest), signer.public_key)


@real_gpg
async def test_any_key_of_one_keyring_may_have_signed(signer: Signer, stranger: Signer) -> None:
    keys = (signer.public_key, stranger.public_key)
    assert await check(stranger.sign_text(b"text"), *keys) == b"text"


FORMS = [
    pytest.param(("--armor",), "not a signed OpenPGP message", id="armored"),
    pytest.param(("--textmode",), "gave out another text|as it is", id="text mode"),
    pytest.param(("--digest-algo", "SHA1"), "no longer safe", id="SHA-1"),
    pytest.param(("--sig-notation", "!a@example.com=b"), "does not fit", id="critical notation"),
]


@real_gpg
@pytest.mark.parametrize(("options", "says"), FORMS)
async def test_a_signature_of_another_form_is_refused(
    signer: Signer, options: tuple[str, ...], says: str
) -> None:
    with pytest.raises(Malformed, match=says):
        await check(signer.sign_text(b"text\n", *options), signer.public_key)


@real_gpg
@pytest.mark.parametrize("compression", ["none", "zip", "zlib", "bzip2"])
async def test_every_compression_is_read(signer: Signer, compression: str) -> None:
    message = signer.sign_text(b"text", "--compress-algo", compression)
    assert await check(message, signer.public_key) == b"text"


@real_gpg
async def test_an_expired_signature_is_refused(signer: Signer) -> None:
    old = signer.sign_text(b"text", "--default-sig-expire", "1d", at="20210101T000000")
    with pytest.raises(Malformed, match="the signature has expired"):
        await check(old, signer.public_key)


@real_gpg
async def test_expiry_is_judged_by_our_clock_too(signer: Signer) -> None:
    """gpgv knows only this machine's time, by which this one lasts until 2050."""
    lasting = signer.sign_text(b"text", "--default-sig-expire", "30y", at="20210101T000000")
    keyring = armor.keyring(signer.public_key.encode())
    expires = (await Gpgv().check(lasting, keyring, NOW)).expires
    assert expires is not None
    assert expires.year == 2050
    with pytest.raises(Malformed, match="the signature has expired"):
        await check(lasting, signer.public_key, now=expires)


@real_gpg
async def test_an_expired_or_revoked_key_proves_nothing_though_gpgv_ends_with_0() -> None:
    with Signer.made("Short-lived", lives="1y") as signer:
        made_in_time = signer.sign_text(b"text", at="20200601T000000")
        with pytest.raises(Malformed, match="the key that signed it has expired"):
            await check(made_in_time, signer.public_key)
    with Signer.made("Given up") as signer:
        message = signer.sign_text(b"text")
        with pytest.raises(Malformed, match="the key that signed it is revoked"):
            await check(message, signer.revoked())


@real_gpg
async def test_what_follows_a_message_is_never_taken_for_its_text(
    signer: Signer, stranger: Signer
) -> None:
    first, second = signer.sign_text(b"first"), stranger.sign_text(b"second")
    plain = signer.sign_text(b"first", "--compress-algo", "none")
    for message in (first + second, first + first, first + b"garbage"):
        assert await check(message, signer.public_key) == b"first"
    for message in (plain + second, plain + plain, second + first):
        with pytest.raises(Malformed):
            await check(message, signer.public_key)


@real_gpg
async def test_a_text_that_was_changed_is_refused(signer: Signer) -> None:
    message = signer.sign_text(b"sha256:aaaa", "--compress-algo", "none")
    with pytest.raises(Malformed, match="does not fit its text"):
        await check(message.replace(b"aaaa", b"bbbb"), signer.public_key)


@real_gpg
@pytest.mark.parametrize("cut", [20, 100, 200])
async def test_a_message_that_was_cut_is_refused(signer: Signer, cut: int) -> None:
    with pytest.raises(Malformed):
        await check(signer.sign(RELEASE.digest)[:-cut], signer.public_key)


@real_gpg
async def test_garbage_that_begins_like_a_message_is_refused(signer: Signer) -> None:
    for garbage in (PACKET, b"\xa3\x01" + bytes(range(256)), b"\x90" * 50, b"\xa3"):
        with pytest.raises(Malformed):
            await check(garbage, signer.public_key)


@real_gpg
async def test_a_message_that_inflates_to_much_is_stopped(signer: Signer) -> None:
    bomb = signer.sign_text(bytes(20_000_000), "--compress-algo", "bzip2")
    assert len(bomb) < SIGNATURE_BYTES
    with pytest.raises(Malformed, match="signed text is larger than"):
        await check(bomb, signer.public_key)


def a_program(directory: Path, body: str) -> str:
    path = directory / "gpgv"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_gpgv_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    program = a_program(tmp_path, f"echo $$ >{tmp_path}/pid; sleep 600 & sleep 600")
    with pytest.raises(Refused, match="stopped after"):
        await Gpgv(program, timeout_seconds=0.3).check(PACKET, b"key", NOW)
    group = int((tmp_path / "pid").read_text())
    assert not _alive_in(group)


def _alive_in(group: int) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(entry.name)
    return found


async def test_gpgv_gets_a_private_directory_and_nothing_of_our_environment(
    tmp_path: Path,
) -> None:
    program = a_program(
        tmp_path,
        f'cd {tmp_path}; env >env; printf \'%s\\n\' "$@" >argv; stat -c %a "$OLDPWD" >mode;'
        ' echo "$OLDPWD" >cwd',
    )
    with pytest.raises(Malformed):
        await Gpgv(program).check(PACKET, b"key", NOW)
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"HOME", "LC_ALL"}
    assert (tmp_path / "mode").read_text() == "700\n"
    work = (tmp_path / "cwd").read_text().strip()
    assert _is_gone(work), "it is gone afterwards"
    argv = (tmp_path / "argv").read_text().split("\n")
    assert argv[:2] == ["--homedir", f"{work}/home"]
    assert argv[-2] == f"{work}/signature"


def _is_gone(path: str) -> bool:
    return not Path(path).exists()


async def test_a_report_without_end_is_stopped(tmp_path: Path) -> None:
    program = a_program(tmp_path, 'yes "[GNUPG:] NEWSIG" >"/dev/fd/$6"')
    with pytest.raises(Malformed, match="report is larger than"):
        await Gpgv(program).check(PACKET, b"key", NOW)


async def test_words_on_the_other_streams_are_not_believed(tmp_path: Path) -> None:
    lines = "".join(
        f"[GNUPG:] {line}\\n"
        for line in ("PLAINTEXT 62 1 m", "NEWSIG", "GOODSIG A b", f"VALIDSIG {'A' * 40} d 1 0 4 0")
    )
    program = a_program(tmp_path, f"printf '{lines}'; printf '{lines}' >&2")
    with pytest.raises(Malformed, match="not one text"):
        await Gpgv(program).check(PACKET, b"key", NOW)


@pytest.mark.real("gpgv")
async def test_a_real_signature_by_red_hats_key_of_2009_is_good() -> None:
    """A version-3 packet, and a key that is self-signed with SHA-1."""
    found = sorted((SAMPLES / "signatures").glob("sha256-*.signature-1"))
    if not found:
        pytest.skip("no samples here")
    release = Digest(found[0].name.partition(".")[0].replace("-", ":"))
    keys = yaml.safe_load((SAMPLES / "0000_90_cluster-update-keys_configmap.yaml").read_text())
    keyring = armor.keyring(keys["data"]["verifier-public-key-redhat"].encode())
    signed = await Gpgv().check(found[0].read_bytes(), keyring, NOW)
    assert signed.fingerprint == "567E347AD0044ADE55BA8A5F199E2F91FD431D51"
    assert parse_statement(signed.text, release).creator.startswith("Red Hat")
    with pytest.raises(Malformed, match="for another image"):
        parse_statement(signed.text, RELEASE.digest)


# --- all of it ------------------------------------------------------------------------------------


class Holding(FakeCluster):
    def __init__(self, *signatures: bytes, keys: dict[str, str], stores: tuple[str, ...]) -> None:
        super().__init__(FixedClock())
        encoded = {name: key.encode() for name, key in keys.items()}
        self.held = ReleaseSignatures(keys=encoded, stores=stores, signatures=signatures)

    async def release_signatures(self, release: Digest) -> ReleaseSignatures:
        return self.held


async def verdict(
    *signatures: bytes, keys: dict[str, str], store: str = "", gpgv: Gpgv | None = None
) -> Verdict:
    cluster = Holding(*signatures, keys=keys, stores=(store,) if store else ())
    async with Stores(patience=QUICK, use_proxy_environment=False) as stores:
        asked = GpgSignatures(
            ReleaseSettings(),
            {PROD: cluster},
            gpgv=gpgv or Gpgv(),
            stores=stores,
            clock=FixedClock(),
        )
        return await asked.verdict(PROD, RELEASE)


@real_gpg
async def test_a_release_is_genuine_by_cluster_or_store(signer: Signer) -> None:
    good, keys = signer.sign(RELEASE.digest), {"verifier-public-key-a": signer.public_key}
    said = await verdict(good, keys=keys)
    assert (said.proof, said.source, said.signers) == (Proof.GOOD, "cluster", (signer.fingerprint,))
    async with a_store(good) as store:
        said = await verdict(keys=keys, store=store.url)
        assert (said.proof, said.source) == (Proof.GOOD, store.url)


@real_gpg
async def test_every_way_of_not_being_genuine(signer: Signer, stranger: Signer) -> None:
    one = {"verifier-public-key-a": signer.public_key}
    two = {**one, "verifier-public-key-b": stranger.public_key}
    other = signer.sign(digest("another release"))
    unknown = signer.sign_text(json.dumps({**statement(RELEASE.digest), "more": 1}).encode())
    twice = json.dumps(statement(RELEASE.digest))[:-1] + ', "optional": {}}'
    for signature, keys, proof, says in (
        (stranger.sign(RELEASE.digest), one, Proof.BAD, "signed by another key"),
        (other, one, Proof.BAD, "for another image"),
        (unknown, one, Proof.BAD, "unknown field 'more'"),
        (signer.sign_text(twice.encode()), one, Proof.BAD, "is there twice"),
        (signer.sign_text(b"text"), one, Proof.BAD, "not JSON"),
        (b"garbage", one, Proof.BAD, "not a signed OpenPGP message"),
        (signer.sign(RELEASE.digest), two, Proof.MISSING, "not by verifier-public-key-b"),
    ):
        said = await verdict(signature, keys=keys)
        assert (said.proof, says in said.because) == (proof, True), said
    both = (signer.sign(RELEASE.digest), stranger.sign(RELEASE.digest))
    assert (await verdict(*both, keys=two)).proof is Proof.GOOD


@real_gpg
async def test_without_room_for_its_files_it_is_told_and_no_look_at_a_pool_crashes(
    signer: Signer, tmp_path: Path
) -> None:
    """As on a full disk, or where the root is read-only and no /tmp was given."""
    gpgv = Gpgv(directory=tmp_path / "is not there")
    keys = {"verifier-public-key-a": signer.public_key}
    said = await verdict(signer.sign(RELEASE.digest), keys=keys, gpgv=gpgv)
    assert said.proof is Proof.UNREACHABLE
    assert "gpgv cannot be given its work: No such file or directory" in said.because
