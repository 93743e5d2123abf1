"""`relayer lint` at a shell: what it is given, what it prints, how it ends."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.facts import digest
from watcher.cli.lint_command import COMMANDS

BASE = f"FROM quay.io/openshift-release-dev/ocp-v4.0-art-dev@{digest('base')}\n"
GOOD = BASE + "COPY a /usr/share/a\n"
WARNING = BASE + "COPY a /opt/a\n"
ERROR = BASE + "COPY id_rsa /usr/share/a\n"
CONFIG = """
state_dir: state
clusters: [{name: prod, kubeconfig: absent}]
recipes:
  - {name: gpu, path: gpu, target: registry.example.com/os/gpu}
  - {name: infra, path: gpu, target: registry.example.com/os/gpu, containerfile: Infra,
     build_args: {TOKEN: hunter2}}
pools: [{cluster: prod, pool: infra, recipe: gpu}]
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command alone, in an empty working directory, without any configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELAYER_CONFIG", raising=False)
    app = typer.Typer()
    app.callback()(lambda: None)
    for name, command in COMMANDS.items():
        app.command(name)(command)

    def of(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            app(args=["lint", *words], prog_name="relayer")
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return of


def recipe(text: str, directory: str = "gpu", name: str = "Containerfile", **files: str) -> Path:
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    for file, content in {"a": "x", "id_rsa": "y", **files}.items():
        (path / file).write_text(content)
    (path / name).write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        (GOOD, (), 0),
        (WARNING, (), 0),
        (WARNING, ("--strict",), 1),
        (GOOD, ("--strict",), 0),
        (BASE + "CMD x\n", ("--strict",), 0),
        (ERROR, (), 1),
        ("FROM scratch\n", (), 1),
        ("RUN <<EOF\n", (), 1),
    ],
)
def test_the_exit_code_says_whether_there_is_an_error(
    run: Run, text: str, words: tuple[str, ...], code: int
) -> None:
    recipe(text)
    for form in ((), ("-o", "json"), ("--format", "sarif")):
        assert run("gpu", *words, *form)[0] == code


def test_a_person_reads_a_table(run: Run) -> None:
    recipe(ERROR + "COPY a /opt/a\n")
    _, out, err = run("gpu")
    rows = out.splitlines()
    assert rows[0].split() == ["WHERE", "SEVERITY", "CODE", "WHAT"]
    assert rows[1].split()[:4] == ["gpu/Containerfile:2", "error", "RL013", "id_rsa"]
    assert rows[2].split()[:3] == ["gpu/Containerfile:3", "warning", "RL009"]
    assert rows[-1] == "recipe gpu: 1 error, 1 warning; docs/lint.md explains the codes"
    assert err == ""


def test_a_good_recipe_is_said_to_be_one(run: Run) -> None:
    recipe(GOOD)
    assert run("gpu")[1] == "recipe gpu: nothing to complain about\n"


def test_a_script_reads_json(run: Run) -> None:
    recipe(WARNING)
    said: dict[str, Any] = json.loads(run("gpu", "-o", "json")[1])
    assert (said["recipe"], said["file"]) == ("gpu", "gpu/Containerfile")
    assert said["counts"] == {"error": 0, "warning": 1, "info": 0}
    [one] = said["complaints"]
    assert (one["code"], one["rule"], one["severity"]) == ("RL009", "not-kept", "warning")
    assert (one["file"], one["line"]) == ("gpu/Containerfile", 2)
    assert one["source"].startswith("https://")


