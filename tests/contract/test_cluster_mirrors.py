"""Mirror sets of a cluster as its API server serves them."""

from typing import Any

import pytest

from simulator.apiserver import ApiServer
from simulator.apiserver import kinds as served
from tests.contract.scripted_api import until
from tests.contract.test_cluster_client import a_cluster, fill, running
from watcher.core.mirrors import MirrorRule

FORMS = {
    served.DIGEST_MIRROR_SETS: "imageDigestMirrors",
    served.TAG_MIRROR_SETS: "imageTagMirrors",
    served.CONTENT_SOURCE_POLICIES: "repositoryDigestMirrors",
}


def put(api: ApiServer, kind: served.Kind, name: str, source: str) -> None:
    document: dict[str, Any] = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name},
        "spec": {FORMS[kind]: [{"source": source, "mirrors": ["m.example.com/a"]}]},
    }
    api.writer.create(kind, document)


def rule(source: str, *, by_digest: bool = True) -> MirrorRule:
    return MirrorRule(source=source, mirrors=("m.example.com/a",), by_digest=by_digest)


async def test_mirror_sets_are_watched() -> None:
    async with ApiServer.start() as api:
        fill(api)
        put(api, served.TAG_MIRROR_SETS, "a", "quay.io/4")
        put(api, served.DIGEST_MIRROR_SETS, "b", "quay.io/3")
        put(api, served.CONTENT_SOURCE_POLICIES, "c", "quay.io/1")
        tags = rule("quay.io/4", by_digest=False)
        async with a_cluster(api) as cluster, running(cluster):
            await cluster.synced()
            assert cluster.view().mirrors == (rule("quay.io/1"), rule("quay.io/3"), tags)
            put(api, served.DIGEST_MIRROR_SETS, "a", "quay.io/2")
            await until(lambda: len(cluster.view().mirrors) == 4)
            assert cluster.view().mirrors[1] == rule("quay.io/2")


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.kind)
async def test_a_cluster_without_or_with_hidden_mirror_sets_can_be_worked_with(
    kind: served.Kind,
) -> None:
    async with ApiServer.start() as api:
        fill(api)
        api.set_away(kind)
        others = [other for other in FORMS if other is not kind]
        for other in others:
            api.denials.deny(["list", "watch"], other.plural)
        async with a_cluster(api) as cluster, running(cluster):
            await cluster.synced()
            view = cluster.view()
            assert (view.mirrors, len(view.pools)) == ((), 1)
            for other in others:
                assert any(other.plural in problem for problem in view.problems)
            assert (await cluster.fresh_view()).pools, "an apply does not hang on mirrors"
