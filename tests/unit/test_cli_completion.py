"""Completion as a real bash does it: commands, and names of the configuration."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.shell import CONFIG
from watcher.cli import completing, main

HERE = str(Path(sys.executable).parent)


def completed(*words: str, config: Path | None = None) -> list[str]:
    """What bash offers for the last word."""
    listed = " ".join(f"'{word}'" for word in ("relayer", *words))
    script = (
        "source <(relayer completion bash); "
        f"COMP_WORDS=({listed}); COMP_CWORD={len(words)}; "
        '_relayer_completion relayer; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    said = {**os.environ, "PATH": f"{HERE}:{os.environ['PATH']}"}
    said |= {"RELAYER_CONFIG": str(config)} if config else {}
    ended = subprocess.run(
        ["bash", "--norc", "-c", script], env=said, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "relayer.yaml").write_text(CONFIG)
    return tmp_path / "relayer.yaml"


def test_bash_completes_commands_and_pools(config: Path) -> None:
    assert completed("sta", config=config) == ["status"]
    assert completed("plan", "prod/", config=config) == ["prod/infra", "prod/worker"]


@pytest.mark.parametrize("text", [None, "a: [", "pools: 3"])
def test_what_is_not_known_is_not_completed_and_nothing_is_told(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "relayer.yaml").write_text(text)
    assert completed("plan", "", config=tmp_path / "relayer.yaml") == []


def test_a_bare_pool_name_is_offered_where_one_cluster_has_it(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYER_CONFIG", str(config))
    assert completing.pools("") == ["infra", "prod/infra", "prod/worker", "test/worker"]
    assert completing.clusters("p") == ["prod"]


def test_no_server_is_started_to_complete_updates(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYER_CONFIG", str(config))
    assert completing.updates("") == []
    assert not (config.parent / "state").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_RELAYER_COMPLETE" in capsys.readouterr().out
