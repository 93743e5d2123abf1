"""Figures of how things stand: from the store and from findings, at each scrape."""

import time
from datetime import datetime, timedelta

import pytest

from tests.alerting import HOUR, Days, a_silence, behind
from tests.alerting import a_surveyed as as_found
from tests.facts import PROD, T0, seconds
from tests.fake_store import FakeStore
from tests.figures import (
    Scrape,
    Watched,
    a_finding,
    a_fleet,
    a_surveyed,
    everything,
    never_seen,
    notice,
    scrape,
)
from watcher.core.blocks import target_of
from watcher.core.facts import PoolName
from watcher.core.lag import Lag
from watcher.core.stages import StageKind, StageSeen
from watcher.core.state import Block, Flag, Raised, State
from watcher.core.update_events import UpdateState
from watcher.metrics import Metrics
from watcher.metrics.figure import MOST_HOSTS, MOST_RULES, Kind
from watcher.metrics.figures import FIGURES
from watcher.telling.fleet import kept_row

S = UpdateState
WHERE = {"cluster": "prod", "pool": "infra"}


# --- the table -----------------------------------------------------------------------------------


async def test_a_scrape_has_exactly_the_figures_of_the_table(store: FakeStore) -> None:
    _, found = await everything(store)
    suffix = {Kind.COUNTER: "_total"}
    known = {n.removesuffix(suffix.get(f.kind, "")): str(f.kind) for n, f in FIGURES.items()}
    assert found.kinds == known


async def test_each_series_has_the_labels_of_the_table_with_values_that_there_are(
    store: FakeStore,
) -> None:
    _, found = await everything(store)
    for name, labels in found.samples:
        figure = FIGURES.get(name) or FIGURES[name.rpartition("_")[0]]
        said = dict(labels)
        said.pop("le", None)
        assert set(said) == {label.name for label in figure.labels}, name
        for label in figure.labels:
            assert not label.values or said[label.name] in label.values, (name, said)


def test_names_and_units_are_as_prometheus_has_them() -> None:
    for name, figure in FIGURES.items():
        assert name.endswith("_total") == (figure.kind is Kind.COUNTER), name
        assert name.endswith("_timestamp_seconds") == (figure.unit == "Unix time"), name
        assert ("seconds" in name) == bool(figure.unit), name
        assert figure.said.endswith("."), name
        assert bool(figure.buckets) == (figure.kind is Kind.HISTOGRAM), name
        assert "version" not in {la.name for la in figure.labels} or name.endswith("_info"), name
        for label in figure.labels:
            assert bool(label.values) != bool(label.told), (name, label)


# --- findings ------------------------------------------------------------------------------------


async def test_a_pool_is_in_one_state_and_has_its_flags(store: FakeStore) -> None:
    since = T0 - timedelta(days=2)
    flags = (Raised(flag=Flag.PAUSED, since=since), Raised(flag=Flag.UNPULLABLE))
    found = await scrape(store, surveyed=[a_surveyed(a_finding(flags=flags))])
    states = found.having("relayer_pool_state")
    assert len(states) == len(State)
    assert [key for key, value in states.items() if value] == [("prod", "infra", "behind")]
    said = found.having("relayer_pool_flag")
    assert {key[1]: value for key, value in said.items()} == {
        "paused": 1,
        "degraded": 0,
        "unpullable": 1,
        "mixed-nodes": 0,
        "tag-moved": 0,
    }
    moments = found.having("relayer_pool_flag_timestamp_seconds")
    assert moments == {("prod", "paused", "infra"): since.timestamp()}


async def test_lag_is_told_in_base_units_and_only_where_it_is_known(store: FakeStore) -> None:
    known = a_finding(lag=Lag(releases=5, minors=1, days=30))
    unknown = a_finding(pool=PoolName("gpu"), lag=Lag(releases=None, minors=None, days=None))
    found = await scrape(store, surveyed=[a_surveyed(known, unknown)])
    assert found.value("relayer_pool_lag_releases", **WHERE) == 5
    assert found.value("relayer_pool_lag_minors", **WHERE) == 1
    assert found.value("relayer_pool_lag_seconds", **WHERE) == 30 * 86400
    for unit in ("releases", "minors", "seconds"):
        assert len(found.having(f"relayer_pool_lag_{unit}")) == 1


async def test_it_says_when_certificates_end_and_nothing_where_nobody_knows(
    store: FakeStore,
) -> None:
    ends = (Block(target="certificates", why="paused", until=T0),)
    unknown = (Block(target="certificates", why="paused"),)
    found = [a_finding(blocks=ends), a_finding(pool=PoolName("gpu"), blocks=unknown)]
    said = await scrape(store, surveyed=[a_surveyed(*found)])
    name = "relayer_pool_certificate_timestamp_seconds"
    assert said.having(name) == {("prod", "infra"): T0.timestamp()}


