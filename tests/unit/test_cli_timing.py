"""The command line about time: freezing, holding, snoozing, windows, and what is shown of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.facts import a_build, a_policy, an_update, digest
from tests.unit.shell import CONFIG, ME, Shell, fresh, shell_in
from watcher.clock import SystemClock
from watcher.core.approval import ApprovalRules
from watcher.core.build import BuildState
from watcher.core.update import Policy
from watcher.core.update_events import UpdateState
from watcher.people import People
from watcher.ports import AuditEntry, Store

WINDOWS = """
    policy:
      windows: [{days: [sat], start: "02:00", hours: 4, timezone: Europe/Berlin}]
      min_age: 3d
      after: [{pool: test/worker, soak: 1d}]
"""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with shell_in(tmp_path, capsys) as made:
        made.put(an_update(id="u-0", pool="worker", state=UpdateState.DONE))  # a service has run
        yield made


def configure(shell: Shell, infra: str = "", more: str = "") -> None:
    """Give prod/infra a policy of its own, and the file more sections."""
    pool = "  - {cluster: prod, pool: infra, recipe: gpu}\n"
    own = f"  - cluster: prod\n    pool: infra\n    recipe: gpu{infra}"
    shell.config.write_text(CONFIG.replace(pool, own if infra else pool) + more)


def only(approver: str) -> str:
    return f"\n    policy: {{approval: {{approvers: [{approver}]}}}}\n"


def trail(shell: Shell) -> list[AuditEntry]:
    found: list[AuditEntry] = shell.store(lambda store: store.audit())
    return found


def frozen(shell: Shell) -> list[str]:
    return [row["scope"] for row in shell.json("freezes")["freezes"]]


def hours_ahead(at: str) -> float:
    return (datetime.fromisoformat(at) - datetime.now(UTC)).total_seconds() / 3600


# --- freezing ------------------------------------------------------------------------------------


def test_a_freeze_of_everything_comes_and_goes(shell: Shell) -> None:
    out, _ = shell("freeze", "--reason", "audit week")
    assert out == f"everything is frozen by {ME} until somebody ends it: audit week\n"
    assert frozen(shell) == [""]
    assert shell("unfreeze", "-y")[0] == "everything is no longer frozen, and may go on\n"
    assert frozen(shell) == []
    assert shell("freezes")[0] == "nothing is frozen or held\n"
    assert [(e.event, e.by, e.surface, e.detail) for e in trail(shell)] == [
        ("Frozen", ME, "cli", "audit week"),
        ("Unfrozen", ME, "cli", ""),
    ]


def test_a_freeze_of_a_cluster_and_a_hold_end_when_they_say(shell: Shell) -> None:
    made = shell.json("freeze", "prod", "-r", "audit", "--until", "3h")["freeze"]
    assert (made["cluster"], made["pool"], made["by"]) == ("prod", "", ME)
    assert hours_ahead(made["until"]) == pytest.approx(3, abs=0.1)
    held = shell.json("hold", "infra", "--until", "2d")["freeze"]
    assert (held["scope"], round(hours_ahead(held["until"]))) == ("prod/infra", 48)
    out, _ = shell("freezes")
    assert "prod/infra" in out
    assert "audit" in out
    lifted = shell.json("unhold", "infra", "--yes")["sentence"]
    assert lifted.startswith("prod/infra is no longer held; prod is frozen by")


def test_lifting_what_is_not_there_is_declined_and_audited(shell: Shell) -> None:
    _, err = shell("unfreeze", "prod", code=5)
    assert "declined: prod is not frozen" in err
    _, err = shell("unhold", "infra", code=5)
    assert "declined: prod/infra is not held" in err
    assert [(e.event, e.by, e.surface, e.cluster, e.pool) for e in trail(shell)] == [
        ("UnfreezeDeclined", ME, "cli", "prod", ""),
        ("UnfreezeDeclined", ME, "cli", "prod", "infra"),
    ]


def test_who_may_not_decide_about_a_pool_may_not_hold_it(shell: Shell) -> None:
    configure(shell, only("token:ann"), "web: {tokens: [{name: ann, token_env: ANN}]}\n")
    _, err = shell("hold", "prod/infra", code=5)
    assert f"{ME} is not an approver" in err
    # One pool of the cluster may be decided about by whoever has a shell here: that is enough to
    # stop all of it, and to lift what was stopped from here.
    shell("freeze", "prod", "-r", "x")
    assert frozen(shell) == ["prod"]
    shell("unfreeze", "prod")
    assert frozen(shell) == []
    declined = [(e.event, e.cluster, e.pool, e.surface) for e in trail(shell)]
    assert declined[0] == ("FreezeDeclined", "prod", "infra", "cli")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("freeze", "prod", "-r", " "), 2, "--reason: say why"),
        (("freeze", "-r", "x", "--until", "soon"), 2, "--until: 'soon' is no moment; write 2h"),
        (("freeze", "-r", "x", "--until", "2020-01-01"), 2, "is over already"),
        (("freeze", "-r", "x", "--until", "next-window"), 2, "no next window is known"),
        (("freeze", "prdo", "-r", "x"), 6, "did you mean `prod`"),
        (("freeze", "prod/infra", "-r", "x"), 2, "relayer hold prod/infra"),
        (("hold", "worker"), 2, "prod/worker, test/worker"),
        (("hold", "prod/infro"), 6, "did you mean `prod/infra`"),
        (("unfreeze", "prdo"), 6, "did you mean `prod`"),
    ],
)
def test_a_freeze_that_says_not_what_it_is_about_freezes_nothing(
    shell: Shell, words: tuple[str, ...], code: int, sentence: str
) -> None:
    _, err = shell(*words, code=code)
    assert sentence in err
    assert frozen(shell) == []


def test_a_freeze_needs_a_reason(shell: Shell) -> None:
    _, err = shell("freeze", code=2)
    assert "--reason" in err


def test_where_no_service_has_run_nothing_is_frozen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with shell_in(tmp_path, capsys) as shell:
        assert "no service has run there" in shell("freeze", "-r", "x", code=3)[1]


# --- snoozing ------------------------------------------------------------------------------------


def test_an_update_is_put_off_and_says_so_everywhere(shell: Shell) -> None:
    shell.put(fresh(change="minor"))
    row = shell.json("snooze", "u-1", "--until", "5h")["update"]
    assert hours_ahead(row["snoozed_until"]) == pytest.approx(5, abs=0.1)
    said = f"snoozed by {ME} until {row['snoozed_until'][:16].replace('T', ' ')} UTC"
    assert said in shell("status")[0]
    assert said in shell("history")[0]
    out, _ = shell("history", "u-1")
    assert f"snoozed by     {ME}" in out
    assert "minor" in out
    (entry,) = trail(shell)
    assert (entry.event, entry.by, entry.surface) == ("Snoozed", ME, "cli")
    assert entry.binding == fresh(change="minor").binding.digest()
    assert entry.binding[7:19] in out


def test_a_snooze_until_tomorrow_is_by_the_clocks_of_the_pool(shell: Shell) -> None:
    configure(shell, "\n    policy: {time_zone: Asia/Tokyo}\n")
    shell.put(fresh())
    row = shell.json("snooze", "u-1", "--until", "tomorrow")["update"]
    assert row["snoozed_until"].endswith("T00:00:00+00:00")


def test_a_snooze_of_what_has_changed_is_declined(shell: Shell) -> None:
    update = fresh()
    shell.put(update)
    _, err = shell("snooze", "u-1", "--until", "2h", "--binding", str(digest("old")), code=5)
    assert "changed since it was shown" in err
    _, err = shell("snooze", "u-1", "--until", "60d", code=5)
    assert "30 days at most" in err
    assert shell.now() == update
    assert [e.event for e in trail(shell)] == ["SnoozeDeclined", "SnoozeDeclined"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("u-1", "--until", "soon"), 2, "--until: 'soon' is no moment"),
        (("u-1", "--until", "next-window"), 2, "no next window is known"),
        (("u-2", "--until", "2h"), 6, "did you mean `u-1`"),
        (("u-1",), 2, "Missing option '--until'"),
    ],
)
def test_a_snooze_that_cannot_be_read_changes_nothing(
    shell: Shell, words: tuple[str, ...], code: int, sentence: str
) -> None:
    update = fresh()
    shell.put(update)
    assert sentence in shell("snooze", *words, code=code)[1]
    assert shell.now() == update


# --- who decides ---------------------------------------------------------------------------------


def votes(shell: Shell, update: str = "u-1") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shell.json("history", update)["approval"]["votes"]
    return found


def test_a_person_s_two_identities_are_one_vote_here_too(shell: Shell) -> None:
    configure(
        shell,
        more="web: {tokens: [{name: ann, token_env: ANN}]}\n"
        f"people: [{{name: ann, identities: [token:ann, '{ME}']}}]\n",
    )
    shell.put(fresh(policy=a_policy(quorum=2)))
    shell("approve", "u-1")
    (vote,) = votes(shell)
    assert (vote["by"], vote["person"], vote["surface"]) == (ME, "ann", "cli")


def test_a_person_named_as_approver_may_approve_from_here(shell: Shell) -> None:
    configure(shell, more=f"people: [{{name: ann, identities: ['{ME}']}}]\n")
    shell.put(fresh(policy=a_policy(approvers=("person:ann",))))
    assert "is approved by" in shell("approve", "u-1")[0]


def test_a_group_of_chat_counts_as_the_service_looked_it_up(shell: Shell) -> None:
    configure(shell, more=f"people: [{{name: ann, identities: [slack:U024BE7LH, '{ME}']}}]\n")
    shell.put(fresh(policy=a_policy(approvers=("slack-group:S0614TZR7",))))
    _, err = shell("approve", "u-1", code=5)
    assert "only the service can, and it has not lately" in err
    known = {"at": datetime.now(UTC).isoformat(), "members": ["U024BE7LH"]}
    shell.store(lambda store: store.keep("group:slack-group:S0614TZR7", known))
    assert "is approved by" in shell("approve", "u-1")[0]


def test_the_two_person_rule_is_told_with_what_is_missing(shell: Shell) -> None:
    rules = ApprovalRules(two_person=True)
    shell.put(fresh(policy=Policy(approval=rules), authors=(ME,)))
    assert "somebody who neither asked for it" in shell("approve", "u-1")[0]
    said = shell.json("history", "u-1")["approval"]
    assert (said["two_person"], said["missing"], len(said["votes"])) == (True, 1, 1)


def test_what_is_decided_here_is_audited_as_said_here(shell: Shell) -> None:
    shell.put(fresh(), a_build(), a_build(id="b-2", key="k", state=BuildState.FAILED))
    shell("reject", "u-1")
    shell("cancel", "b-1")
    _, err = shell("cancel", "b-2", code=5)
    assert "b-2 is failed already" in err
    assert [(e.event, e.job, e.surface) for e in trail(shell)] == [
        ("Rejected", "u-1", "cli"),
        ("BuildFailed", "b-1", "cli"),
        ("CancelDeclined", "b-2", "cli"),
    ]


# --- what is shown -------------------------------------------------------------------------------


def test_status_shows_modes_freezes_and_when_an_update_begins(shell: Shell) -> None:
    configure(shell, "\n    policy: {mode: notify, modes: {patch: auto}}\n")
    update = an_update(state=UpdateState.SCHEDULED, change="patch")
    shell.put(update)
    at = "2026-11-21T02:00:00+01:00"
    shell.store(lambda store: store.set_progress("u-1", {"scheduled_for": at}))
    shell("freeze", "test", "-r", "disks")
    out, _ = shell("status")
    assert "notify (patch: auto)" in out
    assert "2026-11-21 01:00" in out
    assert "disks" in out
    assert "2026-11-21 01:00" in shell("history", "infra")[0]
    seen = shell.json("status")
    assert [row["mode"] for row in seen["pools"]] == ["notify", "approve", "approve"]
    assert [row["scope"] for row in seen["freezes"]] == ["test"]
    (row,) = seen["active"]
    assert (row["change"], row["scheduled_for"]) == ("patch", "2026-11-21T01:00:00+00:00")


def test_windows_of_every_pool_need_no_cluster(shell: Shell) -> None:
    configure(shell, WINDOWS)
    view = {"decision": "InStep", "because": "runs 4.16.3", "at": "2026-11-18T08:00:00+00:00"}
    shell.store(lambda store: store.put_view("pool:test/worker", view))
    shell("hold", "infra", "-r", "disk swap")
    rows = shell.json("windows")["pools"]
    assert [(r["cluster"], r["pool"], r["allowed"]) for r in rows] == [
        ("prod", "infra", False),
        ("prod", "worker", True),
        ("test", "worker", True),
    ]
    infra = rows[0]
    assert len(infra["openings"]) == 5
    assert infra["time_zone"] == "Europe/Berlin"
    assert any(reason.startswith(f"held by {ME}") for reason in infra["reasons"])
    assert any("this policy waits 3d" in reason for reason in infra["reasons"])
    out, _ = shell("windows", "prod/infra")
    assert "nothing may begin" in out
    assert "disk swap" in out
    assert "test/worker, well for 1d: InStep: runs 4.16.3" in out
    opens = datetime.fromisoformat(infra["openings"][0]["start"])
    assert f"{opens:%Y-%m-%d %H:%M}" in out
    assert "Sat" in out


def test_windows_of_a_pool_without_any(shell: Shell) -> None:
    out, _ = shell("windows", "prod/worker")
    assert "an update may begin" in out
    assert "no windows are configured" in out
    shell("windows", "prod/wrker", code=6)


def test_a_blackout_is_shown_before_it_comes(shell: Shell) -> None:
    day = datetime.now(UTC) + timedelta(days=40)
    said = f"{{from: {day:%Y-%m-%d}, to: {day:%Y-%m-%d}, reason: stock taking}}"
    configure(shell, f"\n    policy: {{blackouts: [{said}]}}\n")
    out, _ = shell("windows", "infra")
    assert f"{day:%Y-%m-%d} 00:00" in out
    assert "stock taking" in out


def test_nothing_from_others_reaches_the_terminal(shell: Shell) -> None:
    async def freeze(store: Store) -> None:
        people = People(store=store, clock=SystemClock())
        await people.freeze("prod", by="slack:\x1b[2J", because="\x1b]0;x\x07", until=None)

    shell.store(freeze)
    for words in (["status"], ["freezes"], ["windows"]):
        assert "\x1b" not in shell(*words)[0]
