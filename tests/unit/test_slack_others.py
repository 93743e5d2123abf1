"""Details, nudges, notices, digests, and answers to commands."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.test_slack_card import ANN, AWAITING, DIFFS, EVIL, TEAM, TIMES, lists, named, whole
from tests.unit.test_slack_text import (
    AT,
    PEOPLE,
    TEXTS,
    WRITTEN,
    faults_of_message,
    mentions,
    same_as_snapshot,
)
from watcher.clients.slack.answers import answer, bullets, table
from watcher.clients.slack.card import card
from watcher.clients.slack.others import details, digest, fingerprint, notice, nudge, render
from watcher.core.letters import (
    Body,
    Details,
    Diff,
    Digest,
    DigestRow,
    EventLine,
    NodeLine,
    Notice,
    Nudge,
    Severity,
)

MINUTE = timedelta(minutes=1)
DETAILS = Details(
    update="u-1a2b3c4d",
    events=(
        EventLine(at=AT - 90 * MINUTE, what="proposed", by="relayer"),
        EventLine(at=AT - 60 * MINUTE, what="BuildReady", detail="b-77aa in 28m"),
        EventLine(at=AT - 9 * MINUTE, what="Voted", by=ANN, detail="read the errata"),
        EventLine(at=AT - 5 * MINUTE, what="Applied"),
    ),
    nodes=(
        NodeLine(name="infra-1.example.com", state="Done", updated=True),
        NodeLine(name="infra-2.example.com", state="Working", updated=False, reason="draining"),
        NodeLine(
            name="infra-3.example.com",
            state="Degraded",
            updated=False,
            reason="failed to drain: cannot evict pod as it would violate db/quorum_pdb",
        ),
        NodeLine(name="infra-4.example.com", state="waiting", updated=False),
    ),
    build="b-77aa",
    build_log=("STEP 2/3: RUN rpm-ostree install libreswan", "error: No space left on device"),
    diff=Diff(
        known=True,
        lines=("+RUN rpm-ostree install libreswan", "-RUN true", "motd"),
        summary="Containerfile +1 −1; motd changed",
    ),
)
NUDGE = Nudge(
    update="u-1a2b3c4d",
    cluster="prod",
    pool="infra",
    sentence="nobody has decided for 4h; it expires in 20h",
    mentions=(ANN, TEAM),
)
NOTICE = Notice(
    cause="hold:mcp-paused",
    title="2 pools are behind and held",
    sentence="the pool is still paused by Relayer; `relayer rebuild prod/infra` tries it again",
    places=("prod/infra", "prod/gpu"),
    since=AT - 130 * MINUTE,
)
OVER = replace(NOTICE, over_at=AT)
ALERT = Notice(
    cause="lag:0a1b2c",
    title="2 pools of prod are behind 4.16.9",
    sentence="for one, prod/gpu: its OS image is 6 releases behind that of 4.16.9: critical by"
    " releases",
    places=("prod/gpu", "prod/infra"),
    severity=Severity.CRITICAL,
    since=AT - 130 * MINUTE,
    rule="lag",
    escalated=True,
)
SILENCED = replace(
    ALERT, silenced="alert lag is silenced by cli:ann until 2026-11-20 08:00 UTC: new nodes come"
)
CALL = Nudge(
    update="",
    cluster="",
    pool="",
    sentence="critical now: 2 pools of prod are behind 4.16.9",
    severity=Severity.CRITICAL,
    cause=ALERT.cause,
)
DIGEST = Digest(
    title="Layered pools, daily",
    day="Wed 2026-11-25",
    behind=(DigestRow(place="prod/gpu", text="4.16.3, the cluster runs 4.16.9: pool is paused"),),
    waiting=(DigestRow(place="prod/infra", text="1 of 2 approvals", update="u-1a2b3c4d"),),
    done=(DigestRow(place="lab/infra", text="4.16.3 → 4.16.9", update="u-0c0c0c0c"),),
    failed=(DigestRow(place="edge/infra", text="rolled back: PDB db/quorum", update="u-99"),),
    in_step=12,
    frozen=("edge: until Mon 2026-11-30 08:00 UTC by carl: Black Friday",),
)
QUIET = Digest(title="Layered pools, daily", day="Wed 2026-11-25", in_step=12)
CASES: dict[str, Body] = {
    "details": DETAILS,
    "details-empty": Details(update="u-1a2b3c4d"),
    "details-hostile": Details(
        update="u-<!here>",
        events=(EventLine(at=AT, what=EVIL, by="slack:<!here>", detail=EVIL),) * 100,
        nodes=(NodeLine(name=EVIL, state=EVIL, updated=False, reason=EVIL),) * 500,
        build=EVIL,
        build_log=("```", EVIL, "<!channel>") * 500,
        diff=Diff(known=True, lines=(EVIL, "```") * 500, summary=EVIL),
    ),
    "nudge": NUDGE,
    "nudge-critical": replace(NUDGE, severity=Severity.CRITICAL, mentions=()),
    "notice": NOTICE,
    "notice-over": OVER,
    "notice-alert": ALERT,
    "notice-silenced": SILENCED,
    "nudge-alert": CALL,
    "digest": DIGEST,
    "digest-empty": QUIET,
}

ROWS = lists(st.builds(DigestRow, place=WRITTEN, text=WRITTEN, update=WRITTEN))
BODIES: st.SearchStrategy[Body] = st.one_of(
    st.builds(
        Details,
        update=TEXTS,
        events=lists(st.builds(EventLine, at=TIMES, what=WRITTEN, by=PEOPLE, detail=WRITTEN)),
        nodes=lists(
            st.builds(NodeLine, name=WRITTEN, state=WRITTEN, updated=st.booleans(), reason=WRITTEN)
        ),
        build=TEXTS,
        build_log=lists(WRITTEN) | st.tuples(TEXTS),
        diff=DIFFS,
    ),
    st.builds(
        Nudge,
        update=TEXTS,
        cluster=TEXTS,
        pool=TEXTS,
        sentence=TEXTS,
        mentions=lists(PEOPLE),
        severity=st.sampled_from(Severity),
    ),
    st.builds(
        Notice,
        cause=TEXTS,
        title=TEXTS,
        sentence=TEXTS,
        places=lists(WRITTEN),
        severity=st.sampled_from(Severity),
        since=st.none() | TIMES,
        over_at=st.none() | TIMES,
    ),
    st.builds(
        Digest,
        title=TEXTS,
        day=TEXTS,
        behind=ROWS,
        waiting=ROWS,
        done=ROWS,
        failed=ROWS,
        in_step=st.integers(0, 5000),
        frozen=lists(WRITTEN),
    ),
)


def people_of(said: Body) -> list[str]:
    """Whom this may wake."""
    if isinstance(said, Nudge):
        return list(said.mentions)
    return [event.by for event in said.events] if isinstance(said, Details) else []


@pytest.mark.parametrize("name", CASES)
def test_each_message_looks_as_it_was_agreed(name: str) -> None:
    said = render(CASES[name])
    assert faults_of_message(said) == []
    same_as_snapshot(name, said)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@settings(max_examples=80)
@given(BODIES)
def test_whatever_is_said_slack_takes_it_and_nobody_else_is_named(said: Body) -> None:
    shown = render(said)
    assert faults_of_message(shown) == []
    assert set(mentions(whole(shown))) <= named(people_of(said))
    assert fingerprint(said) == fingerprint(replace(said))


@pytest.mark.parametrize(
    ("said", "by"),
    [(AWAITING, card), (DETAILS, details), (NUDGE, nudge), (NOTICE, notice), (DIGEST, digest)],
)
def test_every_letter_is_rendered_by_its_kind(said: Body, by: Any) -> None:
    assert render(said) == by(said)


def test_a_fingerprint_changes_exactly_with_what_is_shown() -> None:
    assert fingerprint(NOTICE) == fingerprint(replace(NOTICE, cause="another"))
    assert fingerprint(NOTICE) != fingerprint(replace(NOTICE, places=("prod/infra",)))
    assert fingerprint(AWAITING) != fingerprint(replace(AWAITING, binding=""))
    assert len(fingerprint(QUIET)) == 64


def test_a_nudge_wakes_those_it_names_in_text_and_block() -> None:
    said = nudge(NUDGE)
    assert mentions(said["text"]) == ["<@U024BE7LH>", "<!subteam^S0PLATFORM>"]
    assert mentions(said["blocks"][0]["text"]["text"]) == mentions(said["text"])
    assert said["text"].endswith("*prod/infra*: nobody has decided for 4h; it expires in 20h")


def test_a_notice_that_is_over_says_how_long_it_lasted() -> None:
    said = whole(notice(OVER))
    assert notice(OVER)["blocks"][0]["text"]["text"] == "✅ Over: 2 pools are behind and held"
    assert ", 2h 10m in all" in said
    assert "Since" in whole(notice(NOTICE))
    assert "`relayer rebuild prod/infra` tries it again" in said


def test_nodes_that_need_a_look_come_first() -> None:
    shown = whole(details(DETAILS))
    at = [shown.index(f"infra-{number}.example.com") for number in (3, 2, 4, 1)]
    assert at == sorted(at)


def test_of_long_details_the_newest_events_and_the_end_of_the_log_are_kept() -> None:
    many = replace(
        DETAILS,
        events=tuple(EventLine(at=AT, what=f"event {n}.") for n in range(200)),
        build_log=tuple(f"line {n}." for n in range(2000)),
        nodes=tuple(NodeLine(name=f"n{n}", state="Working", updated=False) for n in range(300)),
    )
    shown = whole(details(many))
    for there in ("event 199.", "line 1999.", "`n0`", " earlier\n"):
        assert there in shown
    assert re.search(r"… and 1\d\d more\n", shown)
    assert "event 0." not in shown
    assert faults_of_message(details(many)) == []


def test_a_digest_counts_what_it_has_no_room_for() -> None:
    rows = tuple(DigestRow(place=f"c{n}/infra", text="x" * 50) for n in range(200))
    said = digest(replace(DIGEST, failed=rows, behind=rows, waiting=rows, done=rows))
    assert "*❌ Failed* (200)" in whole(said)
    assert "more" in whole(said)
    assert faults_of_message(said) == []


def test_a_quiet_day_is_one_sentence() -> None:
    assert digest(QUIET)["blocks"][1]["text"]["text"] == "Nothing to tell: 12 pools in step."


def test_answers_look_as_agreed() -> None:
    same_as_snapshot("answer", answer("u-1 is approved; `relayer history u-1` shows it"))
    rows = [("POOL", "STATE", "RELEASE"), ("prod/infra", "awaiting", "4.16.9"), ("a/b", "", "?")]
    same_as_snapshot("answer-table", table("Pools", rows))
    same_as_snapshot("answer-bullets", bullets("Frozen", ["prod", "lab: <!here> until Monday"]))


def test_a_table_is_cut_at_whole_rows() -> None:
    said = table("Pools", [(f"cluster-{n}/infra", "in step", "x" * 20) for n in range(500)])
    shown = said["blocks"][0]["text"]["text"]
    lines = shown.splitlines()
    assert lines[:2] == ["*Pools*", "```"]
    assert lines[2].split() == ["cluster-0/infra", "in", "step", "x" * 20]
    assert lines[-2] == f"… and {500 - (len(lines) - 4)} more"
    assert lines[-1] == "```"
    assert faults_of_message(said) == []


@settings(max_examples=50)
@given(TEXTS, lists(st.lists(WRITTEN, max_size=4)) | st.tuples(st.lists(TEXTS, max_size=2)))
@example("*x*", ((), ("a",)))
def test_answers_are_taken_whatever_they_hold(title: str, rows: Any) -> None:
    lines = [cell for row in rows for cell in row]
    for said in (answer(title), table(title, rows), bullets(title, lines)):
        assert faults_of_message(said) == []
        assert mentions(whole(said)) == []


def test_a_silenced_notice_says_by_whom_and_one_that_is_over_does_not() -> None:
    said = notice(SILENCED)
    assert said["blocks"][0]["text"]["text"] == "🔕 2 pools of prod are behind 4.16.9"
    assert "*Silenced:* alert lag is silenced by cli:ann" in whole(said)
    over = notice(replace(SILENCED, over_at=AT))
    assert over["blocks"][0]["text"]["text"].startswith("✅ Over:")
    assert "Silenced" not in whole(over)


def test_a_notice_names_its_rule_and_that_it_was_told_elsewhere_first() -> None:
    assert "alert `lag`" in whole(notice(ALERT))
    assert "told here too, as it lasts" in whole(notice(ALERT))
    plain = whole(notice(replace(ALERT, rule="", escalated=False)))
    assert "alert `" not in plain
    assert "told here too" not in plain


def test_a_call_about_a_notice_names_its_pool_if_there_is_one() -> None:
    said = whole(nudge(CALL))
    assert "🚨 critical now: 2 pools of prod" in said
    assert "*" not in said
    alone = whole(nudge(replace(CALL, cluster="prod", pool="infra")))
    assert "*prod/infra*: critical now" in alone
