"""Where an image may be had: the rules of registries.conf as the MCO writes it for nodes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.core.facts import Malformed, Repository
from watcher.core.mirrors import MirrorRule, Mirrors

RELEASE = Repository("quay.io/openshift-release-dev/ocp-release")


def rule(source: str, *mirrors: str, tags: bool = False, never: bool = False) -> MirrorRule:
    return MirrorRule(
        source=source, mirrors=mirrors, by_digest=not tags, never_contact_source=never
    )


def places(name: str, *rules: MirrorRule, by_digest: bool = True) -> list[str]:
    return list(Mirrors(rules).places(Repository(name), by_digest=by_digest))


def test_without_rules_the_source_is_the_only_place() -> None:
    assert places(RELEASE) == [RELEASE]
    assert places(RELEASE, rule("quay.io/other", "m.io/x")) == [RELEASE]


@pytest.mark.parametrize(
    ("source", "mirror", "found"),
    [
        (RELEASE, "m.io:5000/ocp", "m.io:5000/ocp"),
        ("quay.io/openshift-release-dev", "m.io/dev", "m.io/dev/ocp-release"),
        ("quay.io", "m.io", "m.io/openshift-release-dev/ocp-release"),
        ("quay.io", "m.io:8443/quay", "m.io:8443/quay/openshift-release-dev/ocp-release"),
        ("*.io", "m.io", "m.io/openshift-release-dev/ocp-release"),
    ],
)
def test_what_the_source_stands_for_is_replaced_and_the_rest_kept(
    source: str, mirror: str, found: str
) -> None:
    assert places(RELEASE, rule(source, mirror)) == [found, RELEASE]


@pytest.mark.parametrize(
    "source",
    [
        "quay.io/openshift-release",
        "quay.io/openshift-release-dev/ocp",
        "quay.io/openshift-release-dev/ocp-release/more",
        "uay.io",
        "quay.io:443",
        "*.quay.io",
        "*.openshift-release-dev",
        "",
    ],
)
def test_a_name_matches_only_at_its_boundaries(source: str) -> None:
    assert places(RELEASE, rule(source, "m.io/x")) == [RELEASE]


def test_a_wildcard_is_every_host_below_and_the_whole_host_is_replaced() -> None:
    below = rule("*.example.com", "m.io/all")
    assert places("a.example.com/x/y", below) == ["m.io/all/x/y", "a.example.com/x/y"]
    assert places("a.b.example.com/x/y", below) == ["m.io/all/x/y", "a.b.example.com/x/y"]
    assert places("example.com/x/y", below) == ["example.com/x/y"]
    assert places("badexample.com/x/y", below) == ["badexample.com/x/y"]
    # A port is not part of the domain: it stays, as nodes keep it, where that makes a name.
    assert places("a.example.com:5000/x", rule("*.example.com", "m.io")) == [
        "m.io:5000/x",
        "a.example.com:5000/x",
    ]
    assert places("a.example.com:5000/x", below) == ["a.example.com:5000/x"]


def test_only_the_longest_source_counts() -> None:
    wide, narrow = rule("quay.io", "wide.io"), rule("quay.io/ns", "narrow.io")
    assert places("quay.io/ns/x", wide, narrow) == ["narrow.io/x", "quay.io/ns/x"]
    assert places("quay.io/ot/x", wide, narrow) == ["wide.io/ot/x", "quay.io/ot/x"]
    exact, wildcard = rule("a.b.io", "exact.io"), rule("*.b.io", "wild.io")
    for rules in ((exact, wildcard), (wildcard, exact)):
        assert places("a.b.io/x", *rules) == ["exact.io/x", "a.b.io/x"]


def test_a_longer_source_for_tags_hides_the_mirrors_for_digests() -> None:
    """registries.conf has one entry for a source, and only the most precise one is used."""
    digests, tags = rule("quay.io/ns", "d.io"), rule("quay.io/ns/x", "t.io/x", tags=True)
    assert places("quay.io/ns/x", digests, tags) == ["quay.io/ns/x"]
    assert places("quay.io/ns/x", digests, tags, by_digest=False) == ["t.io/x", "quay.io/ns/x"]
    assert places("quay.io/ns/y", digests, tags) == ["d.io/y", "quay.io/ns/y"]


def test_digest_rules_are_for_digests_and_tag_rules_for_tags() -> None:
    rules = rule("quay.io", "d.io"), rule("quay.io", "t.io", tags=True)
    assert places("quay.io/x", *rules) == ["d.io/x", "quay.io/x"]
    assert places("quay.io/x", *rules, by_digest=False) == ["t.io/x", "quay.io/x"]


def test_mirrors_of_the_same_source_are_joined_in_order_each_once() -> None:
    rules = rule("quay.io", "b.io", "a.io"), rule("quay.io", "a.io", "c.io")
    assert places("quay.io/x", *rules) == ["b.io/x", "a.io/x", "c.io/x", "quay.io/x"]


def test_a_source_among_its_mirrors_keeps_its_place() -> None:
    assert places("quay.io/x", rule("quay.io", "quay.io", "m.io")) == ["quay.io/x", "m.io/x"]


def test_one_rule_that_forbids_the_source_is_enough() -> None:
    rules = rule("quay.io", "a.io", never=True), rule("quay.io", "b.io")
    assert places("quay.io/x", *rules) == ["a.io/x", "b.io/x"]
    # Also where it is of the other kind: a blocked source is blocked for every pull.
    rules = rule("quay.io", "a.io", never=True), rule("quay.io", "t.io", tags=True)
    assert places("quay.io/x", *rules, by_digest=False) == ["t.io/x"]
    assert places("quay.io/x", rule("quay.io", "a.io", never=True), by_digest=False) == []


def test_a_shorter_source_that_is_forbidden_does_not_forbid_the_longer() -> None:
    rules = rule("quay.io", "a.io", never=True), rule("quay.io/ns", "b.io")
    assert places("quay.io/ns/x", *rules) == ["b.io/x", "quay.io/ns/x"]


def test_a_mirror_is_left_out_where_it_is_a_forbidden_source_itself() -> None:
    rules = rule("quay.io", "m.io/quay", "n.io"), rule("m.io", "o.io", never=True)
    assert places("quay.io/x", *rules) == ["n.io/x", "quay.io/x"]


def test_a_mirror_that_makes_no_repository_is_left_out() -> None:
    assert places("quay.io/x", rule("quay.io/x", "m.io", "M.io/UP", "", "n.io/x")) == [
        "n.io/x",
        "quay.io/x",
    ]


def test_joined_sets_keep_their_order_and_name_each_rule_once() -> None:
    a, b, c = rule("a.io", "x.io"), rule("b.io", "x.io"), rule("c.io", "x.io")
    assert Mirrors.joined([b, a], [a, c]).rules == (b, a, c)


# --- as it is written -----------------------------------------------------------------------


def test_a_rule_is_read_as_it_is_written() -> None:
    seen = MirrorRule.read("*.b.io", ["m.io:1/x"], by_digest=False, never_contact_source=True)
    assert seen == rule("*.b.io", "m.io:1/x", tags=True, never=True)


@pytest.mark.parametrize("mirrors", [[], ["quay.io/x"]])
def test_a_rule_without_a_real_mirror_is_none_and_its_policy_does_not_count(
    mirrors: list[str],
) -> None:
    assert MirrorRule.read("quay.io/x", mirrors, never_contact_source=True) is None


@pytest.mark.parametrize(
    ("source", "mirror"),
    [
        ("quay.io/x:tag", "m.io"),
        ("quay.io/x@sha256:" + "0" * 64, "m.io"),
        ("https://quay.io", "m.io"),
        ("*.quay.io/ns", "m.io"),
        ("*.quay.io:5000", "m.io"),
        ("*.*.io", "m.io"),
        ("*.", "m.io"),
        ("a.*.io", "m.io"),
        ("", "m.io"),
        ("quay.io", ""),
        ("quay.io", "m.io/x/"),
        ("quay.io", "*.m.io"),
        ("quay.io", "m.io/x\n[[registry]]"),
        ("quay.io", "bare/x"),
    ],
)
def test_a_malformed_name_is_refused(source: str, mirror: str) -> None:
    with pytest.raises(Malformed):
        MirrorRule.read(source, [mirror])


# --- against a plain reference --------------------------------------------------------------

_WORD = st.sampled_from(["a", "b", "ab"])
_HOSTS = st.sampled_from(["a.io", "b.io", "x.a.io", "y.x.a.io", "a.io:5000", "xa.io"])
_PATHS = st.lists(_WORD, max_size=3).map(lambda parts: "".join(f"/{part}" for part in parts))
_NAMES = st.tuples(_HOSTS, _PATHS).map("".join)
_RULES = st.builds(
    MirrorRule,
    source=_NAMES | st.sampled_from(["*.io", "*.a.io", "*.x.a.io"]),
    mirrors=st.lists(_NAMES, max_size=3).map(tuple),
    by_digest=st.booleans(),
    never_contact_source=st.booleans(),
)


def entry(name: str, rules: list[MirrorRule]) -> str:
    """containers-registries.conf(5): the longest prefix that ends at a boundary of the name."""
    host = name.split("/")[0]
    prefixes = {name[:at] for at in range(len(name) + 1) if at == len(name) or name[at] == "/"}
    labels = host.split(":")[0].split(".")
    prefixes |= {"*." + ".".join(labels[n:]) for n in range(1, len(labels))}
    fitting = [rule.source for rule in rules if rule.source in prefixes]
    return max(fitting, key=lambda source: (len(source), source[0] != "*"), default="")


def reference(name: str, rules: list[MirrorRule], *, by_digest: bool) -> list[str]:
    source = entry(name, rules)
    own = [rule for rule in rules if source and rule.source == source]
    stem = name.split("/")[0].split(":")[0] if source.startswith("*") else source
    wanted = [m + name[len(stem) :] for r in own if r.by_digest == by_digest for m in r.mirrors]
    found: list[str] = []
    for place in [*wanted, name]:
        blocked = any(r.never_contact_source for r in rules if r.source == entry(place, rules))
        if place not in found and "/" in place and place.count(":") < 2 and not blocked:
            found.append(place)
    return [place for place in found if ":" not in place.partition("/")[2]]


@settings(max_examples=100)
@given(_HOSTS, _PATHS.filter(bool), st.lists(_RULES, max_size=6), st.booleans())
def test_places_are_those_of_a_plain_reading_of_the_rules(
    host: str, path: str, rules: list[MirrorRule], by_digest: bool
) -> None:
    assert places(host + path, *rules, by_digest=by_digest) == reference(
        host + path, rules, by_digest=by_digest
    )


@settings(max_examples=100)
@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=3), _HOSTS)
def test_whatever_is_written_is_read_or_malformed(
    source: str, mirrors: list[str], host: str
) -> None:
    unread = MirrorRule(source=source, mirrors=tuple(mirrors))
    assert places(f"{host}/a", unread, replace(unread, never_contact_source=True)) is not None
    try:
        seen = MirrorRule.read(source, mirrors)
    except Malformed:
        return
    assert seen is None or seen == unread
