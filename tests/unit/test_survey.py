"""A survey that goes on says what a fresh one would, and redoes only what a change concerns."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests import facts
from tests.facts import (
    INFRA,
    OURS,
    PROD,
    T0,
    a_base,
    a_lineage,
    a_machine_config,
    a_node,
    a_release,
    a_version,
    conditions,
    generated,
    image,
)
from watcher.core.cluster import (
    CertExpiry,
    ClusterView,
    Condition,
    MachineConfig,
    MachineOsBuild,
    MachineOsConfig,
    Meta,
    Node,
    OsImageStream,
    Pool,
)
from watcher.core.lag import Lag
from watcher.core.release import UnknownBase
from watcher.core.state import Finding, Flag, State
from watcher.core.survey import Known, Survey

IMAGE, OTHER = str(image("mine")), str(image("theirs"))
NAMES = ("infra", "gpu", "worker")
KNOWN = Known(
    release=a_release(),
    bases={"rhel-9": a_base(), "rhel-10": UnknownBase("no such stream")},
    lineages={IMAGE: a_lineage(), OTHER: a_lineage("4.16.1")},
    lags={"infra": Lag(releases=2)},
)


def a_pool(name: str = "infra", **said: Any) -> Pool:
    """One whose sources nobody says, so that none of them can be missing."""
    return facts.a_pool(name, **{"spec_sources": (), **said})


def view(**said: Any) -> ClusterView:
    default: dict[str, Any] = {
        "cluster": PROD,
        "observed_at": T0,
        "cluster_version": a_version(),
        "pools": {name: a_pool(name) for name in NAMES},
        "machine_configs": {OURS: a_machine_config(OURS, os_image_url=IMAGE)},
        "nodes": {name: a_node(name, "worker", name) for name in NAMES},
    }
    return ClusterView(**{**default, **said})


def by_pool(found: tuple[Finding, ...]) -> dict[str, Finding]:
    return {one.pool: one for one in found}


def redone(
    survey: Survey,
    before: tuple[Finding, ...],
    changed: ClusterView,
    known: Known = KNOWN,
    **how: Any,
) -> set[str]:
    """The pools whose findings were made anew."""
    old, new = by_pool(before), by_pool(survey.of(changed, known, now=T0, **how))
    return {name for name, one in new.items() if one is not old.get(name)}


def test_each_pool_gets_its_own_override_nodes_and_lag() -> None:
    found = by_pool(Survey(PROD).of(view(), KNOWN, now=T0))
    assert list(found) == sorted(NAMES)
    assert {name: one.state for name, one in found.items()} == {
        "infra": State.CURRENT,
        "gpu": State.STOCK,
        "worker": State.STOCK,
    }
    assert (found["infra"].lag.releases, found["gpu"].lag.releases) == (2, None)
    assert found["infra"].override is not None
    assert found["infra"].override.image == IMAGE


def test_the_merge_order_is_that_of_the_release() -> None:
    """Up to 4.14 plainly by name; then one of the pool's own role beats those of worker."""
    mcs = {
        "10-own": a_machine_config("10-own", "gpu", OTHER),
        "50-all": a_machine_config("50-all", "worker", IMAGE),
    }
    survey, won = Survey(PROD), []
    for version in ("4.14.9", "4.16.3", "4.14.10"):
        known = replace(KNOWN, release=a_release(version))
        gpu = by_pool(survey.of(view(machine_configs=mcs), known, now=T0))["gpu"]
        won.append(gpu.override.machineconfig if gpu.override else "")
    assert won == ["50-all", "10-own", "50-all"]


def test_a_generated_one_that_wins_is_named_and_is_no_override() -> None:
    late = generated("99-zzz-generated", "infra", str(a_base().image))
    mcs = {OURS: a_machine_config(OURS, os_image_url=IMAGE), late.meta.name: late}
    found = by_pool(Survey(PROD).of(view(machine_configs=mcs), KNOWN, now=T0))["infra"]
    assert (found.state, found.override) == (State.SHADOWED, None)
    assert "99-zzz-generated wins" in found.sentence


def test_nothing_is_redone_where_nothing_changed() -> None:
    survey = Survey(PROD)
    with_empty = view(nodes={})
    before = survey.of(with_empty, KNOWN, now=T0)
    assert redone(survey, before, with_empty) == set()
    assert redone(survey, before, with_empty, nodes=()) == set()


