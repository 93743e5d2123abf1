"""The command line: what is printed where, which exit code it ends with, and what it changes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dumped import Oc, everything, write
from tests.facts import a_build, a_policy, an_update, digest
from tests.unit.shell import ME, Shell, fresh, shell_in
from watcher.cli import main
from watcher.cli.exits import Code, explain
from watcher.core.jobs import JobKind
from watcher.core.update_events import UpdateState
from watcher.errors import Declined
from watcher.ports import AuditEntry, Conflict, Refused, Store, Transient


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with shell_in(tmp_path, capsys) as made:
        yield made


# --- decisions -----------------------------------------------------------------------------------


def test_approve_counts_as_the_user_of_the_process(shell: Shell) -> None:
    shell.put(fresh())
    out = shell.json("approve", "u-1", "--reason", "looked at it")
    assert out["update"]["approval"]["by"] == [ME]
    job = shell.now()
    assert (job.state, job.votes[0].reason) == (UpdateState.SCHEDULED, "looked at it")  # type: ignore[union-attr]


def test_the_environment_cannot_say_who_approves(shell: Shell, tmp_path: Path) -> None:
    shell.put(fresh())
    said = {**os.environ, "USER": "boss", "LOGNAME": "boss", "RELAYER_CONFIG": str(shell.config)}
    command = [sys.executable, "-c", "from watcher.cli import main; raise SystemExit(main())"]
    ended = subprocess.run(
        [*command, "approve", "u-1", "-y"], env=said, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"u-1 is approved by {ME}\n"


def test_reject_ends_it_with_the_reason(shell: Shell) -> None:
    shell.put(fresh())
    out, _ = shell("reject", "u-1", "-r", "not now", "--yes")
    assert "the cluster was not touched" in out
    assert shell.now().ended_because == f"rejected by {ME}: not now"


def test_a_stale_binding_is_declined_and_changes_nothing(shell: Shell) -> None:
    update = fresh()
    shell.put(update)
    _, err = shell("approve", "u-1", "--binding", str(digest("before")), code=5)
    assert "changed since it was shown" in err
    assert shell.now() == update


def test_a_binding_that_is_none_is_a_usage_error(shell: Shell) -> None:
    shell.put(fresh())
    shell("approve", "u-1", "--binding", "latest", code=2)


def test_a_late_approval_is_declined(shell: Shell) -> None:
    shell.put(an_update(state=UpdateState.AWAITING_APPROVAL, expires_at=an_update().created_at))
    _, err = shell("approve", "u-1", code=5)
    assert "time to decide ended" in err


def test_a_second_approval_of_the_same_user_counts_once(shell: Shell) -> None:
    shell.put(fresh(policy=a_policy(quorum=2)))
    assert "1 more" in shell("approve", "u-1")[0]
    assert "counts once" in shell("approve", "u-1")[0]
    assert len(shell.now().votes) == 1  # type: ignore[union-attr]


def test_who_is_no_approver_is_declined_and_audited(shell: Shell) -> None:
    shell.put(fresh(policy=a_policy(approvers=("token:ann",))))
    shell("approve", "u-1", code=5)
    trail = shell.json("history", "u-1")["audit"]
    assert [(e["event"], e["by"]) for e in trail] == [("ApproveDeclined", ME)]


def test_an_unknown_update_is_not_found_and_the_nearest_named(shell: Shell) -> None:
    shell.put(fresh(id="u-12345"))
    _, err = shell("approve", "u-12346", code=6)
    assert "did you mean `u-12345`" in err


# --- looking -------------------------------------------------------------------------------------


def test_status_says_clearly_when_no_service_has_run(shell: Shell) -> None:
    out, err = shell("status", code=3)
    assert out == ""
    assert "no service has run there" in err
    assert "relayer run" in err


def test_status_shows_pools_active_and_ended(shell: Shell) -> None:
    shell.put(fresh(), an_update(id="u-0", pool="worker", state=UpdateState.DONE))
    view = {
        "decision": "Hold",
        "because": "paused \x1b[2J by somebody",
        "at": "2026-11-18T08:00:00+00:00",
    }
    shell.store(lambda store: store.put_view("pool:prod/infra", view))
    out, err = shell("status")
    assert "no service seems to run: last look" in err
    assert "prod/infra" in out
    assert "awaiting-approval" in out
    assert "u-0" in out
    assert "\x1b" not in out
    seen = shell.json("status")
    assert [row["id"] for row in seen["active"]] == ["u-1"]
    assert [row["id"] for row in seen["recent"]] == ["u-0"]
    assert len(seen["pools"]) == 3


def test_history_of_a_pool_and_of_one_build_with_its_log(shell: Shell) -> None:
    shell.put(fresh(), a_build())
    shell.store(lambda store: store.add_log("b-1", ["STEP 1"]))
    assert [u["id"] for u in shell.json("history", "infra")["updates"]] == ["u-1"]
    assert "| STEP 1" in shell("history", "u-1", "--log")[0]
    assert shell.json("history", "b-1", "--log")["log"] == ["STEP 1"]
    shell("history", "b-2", code=6)


def test_dead_letters_are_shown_and_revived(shell: Shell) -> None:
    shell.put(fresh())

    async def bury(store: Store) -> None:
        leased = await store.claim("w", 5, [JobKind.UPDATE])
        assert leased is not None
        at = leased.job.created_at
        entry = AuditEntry(at=at, job="u-1", event="Buried", by="relayer", state="x")
        await store.bury(leased, "it crashed", entry)

    shell.store(bury)
    assert shell.json("dead")["dead"][0]["buried_because"] == "it crashed"
    assert "in the queue again" in shell("revive", "u-1")[0]
    assert shell.json("dead") == {"dead": []}
    shell("revive", "u-1", code=6)
    revived = shell.json("history", "u-1")["audit"][-1]
    assert (revived["by"], revived["surface"]) == (ME, "cli")


# --- pools by name -------------------------------------------------------------------------------


def test_a_bare_pool_name_of_two_clusters_is_asked_back(shell: Shell) -> None:
    _, err = shell("plan", "worker", code=2)
    assert "prod/worker, test/worker" in err


def test_an_unknown_pool_is_not_found_and_the_nearest_named(shell: Shell) -> None:
    _, err = shell("plan", "prod/infro", code=6)
    assert "did you mean `prod/infra`" in err


def test_a_missing_credential_is_refused_with_one_line(shell: Shell) -> None:
    _, err = shell("plan", "test/worker", code=4)
    assert "absent" in err
    assert err.count("\n") == 1


# --- configuration -------------------------------------------------------------------------------


def test_check_config_prints_what_holds(shell: Shell) -> None:
    out, err = shell("check-config")
    assert "rollout_poll: 5s" in out
    assert "path of recipe gpu" in err
    assert shell.json("check-config")["ok"] is True


def test_check_config_names_secrets_that_are_not_here(shell: Shell) -> None:
    shell.config.write_text(
        "slack: {bot_token_file: /no/bot, app_token_file: /no/app, team: T1, app: A1,"
        " channel: C1}\n"
        "webhooks: [{name: pager, url: 'https://hooks.example.com/x', secret_file: /no/secret}]\n"
    )
    _, err = shell("check-config")
    for missing in ("slack.bot_token_file", "slack.app_token_file", "secret_file of webhook pager"):
        assert f"note: {missing}: /no/" in err


def test_check_config_names_every_mistake(shell: Shell) -> None:
    shell.config.write_text("log_levl: x\nwork: {lease: 10x}\n")
    out, err = shell("check-config", code=2)
    assert out == ""
    assert f"{shell.config}:1: unknown key `log_levl`" in err
    assert f"{shell.config}:2: work.lease" in err
    found = shell.json("check-config", code=2)
    assert (found["ok"], [p["line"] for p in found["problems"]]) == (False, [1, 2])


@pytest.mark.parametrize("command", ["run", "status", "plan", "history", "dead", "check-config"])
def test_a_broken_configuration_stops_every_command(shell: Shell, command: str) -> None:
    shell.config.write_text("a: [")
    assert "relayer.yaml:1" in shell(command, code=2)[1]


def test_a_configuration_that_is_not_there(shell: Shell) -> None:
    shell.config = Path("/no/such/file.yaml")
    assert "No such file" in shell("check-config", code=2)[1]


def test_the_service_does_not_start_with_nothing_to_do(shell: Shell) -> None:
    shell.config.write_text("")
    assert "no pools are configured" in shell("run", code=2)[1]


# --- the program ---------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "-o", "json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"version", "python"}


@pytest.mark.parametrize(
    "words", [["bogus"], ["approve"], ["status", "--bogus"], ["history", "-n", "0"]]
)
def test_wrong_arguments_are_a_usage_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "Usage:" in capsys.readouterr().err


def test_the_demo_is_another_program_with_the_same_arguments(tmp_path: Path) -> None:
    fake = tmp_path / "path" / "simulator"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("")
    (fake / "__main__.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)")
    shadow = tmp_path / "simulator.py"
    shadow.write_text("raise SystemExit('the current directory was imported')")
    said = {**os.environ, "PYTHONPATH": str(fake.parent)}
    ended = subprocess.run(
        [Path(sys.executable).with_name("relayer"), "demo", "--yes", "--json", "--help"],
        env=said,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.stdout == "['--yes', '--json', '--help']\n"
    assert ended.returncode == 7


def test_help_loads_nothing_heavy() -> None:
    program = "import sys; from watcher.cli import main; main(['--help']); print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(out.stdout.split())
    assert not loaded & {"asyncio", "rich", "pydantic", "yaml", "msgspec", "kubernetes", "redis"}


def test_files_alone_are_read_without_what_speaks_to_a_network(tmp_path: Path) -> None:
    """Nor with the library of log lines, which takes as long to load as a dump to read."""
    dump = write(tmp_path, {"all.yaml": Oc.yaml(*everything())})
    program = (
        "import sys; from watcher.cli import main;"
        f"main(['drift', '--from', {str(dump)!r}]); print(*sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path)},
    )
    table, *_, loaded = out.stdout.strip().rpartition("\n")
    assert "worker" in table
    heavy = {"httpx", "aiohttp", "kubernetes", "redis", "slack_sdk", "structlog", "rich"}
    assert not set(loaded.split()) & heavy


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Declined("no"), Code.DECLINED),
        (Conflict("changed"), Code.DECLINED),
        (Transient("away"), Code.UNREACHABLE),
        (Refused("denied"), Code.REFUSED),
        (PermissionError(13, "Permission denied", "/x"), Code.REFUSED),
        (ValueError("bug"), Code.FAILED),
        (ExceptionGroup("", [ExceptionGroup("", [Transient("away")])]), Code.UNREACHABLE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_class_of_error_has_its_exit_code(error: Exception, code: Code) -> None:
    got, sentence = explain(error)
    assert got is code
    assert "\n" not in sentence
