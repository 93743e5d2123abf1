"""A throw-away OpenPGP key that signs releases as a vendor does, by the real `gpg`.

Key and agent live in a private directory; after every call the agent is ended, so that nothing is
left behind however this process ends.
"""

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from watcher.settings_registry import ReleaseSettings

BORN = "20200101T000000"
"""When keys claim to be made: long ago, so that signatures may be old too."""
REFERENCE = "quay.io/openshift-release-dev/ocp-release"
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Signer:
    """One key. Made by :meth:`made`."""

    home: Path
    fingerprint: str
    public_key: str
    """Armored."""

    @classmethod
    @contextmanager
    def made(
        cls, name: str = "Simulated release key", *, lives: str = "never"
    ) -> Iterator["Signer"]:
        """Make a key; it is gone afterwards. `lives`: ``never`` ends, or ``1y`` from 2020 on."""
        home = Path(tempfile.mkdtemp(prefix="simulated-gpg-"))
        try:
            user = f"{name} <release@example.com>"
            _gpg(home, "--quick-generate-key", user, "ed25519", "sign", lives, at=BORN)
            listed = _gpg(home, "--with-colons", "--list-keys").decode()
            lines = (line.split(":") for line in listed.splitlines())
            fingerprint = next(line[9] for line in lines if line[0] == "fpr")
            public_key = _gpg(home, "--armor", "--export").decode()
            yield cls(home, fingerprint, public_key)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def sign(self, digest: str, *, reference: str = REFERENCE) -> bytes:
        """A signature of a release image, as it stands in stores and ConfigMaps."""
        return self.sign_text(json.dumps(statement(digest, reference=reference)).encode())

    def sign_text(self, content: bytes, *options: str, at: str = "") -> bytes:
        """A signed message of any content. `options` go to gpg; `at`: when, ``20210101T000000``."""
        return _gpg(self.home, *options, "--sign", given=content, at=at)

    def revoked(self) -> str:
        """The armored public key with its revocation; this signer is of no use afterwards."""
        path = self.home / "openpgp-revocs.d" / f"{self.fingerprint}.rev"
        # gpg puts a colon before it, so that nobody revokes a key by accident.
        certificate = path.read_bytes().replace(b":-----BEGIN", b"-----BEGIN")
        _gpg(self.home, "--import", given=certificate)
        return _gpg(self.home, "--armor", "--export").decode()


def statement(digest: str, *, reference: str = REFERENCE) -> dict[str, object]:
    """What is signed: containers/image docs/containers-signature.5.md."""
    return {
        "critical": {
            "type": "atomic container signature",
            "image": {"docker-manifest-digest": digest},
            "identity": {"docker-reference": reference},
        },
        "optional": {"creator": "simulated", "timestamp": 1577836800},
    }


@functools.cache
def signer_here() -> Signer | None:
    """The one key of this process, made at the first call; None where there is no gpg."""
    if shutil.which("gpg") is None or shutil.which("gpgconf") is None:
        return None
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(Signer.made())


def release_settings() -> ReleaseSettings:
    """What a scene tells the service: releases must be signed, where they can be at all."""
    can_sign = shutil.which("gpg") and shutil.which("gpgconf") and shutil.which("gpgv")
    return ReleaseSettings(verify="require" if can_sign else "warn")


def _gpg(home: Path, *arguments: str, given: bytes = b"", at: str = "") -> bytes:
    environment = {"LC_ALL": "C", "HOME": str(home), "PATH": os.environ.get("PATH", os.defpath)}
    fixed = ["--homedir", str(home), "--batch", "--quiet", "--no-tty", "--passphrase", ""]
    fixed += ["--pinentry-mode", "loopback", *(["--faked-system-time", at] if at else [])]
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, and arguments of our own
            ["gpg", *fixed, *arguments],  # noqa: S607 - a simulator may use the PATH
            input=given,
            capture_output=True,
            env=environment,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    finally:
        subprocess.run(  # noqa: S603
            ["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"],  # noqa: S607
            capture_output=True,
            env=environment,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    if ended.returncode != 0:
        raise RuntimeError(f"gpg failed: {ended.stderr.decode(errors='replace')[-500:]}")
    return ended.stdout
