"""`relayer init`: what it writes works, and nothing that is there is overwritten."""

import json
import os
from pathlib import Path

import pytest

from watcher.cli import main
from watcher.config import load

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: admin@prod
clusters:
  - {name: one, cluster: {server: "https://api.prod.example.com:6443"}}
  - {name: two, cluster: {server: "https://api.test.example.com:6443"}}
  - {name: three, cluster: {server: "https://api.prod.example.org:6443"}}
users: [{name: me, user: {token: hunter2-token}}]
contexts:
  - {name: admin@prod, context: {cluster: one, user: me}}
  - {name: test, context: {cluster: two, user: me}}
  - {name: other, context: {cluster: three, user: me}}
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return path


def init(place: Path, kubeconfig: Path, *words: str) -> int:
    return main(["init", str(place), "--from-kubeconfig", str(kubeconfig), "--yes", *words])


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--context", "test", "--context", "admin@prod", "--context", "other"),
        ("--pool", "infra", "--pool", "gpu", "--approver", "cli:ann", "--recipe", "rt"),
    ],
)
def test_what_it_writes_passes_every_check(
    tmp_path: Path, kubeconfig: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "here"
    assert init(place, kubeconfig, *words) == 0
    config = str(place / "relayer.yaml")
    assert main(["check-config", "-c", config]) == 0
    assert "note:" not in capsys.readouterr().err
    recipe = load(Path(config)).recipes[0].name
    assert main(["lint", recipe, "--strict", "-c", config]) == 0


def test_contexts_become_clusters_with_short_names(tmp_path: Path, kubeconfig: Path) -> None:
    contexts = ("--context", "test", "--context", "admin@prod", "--context", "other")
    assert init(tmp_path / "here", kubeconfig, *contexts) == 0
    settings = load(tmp_path / "here/relayer.yaml")
    found = {one.name: (one.context, one.kubeconfig) for one in settings.clusters}
    assert found == {
        "test": ("test", kubeconfig),
        "prod": ("admin@prod", kubeconfig),
        "prod-2": ("other", kubeconfig),
    }
    assert len(settings.pools) == 3


def test_it_says_the_next_three_commands(
    tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(tmp_path / "here", kubeconfig, "-o", "json")
    said = json.loads(capsys.readouterr().out)
    assert [command.split()[1] for command in said["next"]] == ["check-config", "plan", "run"]
    assert len(said["written"]) == 3


@pytest.mark.parametrize("there", ["relayer.yaml", "recipes/layered", "link"])
def test_nothing_is_overwritten(
    tmp_path: Path, kubeconfig: Path, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "here"
    if there == "link":
        place.mkdir()
        (place / "relayer.yaml").symlink_to(tmp_path / "elsewhere")
    else:
        (place / there).parent.mkdir(parents=True)
        (place / there).write_text("mine")
    before = sorted(str(path) for path in place.rglob("*"))
    assert init(place, kubeconfig) == 4
    assert "nothing is overwritten" in capsys.readouterr().err
    assert sorted(str(path) for path in place.rglob("*")) == before
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--context", "nope"), 2, "there is: admin@prod, test, other"),
        (("--target", "registry.example.com/x:latest"), 2, "--target"),
        (("--pool", "A b"), 2, "--pool"),
        (("--recipe", "../up"), 2, "--recipe"),
        (("--approver", "token:ann"), 2, "web.tokens has no `ann`"),
    ],
)
def test_wrong_answers_are_named_and_nothing_is_written(
    tmp_path: Path,
    kubeconfig: Path,
    words: tuple[str, ...],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert init(tmp_path / "here", kubeconfig, *words) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("text", ["", "a: [", "clusters: 3", "users: [{user: {token: hunter2}}"])
def test_what_is_no_kubeconfig_is_refused_without_repeating_it(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    assert init(tmp_path / "here", tmp_path / "kubeconfig") == 4
    err = capsys.readouterr().err
    assert "is no kubeconfig" in err
    assert "hunter2" not in err


def test_no_credential_is_copied(tmp_path: Path, kubeconfig: Path) -> None:
    init(tmp_path / "here", kubeconfig)
    for path in (tmp_path / "here").rglob("*"):
        assert path.is_dir() or "hunter2" not in path.read_text()


def test_without_a_kubeconfig_the_way_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent") + os.pathsep)
    assert main(["init", str(tmp_path / "here"), "--yes"]) == 2
    assert "oc login" in capsys.readouterr().err
