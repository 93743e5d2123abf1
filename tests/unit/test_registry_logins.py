"""Which file's login is taken, and what is told when a file is no good."""

import base64
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registries import auth_json
from watcher.clients.registry import BadContent, Credentials, Login, find_logins
from watcher.core.facts import Repository

PLACES = {
    "runtime": "run/containers/auth.json",
    "config": "home/.config/containers/auth.json",
    "docker": "home/.docker/config.json",
    "legacy": "home/.dockercfg",
}
BROKEN = '{"auths":{"broken.example.com":{"auth":"s3cret!"},"quay.io":{"auth":"bWU6cA=="}}}'


def write(path: Path, *names: str, user: str = "") -> Path:
    """An auth file whose users are called after its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = auth_json(dict.fromkeys(names, (user or path.name, "p")))
    path.write_text(json.dumps(json.loads(text)["auths"]) if path.name == ".dockercfg" else text)
    return path


def found(top: Path, named: Path | None = None, **environ: str) -> Credentials:
    usual = {"XDG_RUNTIME_DIR": str(top / "run")}
    return find_logins(named, environ=usual | environ, home=top / "home", run=top / "by-uid")


def user_of(credentials: Credentials, repository: str) -> str | None:
    login = credentials.find(Repository(repository))
    return login.username if login else None


@pytest.mark.parametrize("gone", range(5))
def test_the_usual_files_are_asked_in_their_order(tmp_path: Path, gone: int) -> None:
    for name, place in list(PLACES.items())[gone:]:
        write(tmp_path / place, "quay.io", user=name)
    expected = [*PLACES, None][gone]
    assert user_of(found(tmp_path), "quay.io/a/b") == expected


def test_variables_move_the_usual_files(tmp_path: Path) -> None:
    write(tmp_path / PLACES["config"], "quay.io", user="not this")
    write(tmp_path / PLACES["docker"], "quay.io", "b.example.com", user="not this")
    write(tmp_path / "x" / "containers" / "auth.json", "quay.io", user="xdg")
    write(tmp_path / "d" / "config.json", "a.example.com", user="docker")
    logins = found(tmp_path, XDG_CONFIG_HOME=f"{tmp_path}/x", DOCKER_CONFIG=f"{tmp_path}/d")
    seen = [user_of(logins, f"{host}/r") for host in ("quay.io", "a.example.com", "b.example.com")]
    assert seen == ["xdg", "docker", None]


def test_without_a_runtime_directory_podman_s_own_counts(tmp_path: Path) -> None:
    write(tmp_path / "by-uid" / str(os.getuid()) / "auth.json", "quay.io", user="by uid")
    assert user_of(found(tmp_path, XDG_RUNTIME_DIR=""), "quay.io/a") == "by uid"
    assert user_of(found(tmp_path), "quay.io/a") is None


def test_the_file_that_is_named_is_the_only_one(tmp_path: Path) -> None:
    write(tmp_path / PLACES["runtime"], "quay.io", "other.example.com", user="usual")
    flag = write(tmp_path / "flag.json", "quay.io", user="flag")
    variable = write(tmp_path / "variable.json", "quay.io", user="variable")
    by_variable = found(tmp_path, REGISTRY_AUTH_FILE=str(variable))
    by_flag = found(tmp_path, flag, REGISTRY_AUTH_FILE=str(variable))
    assert user_of(by_variable, "quay.io/a") == "variable"
    assert user_of(by_flag, "quay.io/a") == "flag"
    for logins in (by_flag, by_variable):
        assert user_of(logins, "other.example.com/a") is None


def test_the_first_file_with_a_match_beats_a_longer_match_of_a_later_one(tmp_path: Path) -> None:
    write(tmp_path / PLACES["runtime"], "quay.io", user="first")
    write(tmp_path / PLACES["config"], "quay.io/team", "other.example.com/team", user="second")
    logins = found(tmp_path)
    assert user_of(logins, "quay.io/team/app") == "first"
    assert user_of(logins, "other.example.com/team/app") == "second"
    assert user_of(logins, "other.example.com/teams") is None


def test_within_a_file_the_longest_match_counts_and_names_beat_addresses(tmp_path: Path) -> None:
    entries = {"quay.io": ("plain", "p"), "https://quay.io/v1/": ("address", "p")}
    (tmp_path / "auth.json").write_text(auth_json({**entries, "quay.io/team": ("team", "p")}))
    logins = Credentials.read(tmp_path / "auth.json")
    assert [user_of(logins, f"quay.io/{path}") for path in ("a", "team/a")] == ["plain", "team"]


@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("s3cret", "not JSON of the form"),
        (BROKEN, "auth of broken.example.com is not base64"),
        (" " * (1024 * 1024 + 1), "larger than 1048576 bytes"),
    ],
    ids=["missing", "no JSON", "broken base64", "too large"],
)
def test_a_named_file_that_is_no_good_is_named(
    tmp_path: Path, content: str | None, said: str, variable: bool
) -> None:
    path = tmp_path / "named.json"
    if content is not None:
        path.write_text(content)
    named, environ = (None, {"REGISTRY_AUTH_FILE": str(path)}) if variable else (path, {})
    with pytest.raises(BadContent, match=said) as caught:
        found(tmp_path, named, **environ)
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_usual_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / PLACES["docker"], "quay.io")
    path.write_text("s3cret")
    with pytest.raises(BadContent, match=r"auth file .*/\.docker/config\.json: not JSON") as caught:
        found(tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_usual_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / PLACES["config"]).mkdir(parents=True)  # root reads what has no permissions
    with pytest.raises(BadContent, match=r"auth file .*/containers/auth\.json: Is a directory"):
        found(tmp_path)


def test_a_broken_entry_of_a_usual_file_stands_in_its_own_way_only(tmp_path: Path) -> None:
    path = write(tmp_path / PLACES["config"], "quay.io")
    path.write_text(BROKEN)
    write(tmp_path / PLACES["docker"], "broken.example.com", "c.example.com", user="later")
    logins = found(tmp_path)
    assert user_of(logins, "quay.io/a") == "me"
    assert user_of(logins, "c.example.com/a") == "later"
    with pytest.raises(BadContent, match=r"containers/auth\.json: auth of broken") as caught:
        logins.find(Repository("broken.example.com/a"))
    assert "s3cret" not in str(caught.value) + repr(logins)


def test_a_pull_secret_is_joined_behind_the_files(tmp_path: Path) -> None:
    write(tmp_path / PLACES["config"], "quay.io", user="mine")
    secret = Credentials.parse(auth_json({"quay.io/team": ("cluster", "p"), "r.io": ("r", "p")}))
    logins = Credentials.joined(found(tmp_path), secret)
    assert [user_of(logins, name) for name in ("quay.io/team/a", "r.io/a")] == ["mine", "r"]


NAMES = st.sampled_from(["a.io", "a.io/x", "a.io/x/y", "a.io/x/y/z", "b.io", "b.io/x"])
SOURCES = st.lists(st.dictionaries(NAMES, st.text("pq", max_size=2), max_size=4), max_size=3)


@settings(max_examples=100)
@given(SOURCES, NAMES)
def test_joined_logins_are_those_of_the_sources_asked_in_turn(
    given_: list[dict[str, str]], name: str
) -> None:
    sources = [
        Credentials({key: Login(f"{n} {key}", password) for key, password in source.items()})
        for n, source in enumerate(given_)
    ]
    repository = Repository(f"{name}/r")
    expected = next((login for s in sources if (login := s.find(repository))), None)
    joined = Credentials.joined(*sources)
    assert joined.find(repository) == expected
    # Whoever writes one auth file of them gets the same by the longest match.
    assert Credentials(dict(joined.logins)).find(repository) == expected


def test_an_identity_token_is_a_login_and_is_written_as_one() -> None:
    pair = base64.b64encode(b"<token>:").decode()
    entries = {
        "a.io": {"auth": pair, "identitytoken": "s3cret-a"},
        "b.io": {"identitytoken": "s3cret-b"},
        "c.io": {"auth": base64.b64encode(b"u:p4ss").decode()},
    }
    logins = Credentials.parse(json.dumps({"auths": entries})).logins
    assert logins["a.io"] == Login("<token>", "", "s3cret-a")
    assert logins["a.io"].entry == entries["a.io"]
    assert logins["b.io"].entry == {"auth": "Og==", "identitytoken": "s3cret-b"}
    assert logins["c.io"].entry == entries["c.io"]
    assert logins["b.io"].secrets == ("s3cret-b",)
    assert logins["c.io"].secrets == ("p4ss", entries["c.io"]["auth"])
    assert "s3cret" not in repr(logins["a.io"]) + repr(Credentials(logins))
    again = Credentials.parse(json.dumps({"auths": {n: lo.entry for n, lo in logins.items()}}))
    assert again.logins == logins


@settings(max_examples=100)
@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda t: f'{{"auths":{t}}}'.encode()))
def test_no_bytes_break_the_reader_of_auth_files(raw: bytes) -> None:
    for parse in (Credentials.parse, Credentials.parse_legacy):
        with suppress(BadContent):
            parse(raw, strict=False)
