"""`relayer bundle`: what is in it, and that no secret is, wherever it stood."""

import base64
import json
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.facts import an_update
from tests.unit.shell import CONFIG, Shell, fresh, shell_in
from watcher.cli.bundle import MOST_FILE
from watcher.cli.hiding import HIDDEN, Hiding
from watcher.ports import AuditEntry, Store

PLANTED = {
    "token": "web-token-hunter2",
    "password": "redis-pass-hunter2",
    "cluster": "sha256~cluster-hunter2-abcdefghij",
    "kubeconfig": "kube-hunter2-client-key",
    "registry": "registry-pass-hunter2",
    "webhook": "https://hooks.example.com/services/T0/hunter2?sig=hunter2",
    "slack": "xoxb-hunter2-abcdef",
    "variable": "variable-hunter2-value",
}


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    auth = base64.b64encode(f"robot:{PLANTED['registry']}".encode()).decode()
    files = {
        "web": PLANTED["token"],
        "token": PLANTED["cluster"],
        "absent": f"users: [{{name: a, user: {{client-key-data: {PLANTED['kubeconfig']}}}}}]",
        "auth": json.dumps({"auths": {"registry.example.com": {"auth": auth}}}),
        "bot": PLANTED["slack"],
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setenv("MY_TOKEN", PLANTED["variable"])
    monkeypatch.setenv("REDIS_PASSWORD", PLANTED["password"])
    with shell_in(tmp_path, capsys) as made:
        made.config.write_text(
            CONFIG
            + "registry: {auth_file: auth}\n"
            + "web: {tokens: [{name: ann, token_file: web}]}\n"
            + f"webhooks: [{{name: pager, url: '{PLANTED['webhook']}', secret_env: MY_TOKEN}}]\n"
        )
        yield made


def plant(shell: Shell) -> None:
    """Put each secret where text from outside ends up."""
    said = " and ".join(PLANTED.values())
    more = (
        "pull from https://robot:hunter2@registry.example.com/v2/?token=hunter2 "
        'Authorization: Bearer hunter2.abcdef {"password": "hunter2", "token":"hunter2"} '
        "eyJhbGciOiJSUzI1NiJ9.eyJodW50ZXIyIjoiMSJ9.hunter2 "
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----"
    )
    update = fresh(because=said, requested_by="ann")
    shell.put(update, an_update(id="u-2", pool="worker", ended_because=more))

    async def more_of_it(store: Store) -> None:
        await store.set_progress("u-1", {"waiting": more})
        await store.put_view("pool:prod/infra", {"decision": "Hold", "because": said})
        at = update.created_at
        await store.audit_only(
            AuditEntry(at=at, job="u-1", event="Voted", by="ann", state="x", detail=more)
        )

    shell.store(more_of_it)


def unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        found = {one.name: archive.extractfile(one) for one in archive.getmembers()}
        return {name: file.read().decode() for name, file in found.items() if file}


def test_no_secret_is_in_it_wherever_it_stood(shell: Shell, tmp_path: Path) -> None:
    plant(shell)
    shell("bundle", "--to", str(tmp_path / "b.tar.gz"))
    files = unpacked(tmp_path / "b.tar.gz")
    assert [name for name, text in files.items() if "hunter2" in text] == [], str(
        [
            text[max(0, text.find("hunter2") - 60) :][:90]
            for text in files.values()
            if "hunter2" in text
        ]
    )
    whole = "".join(files.values())
    assert base64.b64encode(f"robot:{PLANTED['registry']}".encode()).decode() not in whole
    assert HIDDEN in files["relayer-bundle/audit.json"]


def test_what_helps_is_in_it(shell: Shell, tmp_path: Path) -> None:
    plant(shell)
    out, _ = shell("bundle", "--to", str(tmp_path / "b.tar.gz"))
    assert "look before you send it" in out
    files = {n.partition("/")[2]: t for n, t in unpacked(tmp_path / "b.tar.gz").items()}
    assert json.loads(files["status.json"])["active"][0]["id"] in ("u-1", "u-2")
    assert {one["id"] for one in json.loads(files["history.json"])["updates"]} == {"u-1", "u-2"}
    assert json.loads(files["audit.json"])[0]["event"] == "Voted"
    assert "registry.example.com/os/gpu" in files["configuration.yaml"]
    assert "MY_TOKEN" in json.loads(files["environment.json"])["names"]
    said = {one["what"]: one["there"] for one in json.loads(files["files.json"])}
    assert said["token_file of ann"] is True
    assert {"version.json", "dead.json", "windows.json", "silences.json"} <= files.keys()


def test_what_cannot_be_had_is_said_in_it(shell: Shell, tmp_path: Path) -> None:
    out = shell.json("bundle", "--to", str(tmp_path / "b.tar.gz"))
    assert any(one.startswith("status.json: no store") for one in out["problems"])
    files = unpacked(tmp_path / "b.tar.gz")
    assert "status.json: no store" in files["relayer-bundle/problems.txt"]
    assert "relayer-bundle/configuration.yaml" in files


def test_only_its_owner_reads_it_and_nothing_is_overwritten(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    shell("bundle", "--to", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert "nothing is overwritten" in shell("bundle", "--to", str(path), code=4)[1]
    assert path.read_bytes() == before


def test_its_size_is_bounded(shell: Shell, tmp_path: Path) -> None:
    async def fill(store: Store) -> None:
        for number in range(200):
            wide = {"because": "x" * 30_000, "decision": "Hold"}
            await store.put_view(f"pool:prod/p{number}", wide)

    shell.store(fill)
    shell("bundle", "--to", str(tmp_path / "b.tar.gz"))
    views = unpacked(tmp_path / "b.tar.gz")["relayer-bundle/views.json"]
    assert len(views) <= MOST_FILE + 20
    assert views.endswith("... cut off\n")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://registry.example.com/v2/os", "https://registry.example.com/v2/os"),
        ("token_file: /etc/relayer/token", "token_file: /etc/relayer/token"),
        ("redis://:pw@host:6379/0", "redis://host:6379/0"),
        ("auth:\n  mode: none", "auth:\n  mode: none"),
        ("password: s3cret", f"password: {HIDDEN}"),
        ("sha256:abc is approved by ann", "sha256:abc is approved by ann"),
    ],
)
def test_what_is_no_secret_stays(text: str, kept: str) -> None:
    assert Hiding(())(text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"password": "three short words"}', f'{{"password": {HIDDEN}}}'),
        ('{"password": "pw", "user": "ann"}', f'{{"password": {HIDDEN}, "user": "ann"}}'),
        ('{"token": "a\\"b", "user": "ann"}', f'{{"token": {HIDDEN}, "user": "ann"}}'),
        (
            '{"line": "\\"secret\\": \\"two words\\", \\"x\\": 1"}',
            f'{{"line": "\\"secret\\": {HIDDEN}, \\"x\\": 1"}}',
        ),
        ("password: 'two words'", f"password: {HIDDEN}"),
        ("passphrase: hunter22", f"passphrase: {HIDDEN}"),
        ("credentials=abcd1234", f"credentials={HIDDEN}"),
        ("Authorization: token abcdef123", f"Authorization: {HIDDEN}"),
        ("git clone with ghp_abcdefghijklmnopqrstuvwxyz0123", f"git clone with {HIDDEN}"),
        ("glpat-abcdefghijk12345", HIDDEN),
        ("AKIAIOSFODNN7EXAMPLE", HIDDEN),
        (
            '{"token": null, "auth": "", "user": "ann"}',
            '{"token": null, "auth": "", "user": "ann"}',
        ),
    ],
)
def test_what_looks_like_a_secret_goes_whole(text: str, kept: str) -> None:
    assert Hiding(())(text) == kept
