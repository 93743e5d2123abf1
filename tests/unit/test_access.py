"""How registries are reached as seen from a cluster: what it adds, and when it is asked again."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
import structlog

from tests.facts import T0, digest
from tests.registries import PrivateCa, auth_json, simulated_registry
from watcher.clients.access import AGAIN_SECONDS, ASKED_AGAIN_SECONDS, ClusterAccess, Ways
from watcher.clients.registry import (
    BadContent,
    Credentials,
    RegistryClient,
    RegistrySettings,
    Unauthorised,
    Untrusted,
)
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName, Repository
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.errors import OutsideError, Refused, Transient

PROD, TEST = ClusterName("prod"), ClusterName("test")
QUAY, OTHER = Repository("quay.example.com/a/b"), Repository("other.example.com/a/b")
OF_FILE = MirrorRule(source="quay.example.com", mirrors=("file.example.com/q",))
OF_CLUSTER = MirrorRule(source="quay.example.com", mirrors=("cluster.example.com/q",))
OURS = auth_json({"quay.example.com": ("ours", "1")})
THEIRS = auth_json({"quay.example.com": ("theirs", "2"), "other.example.com": ("theirs", "3")})
T = TypeVar("T")


@dataclass
class FakeSource:
    """A cluster that says what it is told to, or fails."""

    name: ClusterName = PROD
    secret: str | OutsideError = THEIRS
    trusted: Mapping[str, str] | OutsideError = field(default_factory=dict)
    mirrors: tuple[MirrorRule, ...] = (OF_CLUSTER,)
    asked: int = 0

    def view(self) -> ClusterView:
        return ClusterView(cluster=self.name, observed_at=T0, mirrors=self.mirrors)

    async def pull_secret(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        return _said(self.secret).encode()

    async def trusted_cas(self) -> Mapping[str, str]:
        await asyncio.sleep(0)
        return _said(self.trusted)


def _said(what: T | OutsideError) -> T:
    if isinstance(what, OutsideError):
        raise what
    return what


@dataclass
class World:
    source: FakeSource
    access: ClusterAccess
    client: RegistryClient
    now: float = 0.0
    gone: list[str] = field(default_factory=list)

    async def user(self, repository: Repository = QUAY) -> str:
        """Whose login is used there; empty: nobody's."""
        login = (await self.access.ways(PROD)).credentials.find(repository)
        return login.username if login else ""


@pytest.fixture
async def open_world() -> AsyncIterator[Callable[..., Awaitable[World]]]:
    configured = Ways(
        credentials=Credentials.parse(OURS),
        mirrors=Mirrors((OF_FILE,)),
        trusted={"a.example.com": "ours"},
    )
    async with RegistryClient.opened(RegistrySettings(use_proxy_environment=False)) as client:

        async def made(ways: Ways = configured) -> World:
            source = FakeSource()
            world = World(source, None, client)  # type: ignore[arg-type]
            world.access = ClusterAccess(
                client,
                {PROD: source},
                ways,
                on_gone=lambda what, cluster, error: world.gone.append(
                    f"{what} of {cluster.name}: {error}"
                ),
                monotonic=lambda: world.now,
            )
            return world

        yield made


@pytest.fixture
async def world(open_world: Callable[..., Awaitable[World]]) -> World:
    return await open_world()


# --- what is joined -------------------------------------------------------------------------------


async def test_the_configured_ways_come_first(world: World) -> None:
    world.source.trusted = {"a.example.com": "theirs", "b.example.com": "theirs"}
    assert (await world.user(QUAY), await world.user(OTHER)) == ("ours", "theirs")
    ways = await world.access.ways(PROD)
    assert ways.mirrors.rules == (OF_FILE, OF_CLUSTER)
    assert ways.trusted == {"a.example.com": "ours", "b.example.com": "theirs"}
    assert world.gone == []


async def test_a_cluster_that_is_not_known_adds_nothing(world: World) -> None:
    ways = await world.access.ways(TEST)
    assert ways.credentials.find(OTHER) is None
    assert ways.mirrors.rules == (OF_FILE,)
    assert await world.access.client(TEST) is world.client
    assert world.source.asked == 0


async def test_one_broken_entry_of_the_pull_secret_does_not_lose_the_others(world: World) -> None:
    entries = json.loads(THEIRS)
    entries["auths"]["broken.example.com"] = {"auth": "%%%"}
    world.source.secret = json.dumps(entries)
    assert await world.user(OTHER) == "theirs"
    with pytest.raises(BadContent, match=r"the cluster's pull secret: auth of broken\.example"):
        await world.user(Repository("broken.example.com/a"))


# --- what may not be read -------------------------------------------------------------------------


async def test_a_pull_secret_that_may_not_be_read_is_gone_without(world: World) -> None:
    world.source.secret = Refused("403")
    world.source.trusted = {"b.example.com": "theirs"}
    assert (await world.user(QUAY), await world.user(OTHER)) == ("ours", "")
    assert "b.example.com" in (await world.access.ways(PROD)).trusted
    assert world.gone == ["the pull secret of prod: 403"]


async def test_a_pull_secret_that_is_garbage_is_gone_without(world: World) -> None:
    world.source.secret = "s3cret{"
    assert await world.user(OTHER) == ""
    assert world.gone == [
        'the pull secret of prod: the cluster\'s pull secret: not JSON of the form {"auths": {…}}'
    ]