def test_a_change_redoes_the_pools_that_it_concerns() -> None:
    survey, first = Survey(PROD), view()
    before = survey.of(first, KNOWN, now=T0)
    node = replace(first.nodes["gpu"], os_image="another")
    now = replace(first, nodes={**first.nodes, "gpu": node})
    assert redone(survey, before, now, nodes=["gpu"]) == {"gpu"}
    before = survey.of(now, KNOWN, now=T0)
    moved = replace(now, nodes={**now.nodes, "gpu": a_node("gpu", "worker", "infra")})
    assert redone(survey, before, moved, nodes=["gpu"]) == {"gpu", "infra"}
    before = survey.of(moved, KNOWN, now=T0)
    gone = replace(moved, nodes={k: v for k, v in moved.nodes.items() if k != "gpu"})
    assert redone(survey, before, gone, nodes=["gpu"]) == {"infra"}
    before = survey.of(gone, KNOWN, now=T0)
    paused = replace(gone, pools={**gone.pools, "worker": a_pool("worker", paused=True)})
    assert redone(survey, before, paused) == {"worker"}
    before = survey.of(paused, KNOWN, now=T0)
    none = replace(paused, machine_configs={})
    assert redone(survey, before, none) == {"infra"}
    assert {one.state for one in survey.of(none, KNOWN, now=T0)} == {State.STOCK}
    before = survey.of(none, KNOWN, now=T0)
    owned = replace(
        none, machine_os_configs={"m": MachineOsConfig(meta=Meta(name="m"), pool=INFRA)}
    )
    assert redone(survey, before, owned) == {"infra"}
    before = survey.of(owned, KNOWN, now=T0)
    assert redone(survey, before, owned, replace(KNOWN)) == set(NAMES)


def test_another_stream_of_the_worker_pool_redoes_those_that_inherit_it() -> None:
    survey, first = Survey(PROD), view()
    before = survey.of(first, KNOWN, now=T0)
    worker = a_pool("worker", os_image_stream="rhel-10")
    changed = replace(first, pools={**first.pools, "worker": worker})
    assert redone(survey, before, changed) == set(NAMES)
    assert by_pool(survey.of(changed, KNOWN, now=T0))["infra"].state is State.UNREADABLE


def test_a_full_pass_says_when_it_looked_and_how_many_days_are_left() -> None:
    signer = CertExpiry(
        bundle="b", subject="CN=kube-apiserver-to-kubelet-signer", expiry=T0 + timedelta(days=9)
    )
    paused = a_pool(paused=True, cert_expiries=(signer,))
    survey, first = Survey(PROD), view(pools={"infra": paused})
    [before] = survey.of(first, KNOWN, now=T0)
    later = T0 + timedelta(days=2)
    [event] = survey.of(replace(first, observed_at=later), KNOWN, now=later, nodes=())
    assert event is before
    [after] = survey.of(replace(first, observed_at=later), KNOWN, now=later)
    assert after.observed_at == later
    assert "in 9 days" in before.blocks[0].why
    assert "in 7 days" in after.blocks[0].why


def test_a_node_event_looks_at_all_where_something_else_moved_with_it() -> None:
    survey, first = Survey(PROD), view()
    survey.of(first, KNOWN, now=T0)
    moved = replace(first, machine_configs={}, pools={**first.pools, "gpu": a_pool("gpu", nodes=9)})
    found = by_pool(survey.of(moved, KNOWN, now=T0, nodes=("gpu",)))
    assert (found["infra"].state, found["gpu"].nodes.total) == (State.STOCK, 9)
    known = replace(KNOWN, lags={"gpu": Lag(releases=7)})
    assert by_pool(survey.of(moved, known, now=T0, nodes=()))["gpu"].lag.releases == 7