@pytest.mark.parametrize("why", ["", "release 4.18.3 is not proven genuine: it has no signature"])
async def test_it_says_whether_the_release_is_proven_genuine(store: FakeStore, why: str) -> None:
    view = {"cluster": "prod", "pool": "infra", "unverified": why, "at": T0.isoformat()}
    await store.put_view("pool:prod/infra", view)
    said = await scrape(store)
    assert said.value("relayer_pool_unverified", **WHERE) == bool(why)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("next patch", "patch"),
        ("next minor", "minor"),
        ("certificates", "certificates"),
        ("4.19", "minor"),
        ("4.20", "minor"),
        ("4.18", "minor"),
        ("4.18.9", "patch"),
        ("4.19.0", "minor"),
        ("5.18.9", "minor"),
        ("4.180.9", "minor"),
        ("", "minor"),
        ("whatever\n{}", "minor"),
    ],
)
def test_what_is_blocked_is_one_of_three(target: str, kind: str) -> None:
    assert target_of(Block(target=target, why=""), "4.18.3") == kind


async def test_blocks_are_counted_by_what_they_block(store: FakeStore) -> None:
    blocks = tuple(Block(target=one, why="") for one in ("4.19", "4.20", "certificates"))
    found = await scrape(store, surveyed=[a_surveyed(a_finding(blocks=blocks))])
    numbers = {key[2]: value for key, value in found.having("relayer_pool_blocks").items()}
    assert numbers == {"minor": 2, "certificates": 1, "patch": 0}


async def test_nodes_are_counted_by_condition(store: FakeStore) -> None:
    found = await scrape(store, surveyed=[a_surveyed(a_finding())])
    assert found.value("relayer_pool_nodes", **WHERE) == 6
    for condition, number in (("updated", 4), ("degraded", 1)):
        name = "relayer_pool_nodes_in_condition"
        assert found.value(name, **WHERE, condition=condition) == number


async def test_where_a_cluster_stands_and_what_it_has(store: FakeStore) -> None:
    stage = StageSeen(kind=StageKind.FAILING, sentence="", version="4.18.3")
    seen = a_surveyed(stage=stage, version="4.18.4", problems=("Node is forbidden",))
    found = await scrape(store, surveyed=[seen])
    stages = found.having("relayer_cluster_stage")
    assert len(stages) == len(StageKind)
    assert [key for key, value in stages.items() if value] == [("prod", "failing")]
    assert found.having("relayer_cluster_info") == {("prod", "4.18.4"): 1}
    assert found.value("relayer_cluster_problems", cluster="prod") == 1
    at = found.value("relayer_cluster_observed_timestamp_seconds", cluster="prod")
    assert at == T0.timestamp()


async def test_a_cluster_that_was_never_seen_is_as_old_as_can_be(store: FakeStore) -> None:
    found = await scrape(store, surveyed=[never_seen()])
    assert found.value("relayer_cluster_observed_timestamp_seconds", cluster="prod") == 0
    assert found.having("relayer_cluster_info") == {}
    long_ago = a_finding(observed_at=datetime.min.replace(tzinfo=T0.tzinfo))
    found = await scrape(store, surveyed=[a_surveyed(long_ago)])
    assert found.value("relayer_pool_observed_timestamp_seconds", **WHERE) == 0


async def test_what_a_finding_was_seen_at_is_told(store: FakeStore) -> None:
    found = await scrape(store, surveyed=[a_surveyed(a_finding(observed_at=T0 - seconds(5)))])
    at = found.value("relayer_pool_observed_timestamp_seconds", **WHERE)
    assert at == (T0 - seconds(5)).timestamp()


async def test_what_is_gone_is_not_told_any_more(store: FakeStore) -> None:
    metrics = Metrics()
    before = await scrape(store, metrics=metrics, surveyed=[a_surveyed(a_finding())])
    assert before.having("relayer_pool_nodes")
    after = await scrape(store, metrics=metrics, surveyed=[a_surveyed()])
    assert not after.having("relayer_pool_nodes")


async def test_names_from_outside_cannot_break_a_scrape(store: FakeStore) -> None:
    nasty = PoolName('a"b\\c\nd{}\ud800')
    found = await scrape(store, surveyed=[a_surveyed(a_finding(pool=nasty))])
    assert found.value("relayer_pool_nodes", cluster="prod", pool='a"b\\c\nd{}?') == 6


async def test_a_scrape_of_500_pools_is_quick(store: FakeStore) -> None:
    fleet, metrics = a_fleet(500), Metrics()
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        text = await metrics.text(store, {}, surveyed=fleet, now=T0)
        best = min(best, time.perf_counter() - began)
    assert text.count(b"\n") > 15_000
    assert best < 0.1, f"{best * 1000:.0f} ms"


# --- alerts, calls, this replica -----------------------------------------------------------------


async def test_alerts_are_counted_by_rule_and_a_cause_once(store: FakeStore) -> None:
    rows = [
        notice("held:1"),
        notice("held:1", to="webhook:x"),
        notice("held:2"),
        notice("unseen:3", over_at=T0.isoformat()),
        notice("x:4", rule="lag-releases", severity="critical"),
        "not a row",
    ]
    await store.keep("notices", {"notices": rows})
    found = await scrape(store)
    assert found.having("relayer_alerts_firing") == {
        ("held", "warning"): 2,
        ("lag-releases", "critical"): 1,
    }