def test_code_scanning_reads_sarif(run: Run) -> None:
    recipe(WARNING)
    said = json.loads(run("gpu", "--format", "sarif")[1])
    [result] = said["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert result["ruleId"] == "RL009"
    assert place == {"artifactLocation": {"uri": "gpu/Containerfile"}, "region": {"startLine": 2}}


def test_a_path_may_be_a_directory_or_a_containerfile(run: Run) -> None:
    made = recipe(WARNING, "deep/gpu", "Dockerfile")
    for path in ("deep/gpu", "./deep/gpu/", "deep/gpu/Dockerfile", str(made.resolve())):
        code, out, _ = run(path)
        assert (code, "deep/gpu/Dockerfile:2" in out) == (0, True), path
    os.chdir(made)
    assert "Dockerfile:2" in run(".")[1]
    assert "Dockerfile:2" in run("Dockerfile")[1]


def test_outside_the_working_directory_files_are_named_within_the_recipe(run: Run) -> None:
    made = recipe(WARNING).resolve()
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    assert json.loads(run(str(made), "-o", "json")[1])["file"] == "Containerfile"


def test_a_name_of_the_configuration_comes_first(run: Run) -> None:
    Path("etc").mkdir()
    Path("etc/relayer.yaml").write_text(CONFIG)
    recipe(WARNING, "etc/gpu")
    recipe(BASE + "ARG TOKEN\n", "etc/gpu", "Infra")
    recipe(GOOD, "gpu")
    code, out, _ = run("gpu", "-c", "etc/relayer.yaml")
    assert (code, "etc/gpu/Containerfile:2" in out) == (0, True)
    code, out, _ = run("infra", "-c", "etc/relayer.yaml")
    assert (code, "etc/gpu/Infra:2" in out, "RL014" in out) == (1, True, True)
    assert "hunter2" not in out
    assert "nothing to complain" in run("./gpu", "-c", "etc/relayer.yaml")[1]


def test_a_path_needs_no_configuration_and_reads_none(run: Run) -> None:
    recipe(GOOD)
    Path("broken.yaml").write_text("{")
    assert run("./gpu", "-c", "broken.yaml")[0] == 0
    assert run("gpu", "-c", "broken.yaml")[0] == 2


def test_what_cannot_be_read_is_refused(run: Run) -> None:
    Path("empty").mkdir()
    recipe(GOOD, "bytes")
    Path("bytes/Containerfile").write_bytes(b"FROM \xff\n")
    recipe(GOOD, "link")
    Path("link/out").symlink_to("../../etc")
    for name, said in (
        ("absent", "no recipe absent"),
        ("a/b", "no recipe a/b"),
        ("empty", "no Containerfile or Dockerfile"),
        ("bytes", "not UTF-8"),
        ("link", "leads out"),
    ):
        code, out, err = run(name)
        assert (code, out) == (4, ""), name
        assert said in err


def test_wrong_arguments_are_told(run: Run) -> None:
    recipe(GOOD)
    assert run()[0] == 2
    assert run("gpu", "--format", "xml")[0] == 2
    code, _, err = run("gpu", "--format", "sarif", "-o", "json")
    assert (code, "choose one" in err) == (2, True)
    code, _, err = run("gpu", "--release", "soon")
    assert (code, "not a version" in err) == (2, True)


def test_the_release_is_taken_into_account(run: Run) -> None:
    recipe(BASE + "RUN rpm-ostree override replace /x/kernel-5.1.rpm && ostree container commit")
    assert "warning   RL011" in run("gpu", "--release", "4.16")[1]
    assert "info      RL011" in run("gpu")[1]
    assert "RL011" not in run("gpu", "--release", "4.20.3")[1]


def test_files_are_looked_into_and_nothing_of_them_is_printed(run: Run) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIverysecret"
    recipe(BASE + "COPY conf /etc/\n", conf=key)
    for form in ((), ("-o", "json"), ("--format", "sarif")):
        code, out, err = run("gpu", *form)
        assert code == 1
        assert "a private key" in out
        assert "verysecret" not in out + err


def test_an_ignored_file_is_not_in_the_image(run: Run) -> None:
    recipe(BASE + "COPY . /usr/share/x/\n")
    assert run("gpu")[0] == 1
    Path("gpu/.containerignore").write_text("id_rsa\n")
    assert run("gpu")[0] == 0


def test_a_mounted_configmap_is_looked_into(run: Run) -> None:
    inner = recipe(BASE + "COPY conf /etc/\n", "gpu/..2026", conf="-----BEGIN PRIVATE KEY-----\n")
    (inner / "id_rsa").unlink()
    Path("gpu/..data").symlink_to("..2026")
    for file in inner.iterdir():
        Path("gpu", file.name).symlink_to(f"..data/{file.name}")
    assert "conf is a private key" in run("gpu")[1]


def test_what_a_terminal_would_obey_is_not_printed(run: Run) -> None:
    recipe(BASE + "USER a\x1b[31m\n")
    _, out, _ = run("gpu")
    assert "RL018" in out
    assert "\x1b" not in out
