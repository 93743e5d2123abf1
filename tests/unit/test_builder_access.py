"""Login, trust and mirrors of a build, as the files buildah reads."""

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.registries import auth_json
from watcher.clients.access import Ways
from watcher.clients.builders.access import AUTH, REGISTRIES, TARGETS, write_access
from watcher.clients.registry import Credentials, RegistrySettings
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.ports import Refused

CERTS = ".config/containers/certs.d"
RULES = (
    MirrorRule(source="quay.io/a", mirrors=("m.io:5000/a", "n.io/a"), never_contact_source=True),
    MirrorRule(source="*.b.io", mirrors=("n.io",)),
    MirrorRule(source="quay.io/a", mirrors=("n.io/a", "t.io/a"), by_digest=False),
    MirrorRule(source="quay.io/a", mirrors=("n.io/a",)),
    MirrorRule(source="plain.io:80/c", mirrors=("plain.io:80/d",)),
)


def written(home: Path, ways: Ways, **settings: Any) -> list[str]:
    return write_access(home, RegistrySettings(**settings), ways)


def entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(path.read_text()).get("registry", [])
    return found


def test_mirrors_are_written_as_nodes_have_them(tmp_path: Path) -> None:
    hosts = frozenset({"m.io:5000", "plain.io:80"})
    written(tmp_path, Ways(mirrors=Mirrors(RULES)), insecure_hosts=hosts)
    digest, tag = {"pull-from-mirror": "digest-only"}, {"pull-from-mirror": "tag-only"}
    assert entries(tmp_path / REGISTRIES) == [
        {"location": "m.io:5000", "insecure": True},
        {"location": "plain.io:80", "insecure": True},
        {
            "location": "quay.io/a",
            "blocked": True,
            "mirror": [
                {"location": "m.io:5000/a", "insecure": True, **digest},
                {"location": "n.io/a", **digest},
                {"location": "n.io/a", **tag},
                {"location": "t.io/a", **tag},
            ],
        },
        {"prefix": "*.b.io", "mirror": [{"location": "n.io", **digest}]},
        {
            "location": "plain.io:80/c",
            "insecure": True,
            "mirror": [{"location": "plain.io:80/d", "insecure": True, **digest}],
        },
    ]
    # Pushing knows neither mirrors nor blocked sources.
    assert entries(tmp_path / TARGETS) == entries(tmp_path / REGISTRIES)[:2]


def test_logins_are_written_for_us_alone_and_all_their_secrets_are_hidden(tmp_path: Path) -> None:
    raw = json.loads(auth_json({"quay.io/a": ("u", "pw"), "m.io": ("u", "pw-and-more")}))
    raw["auths"]["t.io"] = {"username": "u", "identitytoken": "token-of-t"}
    logins = Credentials.parse(json.dumps(raw))
    hidden = written(tmp_path, Ways(credentials=logins))
    auths = json.loads((tmp_path / AUTH).read_text())["auths"]
    assert auths["quay.io/a"] == raw["auths"]["quay.io/a"]
    assert auths["t.io"]["identitytoken"] == "token-of-t"
    assert stat.S_IMODE((tmp_path / AUTH).stat().st_mode) == 0o600
    assert {"pw", "pw-and-more", "token-of-t"} <= set(hidden)
    assert hidden == sorted(hidden, key=len, reverse=True)


def test_a_host_has_all_that_vouches_for_it_in_one_directory(tmp_path: Path) -> None:
    home, first, second = (tmp_path / name for name in ("home", "first", "second"))
    home.mkdir()
    for base, host, name in ((first, "a.io", "1"), (second, "a.io", "2"), (second, "b.io", "3")):
        (base / host).mkdir(parents=True)
        for suffix in (".crt", ".key", ".txt"):
            (base / host / f"{name}{suffix}").write_text(name)
    ca = tmp_path / "ca.pem"
    ca.write_text("configured")
    written(
        home,
        Ways(trusted={"a.io": "of the cluster", "c.io:5000": "of the cluster"}),
        certs_dirs=(tmp_path / "missing", first, second),
        ca_files={"a.io": ca},
    )
    found = {
        str(path.relative_to(home / CERTS)): path.read_text()
        for path in (home / CERTS).rglob("*.*")
        if path.is_file()
    }
    assert found == {
        "a.io/1.crt": "1",
        "a.io/1.key": "1",
        "a.io/relayer-configured.crt": "configured",
        "a.io/relayer-cluster.crt": "of the cluster",
        "b.io/3.crt": "3",
        "b.io/3.key": "3",
        "c.io:5000/relayer-cluster.crt": "of the cluster",
    }


@pytest.mark.parametrize("host", ["../../evil", "/evil", "..", ".", "", "a/../../b", "a\n", "-x"])
def test_a_name_that_is_no_host_makes_no_directory(tmp_path: Path, host: str) -> None:
    home = tmp_path / "deep" / "home"
    home.mkdir(parents=True)
    written(home, Ways(trusted={host: "PEM"}))
    assert {path.name for path in tmp_path.rglob("*")} == {
        "deep",
        "home",
        AUTH,
        REGISTRIES,
        TARGETS,
    }


def test_a_configured_authority_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"missing\.pem of a\.io: No such file"):
        written(tmp_path, Ways(), ca_files={"a.io": tmp_path / "missing.pem"})
