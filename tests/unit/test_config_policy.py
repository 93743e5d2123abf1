"""When a pool is changed, as it is configured: modes, windows, blackouts, order; and printed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_config import FLEET, problems
from watcher.config import effective, load_text
from watcher.core.approval import ApprovalRules
from watcher.core.changes import Change, Mode
from watcher.core.facts import ClusterName, PoolName, Repository
from watcher.core.letters import Asking, Escalation
from watcher.core.order import After
from watcher.core.update import Policy
from watcher.core.windows import DAYS, Blackout, Window
from watcher.settings import (
    ClusterSettings,
    PoolSettings,
    RecipeSettings,
    Settings,
    SlackSettings,
)

PLACE = "pools:\n  - cluster: prod\n    pool: p\n    recipe: gpu\n    policy: "
LINE = (FLEET + PLACE).count("\n") + 1


def pool(policy: str, common: str = "{}") -> PoolSettings:
    return load_text(f"defaults: {{policy: {common}}}{FLEET}{PLACE}{policy}").pools[0]


def mistakes(policy: str) -> list[str]:
    return problems(f"{FLEET}{PLACE}{policy}")


# --- modes ---------------------------------------------------------------------------------------


def test_the_mode_is_that_of_the_kind_of_change() -> None:
    made = pool("{mode: notify, modes: {patch: auto, minor: approve}}")
    assert made.mode is Mode.NOTIFY
    assert [made.mode_of(change) for change in Change] == ["auto", "approve", "notify", "notify"]
    assert made.policy_for(Change.PATCH).approval.auto
    assert not made.policy.approval.auto


def test_modes_are_merged_key_by_key() -> None:
    made = pool("{modes: {patch: approve}}", "{mode: auto, modes: {patch: notify, first: approve}}")
    assert (made.mode, made.modes) == (Mode.AUTO, {"patch": "approve", "first": "approve"})


def test_without_a_mode_people_are_asked() -> None:
    assert (pool("{}").mode, pool("{}").modes) == (Mode.APPROVE, {})


# --- windows and blackouts -----------------------------------------------------------------------


def test_a_window_opens_by_days_or_by_cron() -> None:
    said = "[{days: [sat], start: 22:00, hours: 4}, {cron: 0 2 * * mon, hours: 1, timezone: CET}]"
    assert pool(f"{{windows: {said}}}").policy.windows == (
        Window(days=("sat",), start="22:00", hours=4),
        Window(cron="0 2 * * mon", hours=1, timezone="CET"),
    )


def test_a_blackout_needs_no_quotes_and_may_come_every_year() -> None:
    dated = "{from: 2026-12-20, to: 2027-01-06, timezone: CET, reason: year end}"
    said = f"{{blackouts: [{dated}, {{from: 12-20, to: 01-06}}]}}"
    assert pool(said).policy.blackouts == (
        Blackout(first="2026-12-20", last="2027-01-06", timezone="CET", reason="year end"),
        Blackout(first="12-20", last="01-06"),
    )


def test_age_and_closing_are_said() -> None:
    made = pool("{min_age: 3d, when_closed: pause}").policy
    assert (made.min_age_seconds, made.when_closed) == (3 * 86400, "pause")


@pytest.mark.parametrize(
    ("policy", "zone"),
    [
        ("{}", "UTC"),
        ("{windows: [{cron: 0 2 * * *, hours: 1}]}", "UTC"),
        ("{windows: [{cron: 0 2 * * *, hours: 1, timezone: Asia/Tokyo}]}", "Asia/Tokyo"),
        ("{time_zone: CET, windows: [{cron: 0 2 * * *, hours: 1, timezone: Asia/Tokyo}]}", "CET"),
        ("{time_zone: CET}", "CET"),
    ],
)
def test_people_s_time_zone_is_that_of_the_first_window(policy: str, zone: str) -> None:
    assert pool(policy).time_zone == zone


def test_the_time_zone_comes_from_the_common_policy_too() -> None:
    assert pool("{}", "{time_zone: CET}").time_zone == "CET"
    common = "{windows: [{cron: 0 2 * * *, hours: 1, timezone: Asia/Tokyo}]}"
    assert pool("{}", common).time_zone == "Asia/Tokyo"
    assert pool("{windows: []}", common).time_zone == "UTC"


POLICY_MISTAKES = {
    "mode": ("{mode: ask}", "mode: expected 'notify', 'approve' or 'auto'"),
    "mode of a kind": (
        "{modes: {patch: no}}",
        "modes.patch: expected 'notify', 'approve' or 'auto'",
    ),
    "kind": (
        "{modes: {pacth: auto}}",
        "unknown key `pools[0].policy.modes.pacth`; did you mean `patch`?",
    ),
    "two ways": (
        "{windows: [{cron: 0 2 * * *, days: [sun], start: 01:00, hours: 1}]}",
        "windows[0]: cron says when it opens, and so do days and start; keep one of them",
    ),
    "no way": (
        "{windows: [{hours: 1}]}",
        "windows[0]: a window opens by days and start, or by cron",
    ),
    "half a way": (
        "{windows: [{days: [sun], hours: 1}]}",
        "windows[0]: a window opens by days and start, or by cron",
    ),
    "no hours": ("{windows: [{cron: 0 2 * * *}]}", "windows[0].hours: is required"),
    "cron of four fields": (
        "{windows: [{cron: 0 2 * *, hours: 1}]}",
        "windows[0].cron: '0 2 * *' is no cron expression; it has five fields: minute hour"
        " day-of-month month day-of-week",
    ),
    "cron of nothing": (
        "{windows: [{cron: 0 25 * * *, hours: 1}]}",
        "windows[0].cron: '0 25 * * *' is no cron expression: its hour ",
    ),
    "zone of a window": (
        "{windows: [{cron: 0 2 * * *, hours: 1, timezone: Berlin}]}",
        "windows[0].timezone: 'Berlin' is no time zone; write it like Europe/Berlin or UTC",
    ),
    "zone of people": (
        "{time_zone: Berlin}",
        "time_zone: 'Berlin' is no time zone; write it like Europe/Berlin or UTC",
    ),
    "zone under the other name": (
        "{timezone: CET}",
        "unknown key `pools[0].policy.timezone`; did you mean `time_zone`?",
    ),
    "blackout without end": ("{blackouts: [{from: 12-20}]}", "blackouts[0].to: is required"),
    "blackout of no day": (
        "{blackouts: [{from: 20.12., to: 12-30}]}",
        "blackouts[0]: '20.12.' is no day; write YYYY-MM-DD, or MM-DD for every year",
    ),
    "blackout of a number": (
        "{blackouts: [{from: 1220, to: 12-30}]}",
        "blackouts[0].from: should be a valid string",
    ),
    "blackout of half a year": (
        "{blackouts: [{from: 2026-12-20, to: 12-30}]}",
        "blackouts[0]: write both 2026-12-20 and 12-30 with a year, or both without (every year)",
    ),
    "blackout backwards": (
        "{blackouts: [{from: 2026-12-20, to: 2026-12-19}]}",
        "blackouts[0]: it ends on 2026-12-19, before it begins on 2026-12-20",
    ),
    "the code's name": (
        "{blackouts: [{first: 12-20, to: 12-21}]}",
        "unknown key `pools[0].policy.blackouts[0].first`; there is: from, reason, timezone, to",
    ),
    "two lines of reason": (
        '{blackouts: [{from: 12-20, to: 12-21, reason: "a\\nb"}]}',
        "blackouts[0].reason: expected one line of text, at most 200 characters",
    ),
    "half a second": ("{min_age: 1500ms}", "min_age: only whole seconds make sense here"),
    "closing": ("{when_closed: stop}", "when_closed: expected 'finish' or 'pause'"),
}


@pytest.mark.parametrize(("policy", "told"), POLICY_MISTAKES.values(), ids=POLICY_MISTAKES)
def test_a_mistake_in_a_policy_is_told_with_its_line(policy: str, told: str) -> None:
    found = mistakes(policy)
    whole = told if told.startswith("unknown key") else f"pools[0].policy.{told}"
    assert any(one.startswith(f"f:{LINE}: {whole}") for one in found), found


# --- order ---------------------------------------------------------------------------------------


def fleet(*after: str, common: str = "[]") -> str:
    """Pools prod/p0, prod/p1, … with what they come after."""
    said = [
        f"  - cluster: prod\n    pool: p{n}\n    recipe: gpu\n    policy:\n      after: {one}\n"
        for n, one in enumerate(after)
    ]
    return f"defaults: {{policy: {{after: {common}}}}}{FLEET}pools:\n{''.join(said)}"


def line_of_after(number: int) -> int:
    return FLEET.count("\n") + 6 + 5 * number


def test_a_pool_comes_after_others() -> None:
    made = load_text(fleet("[]", "[{pool: prod/p0, soak: 1d}, prod/p2]", "[{pool: prod/p0}]"))
    assert [one.policy.after for one in made.pools] == [
        (),
        (After(place="prod/p0", soak_seconds=86400), After(place="prod/p2", soak_seconds=0)),
        (After(place="prod/p0", soak_seconds=0),),
    ]


ORDER_MISTAKES = {
    "unknown": (
        ("[]", "[prod/p3]"),
        [(1, "pools[1].policy.after[0]: no pool is `prod/p3`; did you mean `prod/p1`?")],
    ),
    "unknown, long": (
        ("[]", "[{pool: prdo/p0, soak: 1d}]"),
        [(1, "pools[1].policy.after[0].pool: no pool is `prdo/p0`; did you mean `prod/p0`?")],
    ),
    "without cluster": (
        ("[]", "[p0]"),
        [
            (
                1,
                "pools[1].policy.after[0]: no pool is `p0`; pools are written cluster/pool;"
                " did you mean `prod/p0`?",
            )
        ],
    ),
    "itself": (
        ("[prod/p0]",),
        [(0, "pools[0]: prod/p0 comes after itself; give it an `after` of its own, or []")],
    ),
    "circle": (
        ("[prod/p1]", "[{pool: prod/p2, soak: 1d}]", "[prod/p0]"),
        [(0, "pools[0]: prod/p0 after prod/p1 after prod/p2 after prod/p0: ")],
    ),
    "two circles": (
        ("[prod/p1]", "[prod/p0]", "[prod/p3]", "[prod/p2]"),
        [(0, "pools[0]: prod/p0 after prod/p1 "), (2, "pools[2]: prod/p2 after prod/p3 ")],
    ),
    "no list": (
        ("prod/p0",),
        [(0, "pools[0].policy.after: expected a list (`- …` below it, or [])")],
    ),
    "number": (("[1]",), [(0, "pools[0].policy.after[0]: expected keys with values below it")]),
}


@pytest.mark.parametrize(("after", "told"), ORDER_MISTAKES.values(), ids=ORDER_MISTAKES)
def test_a_mistake_in_the_order_is_told_with_its_line(
    after: tuple[str, ...], told: list[tuple[int, str]]
) -> None:
    found = problems(fleet(*after))
    assert len(found) == len(told)
    for one, (number, sentence) in zip(found, told, strict=True):
        assert one.startswith(f"f:{line_of_after(number)}: {sentence}")


def test_a_circle_is_named_whole() -> None:
    (told,) = problems(fleet("[prod/p1]", "[prod/p0]"))
    assert told.endswith("prod/p0 after prod/p1 after prod/p0: none of them would ever begin")


def test_a_long_circle_is_named_by_its_beginning() -> None:
    (told,) = problems(fleet(*(f"[prod/p{(n + 1) % 9}]" for n in range(9))))
    assert "prod/p5 after … (3 more) after prod/p0: none of them would ever begin" in told


def test_a_pool_that_inherits_to_come_after_itself_is_told() -> None:
    common = "defaults:\n  policy:\n    after: [prod/p]\n"
    assert problems(f"{common}{FLEET}pools: [{{cluster: prod, pool: p, recipe: gpu}}]") == [
        "f:3: pools[0]: prod/p comes after itself; give it an `after` of its own, or []"
    ]
    assert load_text(f"defaults: {{policy: {{after: [prod/p]}}}}{FLEET}{PLACE}{{after: []}}").pools


# --- what holds in the end -----------------------------------------------------------------------

lines = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=40
) | st.sampled_from(["true", "nULL", "1e3", "~", "12-20", "- a", "a: b", "#", "*x", "'", "0x1f"])
zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"])
seconds = st.integers(1, 30 * 86400)
hours = st.integers(1, 168).map(float) | st.sampled_from([0.25, 4.5])
windows = st.one_of(
    st.builds(
        Window,
        days=st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(tuple),
        start=st.sampled_from(["00:00", "01:30", "22:00"]),
        hours=hours,
        timezone=zones,
    ),
    st.builds(
        Window,
        cron=st.sampled_from(["0 2 * * *", "*/5 0 1 1 *", "0 22 * * tue#1"]),
        hours=hours,
        timezone=zones,
    ),
)
days = st.sampled_from([("12-20", "01-06"), ("2026-12-20", "2027-01-06"), ("02-29", "02-29")])
blackouts = st.builds(
    lambda d, zone, why: Blackout(first=d[0], last=d[1], timezone=zone, reason=why),
    days,
    zones,
    lines,
)
RULES = st.builds(
    ApprovalRules,
    approvers=st.sampled_from([(), ("slack:U024BE7LH", "slack-group:S0614TZR7"), ("cli:1e3",)]),
    two_person=st.booleans(),
    reason_required=st.booleans(),
    ask_seconds=st.integers(31 * 86400, 60 * 86400),
    keep_seconds=seconds,
)
POLICIES = st.builds(
    Policy,
    approval=RULES,
    windows=st.lists(windows, max_size=3).map(tuple),
    blackouts=st.lists(blackouts, max_size=3).map(tuple),
    min_age_seconds=seconds,
    after=st.sampled_from([(), (After(place="b/p", soak_seconds=90),)]),
    when_closed=st.sampled_from(["finish", "pause"]),
    soak_seconds=seconds,
    node_seconds=seconds,
)
ASKED = st.builds(
    Asking,
    remind_seconds=st.lists(seconds, max_size=3, unique=True).map(lambda s: tuple(sorted(s))),
    escalate=st.lists(
        st.builds(Escalation, after_seconds=seconds, to=st.just("slack:C024BE91L")), max_size=2
    ).map(tuple),
)
MODES = st.dictionaries(st.sampled_from([*map(str, Change)]), st.sampled_from([*map(str, Mode)]))


@given(POLICIES, ASKED, st.sampled_from(Mode), MODES, zones)
def test_any_policy_is_printed_as_a_file_that_says_the_same(
    policy: Policy, asking: Asking, mode: Mode, modes: dict[str, str], zone: str
) -> None:
    pools = (
        PoolSettings(
            cluster=ClusterName("a"),
            pool=PoolName("p"),
            recipe="r",
            policy=policy,
            mode=mode,
            modes=modes,
            asking=asking,
            time_zone=zone,
        ),
        PoolSettings(cluster=ClusterName("b"), pool=PoolName("p"), recipe="r"),
    )
    made = Settings(
        slack=SlackSettings(
            bot_token_env="T", app_token_env="P", team="T0", app="A0", channel="C0"
        ),
        clusters=(ClusterSettings(name=ClusterName("a")), ClusterSettings(name=ClusterName("b"))),
        recipes=(RecipeSettings(name="r", path=Path("/r"), target=Repository("q.io/a/b")),),
        pools=pools,
    )
    assert load_text(effective(made)) == made
