"""MCO's rules beside a plain telling of them, on any set of MachineConfigs, pools and nodes.

The reference below is written the long way, as MergeMachineConfigs and GetPoolsForNode read, and
shares nothing with `core/mco`.
"""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import a_view
from watcher.core import mco
from watcher.core.cluster import MachineConfig, Meta, Node, Pool, Requirement, Selector

ROLES = ("worker", "master", "infra", "storage", "arbiter")
ROLE = "machineconfiguration.openshift.io/role"
MADE_BY = "machineconfiguration.openshift.io/generated-by-controller-version"
BANDS = {"old": ("4.12.9", "4.14.40"), "middle": ("4.15.0", "4.20.9"), "new": ("4.21.0", "5.0.1")}
RELEASES = st.sampled_from([(band, v) for band, versions in BANDS.items() for v in versions])

labels = st.dictionaries(
    st.sampled_from([ROLE, "team", "a/b"]), st.sampled_from([*ROLES, "", "x"]), max_size=3
)
names = st.sampled_from(
    ["00-worker", "01-worker-kubelet", "10-a", "50-b", "97-c", "99-infra-relayer-osimage", "99-zz"]
)
machine_config = st.builds(
    MachineConfig,
    meta=st.builds(
        Meta,
        name=names,
        labels=labels,
        annotations=st.sampled_from([{}, {}, {MADE_BY: "hash"}, {MADE_BY: ""}]),
    ),
    os_image_url=st.sampled_from(["", "base", "one", "two"]),
)
# Names of objects are unique.
machine_configs = st.lists(machine_config, max_size=7, unique_by=lambda mc: mc.meta.name)

requirement = st.builds(
    Requirement,
    key=st.sampled_from([ROLE, "team", "a/b"]),
    operator=st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt"]),
    values=st.lists(st.sampled_from([*ROLES, "x"]), max_size=3).map(tuple),
)
selector = st.one_of(
    st.none(),
    st.builds(
        Selector,
        match_labels=labels,
        match_expressions=st.lists(requirement, max_size=2).map(tuple),
    ),
)
pool = st.builds(
    Pool,
    meta=st.builds(Meta, name=st.sampled_from(ROLES)),
    machine_config_selector=selector,
    node_selector=selector,
)
pools = st.lists(pool, max_size=5, unique_by=lambda p: p.meta.name)


# --- the reference -------------------------------------------------------------------------------


def matches(chosen: Selector | None, has: Mapping[str, str]) -> bool:
    if chosen is None:
        return False
    if len(chosen.match_labels) + len(chosen.match_expressions) == 0:
        return False
    for key, value in chosen.match_labels.items():
        if key not in has or has[key] != value:
            return False
    for needed in chosen.match_expressions:
        present = needed.key in has
        is_met = {
            "In": present and has.get(needed.key) in needed.values,
            "NotIn": not (present and has.get(needed.key) in needed.values),
            "Exists": present,
            "DoesNotExist": not present,
        }.get(needed.operator, False)
        if not is_met:
            return False
    return True


def merged(it: Pool, all_there: list[MachineConfig], band: str) -> MachineConfig | None:
    """Who says the image last, going through them one by one; None for the release's own."""
    selected = [mc for mc in all_there if matches(it.machine_config_selector, mc.meta.labels)]
    selected.sort(key=lambda mc: mc.meta.name)
    if band != "old":
        workers = [mc for mc in selected if mc.meta.labels.get(ROLE, "") == "worker"]
        others = [mc for mc in selected if mc.meta.labels.get(ROLE, "") != "worker"]
        selected = workers + others
    said, by_a_person = None, False
    for mc in selected:
        is_made = mc.meta.annotations.get(MADE_BY, "") != ""
        if mc.os_image_url == "" or (band == "new" and is_made):
            continue
        said = mc
        by_a_person = by_a_person or not is_made
    return said if by_a_person else None


def member_of(node: Node, there: list[Pool]) -> str | None:
    if node.meta.labels.get("kubernetes.io/os") == "windows":
        return None
    master, worker, custom = False, False, []
    for it in there:
        if matches(it.node_selector, node.meta.labels):
            if it.meta.name == "master":
                master = True
            elif it.meta.name == "worker":
                worker = True
            else:
                custom.append(it.meta.name)
    if len(custom) > 1:
        return None
    if master:
        return "master"
    if custom:
        return custom[0]
    return "worker" if worker else None


