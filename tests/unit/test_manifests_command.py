"""`relayer manifests` at a shell: what it prints and writes, and how it refuses."""

import json
from pathlib import Path

import pytest
import yaml

from watcher.cli import main
from watcher.manifests import Values, render

IMAGE = "registry.example.com/relayer/relayer@sha256:" + "a" * 64
ASK = ["manifests", "--image", IMAGE]
Captured = pytest.CaptureFixture[str]


def test_printed_is_what_is_rendered(capsys: Captured) -> None:
    assert main(ASK) == 0
    printed = capsys.readouterr()
    assert list(yaml.safe_load_all(printed.out)) == render(Values(image=IMAGE))
    assert printed.err == "", "it goes into `oc apply -f -`"
    assert "\n  relayer.yaml: |\n" in printed.out, "and is read by people"


def test_json_is_a_list_that_can_be_applied(capsys: Captured) -> None:
    assert main([*ASK, "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["items"]) == ("List", render(Values(image=IMAGE)))


def test_written_are_files_and_told_is_what_comes_next(tmp_path: Path, capsys: Captured) -> None:
    into = tmp_path / "deploy/cluster-a"
    assert main([*ASK, "--namespace", "platform", "--to", str(into)]) == 0
    out = capsys.readouterr().out
    assert f"oc apply -k {into}" in out
    assert "oc -n platform set data secret/relayer-tokens …  # keys: platform" in out
    files = sorted(into.glob("*-*.yaml"))
    expected = render(Values(image=IMAGE, namespace="platform"))
    assert [yaml.safe_load(path.read_text()) for path in files] == expected


def test_writing_again_leaves_nothing_of_the_time_before(tmp_path: Path, capsys: Captured) -> None:
    assert main([*ASK, "--with", "route", "--to", str(tmp_path)]) == 0
    assert main([*ASK, "--to", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("*route*"))


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    assert main([*ASK, "--to", str(tmp_path)]) == 4
    assert "mine.yaml is not of `relayer manifests`" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_tag_is_refused_with_the_way_on_and_taken_when_asked(capsys: Captured) -> None:
    tagged = ["manifests", "--image", "registry.example.com/relayer/relayer:1.0"]
    assert main(tagged) == 2
    assert "--allow-tag takes the tag" in capsys.readouterr().err
    assert main([*tagged, "--allow-tag"]) == 0
    assert "image: registry.example.com/relayer/relayer:1.0\n" in capsys.readouterr().out


def test_half_a_pair_is_a_usage_error(capsys: Captured) -> None:
    assert main([*ASK, "--recipe", "infra-os"]) == 2
    assert "--recipe infra-os: write NAME=DIRECTORY" in capsys.readouterr().err
    assert main([*ASK, "--env", "HTTPS_PROXY"]) == 2
    assert "--env HTTPS_PROXY: write NAME=VALUE" in capsys.readouterr().err
    assert main([*ASK, "--env", "NO_PROXY=a=b,c"]) == 0
    assert "value: a=b,c\n" in capsys.readouterr().out


def test_mistakes_of_the_configuration_are_told_with_their_lines(
    tmp_path: Path, capsys: Captured
) -> None:
    config = tmp_path / "relayer.yaml"
    config.write_text("web:\n  hots: 0.0.0.0\n")
    assert main([*ASK, "-c", str(config)]) == 2
    assert "relayer.yaml:2" in capsys.readouterr().err


def test_bytes_of_a_configuration_come_out_as_they_went_in(
    tmp_path: Path, capsys: Captured
) -> None:
    """What is cleaned for a terminal elsewhere must stay here."""
    config = tmp_path / "relayer.yaml"
    text = (
        "# a\u00a0b\tc\u200b\nweb: {host: 0.0.0.0}\nclusters: [{name: here, in_cluster: true}]\n"
        "recipes: [{name: r, path: /etc/relayer/recipes/r, target: q.io/a/b}]\n"
        "pools: [{cluster: here, pool: infra, recipe: r}]\n"
    )
    config.write_text(text)
    (tmp_path / "r").mkdir()
    (tmp_path / "r/Containerfile").write_text("FROM x\n")
    assert main([*ASK, "-c", str(config), "--recipe", f"r={tmp_path / 'r'}"]) == 0
    said = yaml.safe_load_all(capsys.readouterr().out)
    made = next(one for one in said if one["metadata"]["name"] == "relayer-config")
    assert made["data"]["relayer.yaml"] == text