def test_a_node_event_makes_one_finding_and_asks_about_no_other_pool() -> None:
    class Asked(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.append(name)
            return default

    asked: list[str] = []
    survey, first = Survey(PROD), view()
    known = replace(KNOWN, lags=Asked())
    survey.of(first, known, now=T0)
    assert sorted(asked) == sorted(NAMES)
    asked.clear()
    node = replace(first.nodes["gpu"], os_image="another")
    survey.of(replace(first, nodes={**first.nodes, "gpu": node}), known, now=T0, nodes=("gpu",))
    assert asked == ["gpu"]


def test_a_paused_pool_has_the_certificates_of_when_it_was_last_in_step() -> None:
    """Two signers are listed; the newer was made after the pool fell behind."""
    name = "CN=kube-apiserver-to-kubelet-signer"
    old, new = (
        CertExpiry(bundle="b", subject=name, expiry=T0 + timedelta(days=n)) for n in (20, 360)
    )
    behind = (
        Condition(type="Updated", status="False", last_transition=T0 - timedelta(days=9)),
        Condition(type="Updating", status="False", last_transition=T0 - timedelta(days=1)),
    )
    pool = a_pool(paused=True, conditions=behind, cert_expiries=(old, new))
    [found] = Survey(PROD).of(view(pools={"infra": pool}), KNOWN, now=T0)
    assert any("ends in 20 days" in one.why for one in found.blocks)
    later = tuple(replace(c, last_transition=T0 - timedelta(days=2)) for c in behind)
    fresh = replace(pool, conditions=later)
    [found] = Survey(PROD).of(view(pools={"infra": fresh}), KNOWN, now=T0)
    assert any("ends in 360 days" in one.why for one in found.blocks)


def test_a_build_on_the_cluster_redoes_its_pool() -> None:
    owner = MachineOsConfig(
        meta=Meta(name="m"), pool=INFRA, current_image=IMAGE, current_build="m-1"
    )
    survey, first = Survey(PROD), replace(view(), machine_os_configs={"m": owner})
    before = survey.of(first, KNOWN, now=T0)
    assert "as it is now" in by_pool(before)["infra"].sentence
    build = MachineOsBuild(meta=Meta(name="m-1"), os_config="m")
    now = replace(first, machine_os_builds={"m-1": build})
    assert redone(survey, before, now) == {"infra"}
    done = replace(build, conditions=conditions(Failed="True:no space"))
    before = survey.of(now, KNOWN, now=T0)
    failed = replace(now, machine_os_builds={"m-1": done})
    assert redone(survey, before, failed) == {"infra"}
    assert "no space" in by_pool(survey.of(failed, KNOWN, now=T0))["infra"].sentence


def test_what_is_said_of_an_image_becomes_a_flag() -> None:
    known = replace(KNOWN, unpullable={IMAGE: "not there"}, moved={OURS: "another"})
    found = by_pool(Survey(PROD).of(view(), known, now=T0))
    assert [raised.flag for raised in found["infra"].flags] == [Flag.UNPULLABLE, Flag.TAG_MOVED]
    assert found["gpu"].flags == ()


# --- any sequence of changes ---------------------------------------------------------------------

pools = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        lambda paused, nodes, stream, bad: (paused, nodes, stream, bad),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from(["", "rhel-10"]),
        st.booleans(),
    ),
)
mcs = st.dictionaries(
    st.sampled_from([OURS, "50-x", "99-gpu-relayer-osimage", "99-zz"]),
    st.tuples(
        st.sampled_from(["infra", "gpu", "worker", ""]),
        st.sampled_from([IMAGE, OTHER, "", "r.example.com/x:tag"]),
        st.booleans(),
    ),
)
node_sets = st.dictionaries(
    st.sampled_from(["n1", "n2", "n3", "n4"]),
    st.tuples(st.sets(st.sampled_from(NAMES)), st.sampled_from(["", "os 1", "os 2"])),
)
worlds = st.tuples(
    pools, mcs, node_sets, st.booleans(), st.booleans(), st.integers(0, 2), st.booleans()
)


def _pool(name: str, paused: bool, nodes: int, stream: str, bad: bool) -> Pool:
    known = conditions(Updated="False", Degraded="True") if bad else ()
    return a_pool(
        name,
        nodes=nodes,
        paused=paused,
        os_image_stream=stream,
        **({"conditions": known} if bad else {}),
    )


def _machine_config(name: str, role: str, url: str, is_generated: bool) -> MachineConfig:
    return generated(name, role, url) if is_generated else a_machine_config(name, role, url)


def _node(name: str, roles: set[str], os: str) -> Node:
    return replace(a_node(name, *sorted(roles)), os_image=os)


class Kept(dict[object, Any]):
    """Equal objects are the same one, as in a watch's cache."""

    def of(self, made: Any) -> Any:
        return self.setdefault(repr(made), made)


def _view(world: Any, kept: Kept, at: datetime) -> tuple[ClusterView, Known]:
    pools, mcs, nodes, has_owner, has_stream, version, has_release = world
    owners = {"m": MachineOsConfig(meta=Meta(name="m"), pool=INFRA)} if has_owner else {}
    stream = OsImageStream(meta=Meta(name="cluster"), default_stream="rhel-10")
    made = view(
        observed_at=at,
        cluster_version=kept.of(a_version()),
        pools={name: kept.of(_pool(name, *said)) for name, said in pools.items()},
        machine_configs={name: kept.of(_machine_config(name, *said)) for name, said in mcs.items()},
        nodes={name: kept.of(_node(name, *said)) for name, said in nodes.items()},
        machine_os_configs={name: kept.of(one) for name, one in owners.items()},
        os_image_stream=kept.of(stream) if has_stream else None,
    )
    release = a_release(("4.14.3", "4.16.3", "4.21.3")[version])
    known = replace(KNOWN, release=release) if has_release else Known(problem="forbidden")
    return made, kept.of(known)


@settings(max_examples=60, deadline=None)
@given(st.lists(worlds, min_size=2, max_size=6))
def test_after_any_changes_a_full_pass_is_that_of_a_fresh_survey(sequence: list[Any]) -> None:
    survey, kept = Survey(PROD), Kept()
    for number, world in enumerate(sequence):
        now = T0 + timedelta(days=number)
        seen, known = _view(world, kept, now)
        assert survey.of(seen, known, now=now) == Survey(PROD).of(seen, known, now=now)