async def test_authorities_that_may_not_be_read_are_gone_without(world: World) -> None:
    world.source.trusted = Refused("403")
    assert await world.user(OTHER) == "theirs"
    assert (await world.access.ways(PROD)).trusted == {"a.example.com": "ours"}
    assert world.gone == ["additionalTrustedCA of prod: 403"]


async def test_it_is_logged_if_nobody_else_is_told() -> None:
    source = FakeSource(secret=Refused("403"))
    async with RegistryClient.opened() as client:
        access = ClusterAccess(client, {PROD: source}, Ways())
        with structlog.testing.capture_logs() as lines:
            await access.ways(PROD)
    assert lines == [
        {
            "event": "gone_without",
            "what": "the pull secret",
            "cluster": PROD,
            "cause": "403",
            "log_level": "warning",
        }
    ]


# --- when it is asked -----------------------------------------------------------------------------


async def test_it_is_asked_again_after_a_while(world: World) -> None:
    await world.user()
    world.source.secret = auth_json({"other.example.com": ("next", "4")})
    world.now = ASKED_AGAIN_SECONDS - 1
    assert await world.user(OTHER) == "theirs"
    assert world.source.asked == 1
    world.now = ASKED_AGAIN_SECONDS
    assert await world.user(OTHER) == "next"
    assert world.source.asked == 2


async def test_mirrors_are_those_of_this_moment(world: World) -> None:
    """They are watched; nothing is asked for them."""
    await world.access.ways(PROD)
    world.source.mirrors = ()
    assert (await world.access.ways(PROD)).mirrors.rules == (OF_FILE,)
    assert world.source.asked == 1


@pytest.mark.parametrize("part", ["secret", "trusted"])
async def test_a_cluster_that_never_answered_is_an_error(world: World, part: str) -> None:
    """Without its logins and authorities the answer would be a wrong one, not none."""
    there = getattr(world.source, part)
    setattr(world.source, part, Transient("away"))
    for _ in range(2):
        with pytest.raises(Transient, match="away"):
            await world.access.client(PROD)
    setattr(world.source, part, there)
    assert await world.user(OTHER) == "theirs"


async def test_a_cluster_that_is_away_later_is_believed_as_before(world: World) -> None:
    await world.user()
    world.source.secret = Transient("away")
    world.now = ASKED_AGAIN_SECONDS
    assert await world.user(OTHER) == "theirs"
    assert world.gone == []
    # Each try may take its whole time to fail: it is not made for each image.
    world.now += AGAIN_SECONDS - 1
    assert await world.user(OTHER) == "theirs"
    assert world.source.asked == 2
    world.source.secret = auth_json({"other.example.com": ("next", "4")})
    world.now += 1
    assert await world.user(OTHER) == "next"


async def test_many_who_wait_ask_once(world: World) -> None:
    clients = await asyncio.gather(*(world.access.client(PROD) for _ in range(20)))
    assert world.source.asked == 1
    assert len(set(map(id, clients))) == 1


# --- the client -----------------------------------------------------------------------------------


async def test_a_client_is_kept_until_something_changes(world: World) -> None:
    first = await world.access.client(PROD)
    assert first is not world.client
    world.now = ASKED_AGAIN_SECONDS
    assert await world.access.client(PROD) is first, "read anew, and nothing new in it"
    world.source.secret = auth_json({"other.example.com": ("next", "4")})
    world.now *= 2
    second = await world.access.client(PROD)
    assert second is not first
    world.source.mirrors = ()
    assert await world.access.client(PROD) is not second


async def test_a_client_goes_the_ways_of_its_cluster(
    open_world: Callable[..., Awaitable[World]],
) -> None:
    world = await open_world(Ways())
    client = await world.access.client(PROD)
    places = client.places(QUAY, digest("any"))
    assert places == (Repository("cluster.example.com/q/a/b"), QUAY)


async def test_a_client_logs_in_and_trusts_as_its_cluster_says(
    world: World, tmp_path: Path
) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca")
    async with simulated_registry(basic=True, tls=ca) as running:
        there = running.repository("a/b")
        world.source.secret = running.auth_json()
        with pytest.raises(Untrusted):
            await (await world.access.client(PROD)).exists((there, "v1"))
        world.source.trusted = {running.host: ca.ca_file.read_text()}
        world.now = ASKED_AGAIN_SECONDS
        assert not await (await world.access.client(PROD)).exists((there, "v1"))
        world.source.secret = THEIRS
        world.now *= 2
        with pytest.raises(Unauthorised):
            await (await world.access.client(PROD)).exists((there, "v1"))


async def test_nodes_have_what_their_cluster_says_and_nothing_of_ours(world: World) -> None:
    content = digest("a layered image")
    ours = (await world.access.client(PROD)).places(QUAY, content)
    assert ours == ("file.example.com/q/a/b", "cluster.example.com/q/a/b", QUAY)
    nodes = await world.access.as_nodes(PROD)
    assert nodes.places(QUAY, content) == ("cluster.example.com/q/a/b", QUAY)
    assert nodes._auth.credentials.find(QUAY) is None
