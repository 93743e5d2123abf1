"""Mirror sets of a cluster, from JSON to the rules of its view."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.test_kube_wire import read
from watcher.clients.kube import kinds
from watcher.clients.kube.assembling import assemble
from watcher.clients.kube.kinds import Kind
from watcher.core.facts import ClusterName, Malformed
from watcher.core.mirrors import MirrorRule


def a_set(kind: Kind[Any], field: str, *entries: Any, name: str = "x") -> Any:
    return read(kind, {"metadata": {"name": name}, "spec": {field: list(entries)}})


def test_mirror_sets_of_all_three_kinds_are_read() -> None:
    entry = {"source": "quay.io/a", "mirrors": ["m.io/a"]}
    never = {**entry, "mirrorSourcePolicy": "NeverContactSource"}
    plain = MirrorRule(source="quay.io/a", mirrors=("m.io/a",))
    forbidding = replace(plain, never_contact_source=True)
    digests, tags = kinds.IMAGE_DIGEST_MIRROR_SET, kinds.IMAGE_TAG_MIRROR_SET
    allowed = {**entry, "mirrorSourcePolicy": "AllowContactingSource"}
    assert a_set(digests, "imageDigestMirrors", entry, never) == (plain, forbidding)
    assert a_set(digests, "imageDigestMirrors", allowed) == (plain,)
    assert a_set(tags, "imageTagMirrors", never) == (replace(forbidding, by_digest=False),)
    old = kinds.IMAGE_CONTENT_SOURCE_POLICY
    assert a_set(old, "repositoryDigestMirrors", entry, never) == (plain, plain)


@pytest.mark.parametrize("kind", kinds.MIRROR_SETS, ids=lambda k: k.title)
@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {
            "imageDigestMirrors": None,
            "imageTagMirrors": None,
            "repositoryDigestMirrors": None,
        },
        {
            field: [{"source": "q.io", "mirrors": None, "mirrorSourcePolicy": None}]
            for field in ("imageDigestMirrors", "imageTagMirrors", "repositoryDigestMirrors")
        },
    ],
    ids=["null", "empty", "null lists", "no mirrors"],
)
def test_a_mirror_set_may_say_nothing(kind: Kind[Any], spec: Any) -> None:
    assert read(kind, {"metadata": {"name": "x"}, "spec": spec}) == ()


def test_a_mirror_set_with_a_name_that_is_none_is_malformed() -> None:
    entry = {"source": "quay.io/a", "mirrors": ["m.io/a", "not a mirror"]}
    with pytest.raises(Malformed, match="not a mirror"):
        a_set(kinds.IMAGE_DIGEST_MIRROR_SET, "imageDigestMirrors", entry)


def test_a_view_has_the_rules_of_all_mirror_sets_by_kind_and_name() -> None:
    def rule(name: str) -> MirrorRule:
        return MirrorRule(source=name, mirrors=("m.io",))

    found: dict[str, dict[str, object]] = {
        "ImageTagMirrorSet": {"a": (rule("5"),)},
        "ImageDigestMirrorSet": {"z": (rule("4"),), "b": (rule("2"), rule("3"))},
        "ImageContentSourcePolicy": {"z": (rule("1"),)},
    }
    view = assemble(ClusterName("east"), found, observed_at=datetime.now(UTC), problems=())
    assert view.mirrors == tuple(map(rule, "12345"))