async def test_an_alert_is_as_bad_as_it_is_told_anywhere(store: FakeStore) -> None:
    rows = [
        notice("lag:1", severity="info"),
        notice("lag:1", to="webhook:x", severity="critical"),
        notice("lag:1", to="webhook:y", severity="warning"),
    ]
    for some in (rows, rows[::-1]):
        await store.keep("notices", {"notices": some})
        found = (await scrape(store)).having("relayer_alerts_firing")
        assert found == {("lag", "critical"): 1}


async def test_what_is_silenced_as_a_whole_is_not_told_and_not_counted(store: FakeStore) -> None:
    rows = [
        notice("lag:1", silenced="by ann"),
        notice("paused:2", silenced="prod/infra: by ann", loud_since=T0.isoformat()),
        notice("held:3"),
        notice("degraded:4", silenced="by ann", severity="critical"),
        notice("degraded:4", to="webhook:x", loud_since=T0.isoformat()),
    ]
    await store.keep("notices", {"notices": rows})
    assert (await scrape(store)).having("relayer_alerts_firing") == {
        ("paused", "warning"): 1,
        ("held", "warning"): 1,
        ("degraded", "warning"): 1,
    }


async def test_what_is_counted_as_silenced_is_what_is_kept_of_it(store: FakeStore) -> None:
    """Rows as `telling.fleet` keeps them, of two pools of which one or both are silenced."""
    seen = as_found(behind("prod/a"), behind("prod/b"))
    for scope, firing in (("prod/a", {("lag", "warning"): 1}), ("prod", {})):
        days = Days().see(seen).see(seen, after=HOUR)
        days.silences = [a_silence(scope)]
        days.see(seen, after=60)
        rows = [kept_row(one) for one in days.memory.notices]
        assert rows[0]["silenced"]
        await store.keep("notices", {"notices": rows})
        assert (await scrape(store)).having("relayer_alerts_firing") == firing


@pytest.mark.parametrize("kept", [{}, {"notices": None}, {"notices": 5}, {"other": []}])
async def test_what_is_kept_of_alerts_in_another_form_is_no_alert(
    store: FakeStore, kept: dict[str, object]
) -> None:
    await store.keep("notices", kept)
    assert (await scrape(store)).having("relayer_alerts_firing") == {}


async def test_values_of_labels_are_bounded(store: FakeStore) -> None:
    metrics = Metrics()
    for number in range(3 * MOST_HOSTS):
        metrics.registry_called(f"cdn-{number}.example.com", "ok")
        metrics.slack_called(f"method-{number}", "ok")
    metrics.registry_called("cdn-0.example.com", "ok")
    metrics.api_called("prod", "proxy", "ok")
    rows = [notice(f"c:{n}", rule=f"rule-{n}") for n in range(2 * MOST_RULES)]
    await store.keep("notices", {"notices": rows})
    found = await scrape(store, metrics=metrics)
    hosts = found.having("relayer_registry_calls_total")
    assert len(hosts) == MOST_HOSTS + 1
    assert hosts["ok", "other"] == 2 * MOST_HOSTS
    assert hosts["ok", "cdn-0.example.com"] == 2
    assert ("other", "ok") in found.having("relayer_slack_calls_total")
    assert list(found.having("relayer_api_calls_total")) == [("prod", "ok", "other")]
    assert len(found.having("relayer_alerts_firing")) == MOST_RULES + 1


async def test_the_dead_mans_switch_says_when_it_was_last_pressed(store: FakeStore) -> None:
    metrics, name = Metrics(), "relayer_heartbeat_timestamp_seconds"
    assert (await scrape(store, metrics=metrics)).value(name) == 0
    metrics.beat(T0)
    assert (await scrape(store, metrics=metrics)).value(name) == T0.timestamp()


async def test_the_ages_of_watches_are_told_where_there_was_an_answer(store: FakeStore) -> None:
    found = Scrape.of(await Metrics().text(store, {PROD: Watched()}, now=T0))
    assert found.having("relayer_watch_age_seconds") == {("prod", "Node"): 7}


async def test_relayers_own_version_is_told(store: FakeStore) -> None:
    [(version, value)] = (await scrape(store)).having("relayer_build_info").items()
    assert value == 1
    assert version[0]


async def test_a_view_whose_time_cannot_be_read_has_a_decision_all_the_same(
    store: FakeStore,
) -> None:
    view = {"cluster": "prod", "pool": "infra", "decision": "Rebuild", "at": "soon"}
    await store.put_view("pool:prod/infra", view)
    found = await scrape(store)
    assert found.value("relayer_pool_decision", **WHERE, decision="Rebuild") == 1
    assert found.having("relayer_pool_look_timestamp_seconds") == {}
