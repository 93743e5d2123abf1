"""Least privilege, both ways: each request of the code has its rule, each rule its request.

Every watch, list, read and write of the cluster client is really sent to the simulated API server;
what arrived there is held against the roles as `relayer manifests` prints them.
"""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.apiserver import ApiServer
from simulator.apiserver import kinds as served
from simulator.apiserver.faults import Request
from simulator.apiserver.paths import parse
from simulator.cluster import PoolSpec, Release, SimulatedCluster
from simulator.signing import signer_here
from tests.contract.scripted_api import BRIEF, CALM, VirtualTime, until
from tests.facts import release_image
from watcher.clients.kube.cluster import KubeCluster
from watcher.clients.kube.credentials import TokenFile
from watcher.clients.kube.kinds import KINDS, RBAC_RULES
from watcher.clients.kube.live import Live
from watcher.clients.kube.reviews import KubeReviews
from watcher.clients.kube.session import Session
from watcher.core.facts import ClusterName, PoolName
from watcher.manifests import Object, Values, render
from watcher.ports_reviews import Reviewed

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example.com/os/infra@sha256:" + "a" * 64
OVERRIDE = "99-infra-relayer-osimage"
INFRA = PoolName("infra")
RELEASE = release_image("4.18.9")
ASKING = {"cluster", "listing", "live", "reflector", "reviews", "trust"}
"""Modules of watcher/clients/kube that send requests to API servers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, in RBAC's words."""

    group: str
    resource: str
    verb: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One verb on one resource that the roles allow."""

    group: str
    resource: str
    verb: str
    namespace: str
    """Empty: everywhere."""
    names: tuple[str, ...]

    def allows(self, asked: Asked) -> bool:
        same = (self.group, self.resource, self.verb) == (asked.group, asked.resource, asked.verb)
        here = self.namespace in ("", asked.namespace)
        return same and here and (not self.names or asked.name in self.names)


def rules(objects: list[Object]) -> list[Rule]:
    """What the service account may do by the roles that are bound to it."""
    found = []
    bound = {
        (one["roleRef"]["kind"], one["roleRef"]["name"], one["metadata"].get("namespace", ""))
        for one in objects
        if one["kind"] in ("ClusterRoleBinding", "RoleBinding")
        and {"kind": "ServiceAccount", "name": "relayer", "namespace": "relayer"} in one["subjects"]
    }
    for one in objects:
        namespace = one["metadata"].get("namespace", "")
        if one["kind"] not in ("ClusterRole", "Role"):
            continue
        assert (one["kind"], one["metadata"]["name"], namespace) in bound, "a role for nobody"
        for rule in one["rules"]:
            assert "*" not in str(rule)
            found += [
                Rule(group, resource, verb, namespace, tuple(rule.get("resourceNames", ())))
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            ]
    return found


def asked_for(request: Request, api: ApiServer) -> Iterator[Asked]:
    """The rights that an API server looks for before it answers this request."""
    target = parse(request.path, api.kinds)
    assert target, request.path
    selected = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
    verb = target.verb(request.method, watch=request.watch)
    where = (target.namespace, target.name or selected)
    yield Asked(target.kind.group, target.kind.plural, verb, *where)
    if request.content_type.startswith("application/apply-patch"):
        yield Asked(target.kind.group, target.kind.plural, "create", *where)


@asynccontextmanager
async def driven(api: ApiServer) -> AsyncIterator[KubeCluster]:
    SimulatedCluster.create(
        api,
        release=Release(version="4.18.9", image=str(RELEASE), os_image=IMAGE),
        pools=(PoolSpec(name="infra", nodes=1),),
        pull_secret_auths={"quay.io": {"auth": "bm9kZTpub2Rl"}},
        signer=signer_here(),
    )
    api.set_away(served.OS_IMAGE_STREAMS, away=False)  # where clusters have it, it is watched too
    trusted = {"spec": {"additionalTrustedCA": {"name": "our-authorities"}}}
    meta = {
        "apiVersion": "config.openshift.io/v1",
        "kind": "Image",
        "metadata": {"name": "cluster"},
    }
    api.writer.create(served.IMAGE_CONFIGS, {**meta, **trusted})
    place = {"name": "our-authorities", "namespace": "openshift-config"}
    api.writer.create(
        served.CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": {}}
    )
    time = VirtualTime()
    async with KubeCluster(
        ClusterName("east"),
        credentials=TokenFile(api.url),
        clock=time,
        pacing=CALM,
        limits=BRIEF,
        sleep=time.sleep,
        monotonic=time.monotonic,
    ) as cluster:
        yield cluster


def calls(cluster: KubeCluster) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every method that asks or changes the cluster now, in an order in which they work."""

    async def paused() -> None:
        pool = await cluster.read_pool(INFRA)
        await cluster.set_paused(pool, paused=True, annotations={})

    ours = {"relayer.io/update": "u1"}
    return {
        "fresh_view": cluster.fresh_view,
        "release_view": cluster.release_view,
        "read_pool": lambda: cluster.read_pool(INFRA),
        "read_machine_config": lambda: cluster.read_machine_config("none"),
        "apply_override": lambda: cluster.apply_override(
            name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=ours
        ),
        "delete_override": lambda: cluster.delete_override(OVERRIDE),
        "set_paused": paused,
        "annotate_pool": lambda: cluster.annotate_pool(INFRA, ours),
        "uncordon": lambda: cluster.uncordon(next(iter(cluster.view().nodes))),
        "pull_secret": cluster.pull_secret,
        "release_signatures": lambda: cluster.release_signatures(RELEASE.digest),
        "trusted_cas": cluster.trusted_cas,
    }


