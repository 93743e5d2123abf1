"""The wheel has all that `relayer manifests` needs; nothing of the checkout is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example.com/relayer/relayer@sha256:" + "a" * 64


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as the container image builds it."""
    made = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    ended = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made / "unpacked")
    return made / "unpacked"


def test_every_manifest_is_in_the_wheel(unpacked: Path) -> None:
    source = ROOT / "config/manifests"
    there = unpacked / "watcher/manifests/files"
    ours = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    assert ours == {path.relative_to(there) for path in there.rglob("*") if path.is_file()}


def test_the_wheel_renders_what_the_checkout_renders(unpacked: Path, tmp_path: Path) -> None:
    said = []
    for place in (unpacked, ROOT):
        program = f"from watcher.cli import main; main(['manifests', '--image', {IMAGE!r}])"
        ended = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(place)},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        said.append(ended.stdout)
    assert said[0] == said[1] != ""


def test_the_image_is_built_with_them() -> None:
    """What the Dockerfile copies must not be ignored on the way."""
    assert "COPY config/manifests /src/config/manifests\n" in (ROOT / "Dockerfile").read_text()
    assert "!config/manifests\n" in (ROOT / ".containerignore").read_text()