# --- the properties ------------------------------------------------------------------------------


@settings(max_examples=100)
@given(it=pool, there=machine_configs, release=RELEASES)
def test_the_winner_is_the_one_of_the_plain_merge(
    it: Pool, there: list[MachineConfig], release: tuple[str, str]
) -> None:
    band, version = release
    assert mco.winner(it, there, version=version) == merged(it, there, band)


INHERITING = Pool(
    meta=Meta(name="infra"),
    machine_config_selector=Selector(
        match_expressions=(Requirement(key=ROLE, operator="In", values=("worker", "infra")),)
    ),
)


@settings(max_examples=100)
@given(there=machine_configs, release=RELEASES)
def test_it_is_so_too_in_a_pool_that_selects_most_of_them(
    there: list[MachineConfig], release: tuple[str, str]
) -> None:
    band, version = release
    assert mco.winner(INHERITING, there, version=version) == merged(INHERITING, there, band)


@settings(max_examples=100)
@given(its=pools, there=machine_configs, release=RELEASES)
def test_many_pools_asked_together_get_what_each_gets_alone(
    its: list[Pool], there: list[MachineConfig], release: tuple[str, str]
) -> None:
    band, version = release
    winners = mco.Winners(there, version=version)
    for it in [*its, INHERITING]:
        found = winners.of(it)
        assert found == merged(it, there, band)
        is_override = found is not None and not found.meta.annotations.get(MADE_BY)
        assert winners.overriding(it) == (found if is_override else None)


@settings(max_examples=60)
@given(there=machine_configs, release=RELEASES, data=st.data())
def test_the_order_in_which_they_are_listed_does_not_matter(
    there: list[MachineConfig], release: tuple[str, str], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(there))
    won = [mco.winner(INHERITING, each, version=release[1]) for each in (there, shuffled)]
    assert won[0] == won[1]
    orders = [mco.merge_order(each, version=release[1]) for each in (there, shuffled)]
    assert orders[0] == orders[1]


@settings(max_examples=60)
@given(there=machine_configs)
def test_from_4_21_on_generated_ones_might_as_well_not_be_there(there: list[MachineConfig]) -> None:
    without = [mc for mc in there if not mc.meta.annotations.get(MADE_BY)]
    for version in BANDS["new"]:
        won = [mco.winner(INHERITING, each, version=version) for each in (there, without)]
        assert won[0] == won[1]


@settings(max_examples=60)
@given(there=pools, mc=machine_config)
def test_a_machine_config_hits_exactly_the_pools_that_select_it(
    there: list[Pool], mc: MachineConfig
) -> None:
    hit = {p.meta.name for p in there if matches(p.machine_config_selector, mc.meta.labels)}
    found = mco.pools_hit(a_view(pools=tuple(there)), mc)
    assert set(found) == hit
    assert len(found) == len(hit)


node = st.builds(
    Node,
    meta=st.builds(
        Meta,
        name=st.just("n"),
        labels=st.builds(
            lambda own, system: {**own, "kubernetes.io/os": system},
            labels,
            st.sampled_from(["linux", "linux", "windows"]),
        ),
    ),
)


@settings(max_examples=100)
@given(it=node, there=pools)
def test_a_node_is_in_the_pool_of_the_plain_rules(it: Node, there: list[Pool]) -> None:
    assert mco.pool_of(it, {p.meta.name: p for p in there}) == member_of(it, there)


usual_pools = st.lists(st.sampled_from(ROLES), max_size=5, unique=True).map(
    lambda roles: [
        Pool(meta=Meta(name=role), node_selector=Selector(match_labels={f"role/{role}": ""}))
        for role in roles
    ]
)


@settings(max_examples=100)
@given(has=st.sets(st.sampled_from(ROLES)), there=usual_pools)
def test_it_is_so_too_with_the_usual_roles(has: set[str], there: list[Pool]) -> None:
    it = Node(meta=Meta(name="n", labels={f"role/{role}": "" for role in sorted(has)}))
    by_name = {p.meta.name: p for p in there}
    found = mco.pool_of(it, by_name)
    assert found == member_of(it, there)
    view = a_view(pools=tuple(there), nodes={"n": it})
    assert [name for name in by_name if mco.nodes_of(view, name)] == ([found] if found else [])