@pytest.fixture(scope="module")
def used() -> set[Asked]:
    return asyncio.run(_used())


async def _used() -> set[Asked]:
    async with ApiServer.start() as api, driven(api) as cluster, asyncio.timeout(30):
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(cluster.run())
            await cluster.synced()
            await until(lambda: len(api.requests.find(watch=True)) >= len(KINDS))
            for call in calls(cluster).values():
                await call()
            watching.cancel()
        return {one for request in api.requests.find() for one in asked_for(request, api)}


@pytest.fixture(scope="module")
def allowed() -> list[Rule]:
    return rules(render(Values(image="", overlay="watched")))


def test_every_request_of_the_code_is_allowed(used: set[Asked], allowed: list[Rule]) -> None:
    assert used
    assert [one for one in used if not any(rule.allows(one) for rule in allowed)] == []


def test_every_rule_is_used_by_the_code(used: set[Asked], allowed: list[Rule]) -> None:
    assert [rule for rule in allowed if not any(rule.allows(one) for one in used)] == []


def test_a_name_of_a_rule_is_one_that_is_asked_for(used: set[Asked], allowed: list[Rule]) -> None:
    for rule in allowed:
        asked = {one.name for one in used if rule.allows(one)}
        assert set(rule.names) <= asked, rule


def test_no_rule_goes_beyond_the_rights_that_the_code_lists(allowed: list[Rule]) -> None:
    listed = {(group, resource, verb) for group, resource, verbs in RBAC_RULES for verb in verbs}
    assert {(rule.group, rule.resource, rule.verb) for rule in allowed} <= listed


@pytest.mark.parametrize("overlay", ["single", "highly-available", "disconnected"])
def test_every_overlay_has_the_same_rights(overlay: str, allowed: list[Rule]) -> None:
    assert rules(render(Values(image=IMAGE, overlay=overlay))) == allowed


async def test_who_asks_about_people_has_the_rights_for_it_and_no_more(allowed: list[Rule]) -> None:
    async with ApiServer.start() as api:
        async with Session(
            ClusterName("east"), credentials=TokenFile(api.url), limits=BRIEF
        ) as session:
            reviews = KubeReviews(session)
            assert await reviews.whose("nobody's", audiences=()) is None
            await reviews.allows(Reviewed(name="ann"), verb="get", namespace="")
        asked = {one for request in api.requests.find() for one in asked_for(request, api)}
    more = rules(render(Values(image=IMAGE, components=("openshift-logins",))))
    gained = [rule for rule in more if rule not in allowed]
    assert asked
    assert [one for one in asked if not any(rule.allows(one) for rule in gained)] == []
    assert [rule for rule in gained if not any(rule.allows(one) for one in asked)] == []


async def test_everything_that_asks_a_cluster_was_asked() -> None:
    """Who adds a method or a module that sends requests adds it above, and its rule."""
    async with ApiServer.start() as api, driven(api) as cluster:
        public = {
            name
            for name, method in inspect.getmembers(Live, inspect.iscoroutinefunction)
            if not name.startswith("_")
        }
        assert set(calls(cluster)) == public
    sending = {
        path.relative_to(ROOT / "watcher")
        for path in (ROOT / "watcher").rglob("*.py")
        if "kube.session import" in path.read_text() or ".fetch(request" in path.read_text()
    }
    library = {
        path.relative_to(ROOT / "watcher")
        for path in (ROOT / "watcher").rglob("*.py")
        if re.search(r"^\s*(from|import) kubernetes\b", path.read_text(), re.MULTILINE)
    }
    assert library == {Path(f"clients/kube/{name}.py") for name in ("credentials", "session")}
    assert sending == {Path(f"clients/kube/{name}.py") for name in ASKING}