@settings(max_examples=60, deadline=None)
@given(worlds, st.lists(node_sets, min_size=1, max_size=5))
def test_node_events_alone_lead_to_the_same_as_a_fresh_survey(
    world: Any, changes: list[Mapping[str, Any]]
) -> None:
    survey, kept = Survey(PROD), Kept()
    seen, known = _view(world, kept, T0)
    survey.of(seen, known, now=T0)
    for change in changes:
        nodes = {name: kept.of(_node(name, *said)) for name, said in change.items()}
        names = [n for n in {*nodes, *seen.nodes} if nodes.get(n) is not seen.nodes.get(n)]
        seen = replace(seen, nodes=nodes)
        assert survey.of(seen, known, now=T0, nodes=names) == Survey(PROD).of(seen, known, now=T0)


step = st.one_of(
    st.tuples(st.just(0), pools),
    st.tuples(st.just(1), mcs),
    st.tuples(st.just(2), node_sets),
    st.tuples(st.just(2), node_sets),  # most often
    st.tuples(st.sampled_from([3, 4, 6]), st.booleans()),
    st.tuples(st.just(5), st.integers(0, 2)),
    st.just((None, "a new list: all is equal and nothing the same")),
)


@settings(max_examples=100, deadline=None)
@given(worlds, st.lists(st.tuples(step, st.booleans()), min_size=1, max_size=8))
def test_after_any_changes_that_tell_which_nodes_moved_all_is_as_in_a_fresh_survey(
    world: Any, steps: list[tuple[tuple[int | None, Any], bool]]
) -> None:
    """Nodes, pools, MachineConfigs and what is known, one at a time; the names alone are told."""
    survey, kept = Survey(PROD), Kept()
    seen, known = _view(world, kept, T0)
    survey.of(seen, known, now=T0)
    for (part, said), is_resync in steps:
        if part is None:
            kept = Kept()
        else:
            world = (*world[:part], said, *world[part + 1 :])
        before, (seen, known) = seen, _view(world, kept, T0)
        moved = {
            name
            for name in before.nodes.keys() | seen.nodes.keys()
            if before.nodes.get(name) != seen.nodes.get(name)
        }
        names = None if is_resync else moved
        fresh = Survey(PROD)
        assert survey.of(seen, known, now=T0, nodes=names) == fresh.of(seen, known, now=T0)
        assert _names(survey) == _names(fresh)


def _names(survey: Survey) -> dict[str, set[str]]:
    return {pool: {n.meta.name for n in nodes} for pool, nodes in survey.members().items() if nodes}


THEIRS = "98-theirs"


def rendered_from_what_was_not_read(*, image: str | None, mine: str = "") -> Finding:
    """The pool infra; `image` of its rendered MachineConfig, None: that was not read either."""
    pool = a_pool(spec_sources=("00-worker", THEIRS))
    configs = {"00-worker": a_machine_config("00-worker")}
    if image is not None:
        configs[pool.spec_configuration] = a_machine_config(
            pool.spec_configuration, role="", os_image_url=image
        )
    if mine:
        configs[OURS] = a_machine_config(OURS, os_image_url=mine)
    seen = view(pools={"infra": pool}, machine_configs=configs)
    return Survey(PROD).of(seen, KNOWN, now=T0)[0]


def test_a_pool_of_which_a_machineconfig_was_not_read_is_never_called_well() -> None:
    for rendered, mine in ((None, ""), (OTHER, ""), (None, IMAGE), (OTHER, IMAGE)):
        found = rendered_from_what_was_not_read(image=rendered, mine=mine)
        assert found.state is State.UNREADABLE
        assert THEIRS in found.sentence
        assert (found.override, found.lag) == (None, Lag())


def test_what_was_not_read_says_nothing_where_the_rendered_image_is_explained_without_it() -> None:
    stock = str(a_base().image)
    assert rendered_from_what_was_not_read(image=stock).state is State.STOCK
    assert rendered_from_what_was_not_read(image=IMAGE, mine=IMAGE).state is State.CURRENT


def test_a_machineconfig_that_is_read_after_all_makes_its_pool_readable() -> None:
    survey, pool = Survey(PROD), a_pool(spec_sources=(THEIRS,))
    first = view(pools={"infra": pool}, machine_configs={})
    assert survey.of(first, KNOWN, now=T0)[0].state is State.UNREADABLE
    read = {THEIRS: a_machine_config(THEIRS)}  # it says nothing of the image
    second = replace(first, machine_configs=read)
    assert survey.of(second, KNOWN, now=T0)[0].state is State.STOCK
