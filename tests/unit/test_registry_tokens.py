"""Tokens: fetched by password or identity token, kept, shared, and refused in words."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from simulator.registry import Access, Account, Fault
from simulator.registry.images import base_image, push, push_to
from tests.registries import PASSWORD, USER, PrivateCa, Running, settings_for, simulated_registry
from watcher.clients.registry import BadContent, Credentials, Login, RegistryClient, Unauthorised
from watcher.core.facts import Pullspec, Repository
from watcher.ports import Refused, Transient

IDENTITY = "s3cret-identity"
MANIFESTS = r"/v2/.*/manifests/.*"


def by_identity(registry: Running, *, password: str = "") -> Credentials:
    return Credentials({registry.host: Login(USER, password, IDENTITY)})


def bearer(**more: object) -> Access:
    tokens = {IDENTITY: USER}
    return Access("bearer", {USER: Account(PASSWORD)}, refresh_tokens=tokens, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def with_image(access: Access) -> AsyncIterator[tuple[Running, Pullspec]]:
    async with simulated_registry(access=access) as registry:
        login = registry.credentials
        ref = await push_to(registry.url, "rhcos/base", base_image(), credentials=login)
        assert registry.simulated
        registry.simulated.requests.clear()
        yield registry, ref


def fail(registry: Running, fault: Fault) -> None:
    assert registry.simulated
    registry.simulated.faults.append(fault)


def asked(registry: Running) -> list[tuple[str, str]]:
    """Method and path of the requests for tokens."""
    assert registry.simulated
    return [(s.method, s.path) for s in registry.simulated.requests if s.path == "/token"]


async def test_an_identity_token_is_exchanged_for_a_token() -> None:
    async with with_image(bearer()) as (registry, ref):
        async with RegistryClient.opened(registry.settings, by_identity(registry)) as client:
            await client.config(ref)
            await push(client, registry.repository("team/other"), base_image())
        assert registry.simulated
        seen = registry.simulated.requests
    assert {method for method, _ in asked(registry)} == {"POST"}
    # It goes to the token server and nowhere else, and not as a password.
    assert not [s for s in seen if "Basic" in s.headers.get("Authorization", "")]
    assert not [s for s in seen if IDENTITY in f"{s.path} {s.query} {s.headers}"]


async def test_an_identity_token_that_is_renewed_is_used_renewed() -> None:
    access = bearer(rotates=True)
    async with (
        with_image(access) as (registry, ref),
        RegistryClient.opened(registry.settings, by_identity(registry)) as client,
    ):
        for _ in range(3):
            assert await client.manifest(ref)
            access._tokens.clear()
    assert len(asked(registry)) == 3


async def test_an_identity_token_that_is_refused_is_told_without_it() -> None:
    access = bearer()
    async with with_image(access) as (registry, ref):
        access.refresh_tokens.clear()
        async with RegistryClient.opened(registry.settings, by_identity(registry)) as client:
            with pytest.raises(Unauthorised, match=f"a token for {registry.host}") as caught:
                await client.manifest(ref)
    assert IDENTITY not in str(caught.value)
    assert len(asked(registry)) == 1


async def test_an_identity_token_is_no_password() -> None:
    async with simulated_registry(basic=True) as registry:
        async with RegistryClient.opened(registry.settings, by_identity(registry)) as client:
            with pytest.raises(Unauthorised, match="only an identity token"):
                await client.manifest((registry.repository("a"), "latest"))
        assert registry.simulated
        assert not any("Authorization" in s.headers for s in registry.simulated.requests)


async def test_an_identity_token_follows_no_redirect_to_another_host() -> None:
    async with simulated_registry() as other, with_image(bearer()) as (registry, ref):
        away = (("Location", f"{other.url}/token"),)
        fail(registry, Fault("redirect", "POST", "/token", headers=away))
        async with RegistryClient.opened(registry.settings, by_identity(registry)) as client:
            with pytest.raises(Refused, match="where the login does not belong"):
                await client.manifest(ref)
        assert other.simulated
        assert not other.simulated.requests


async def test_a_password_follows_no_redirect_of_the_token_server() -> None:
    async with simulated_registry(bearer=True) as other, with_image(bearer()) as (registry, ref):
        fail(registry, Fault("redirect", path="/token", headers=(("Location", f"{other.url}/x"),)))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            with pytest.raises(Refused):
                await client.manifest(ref)
        assert other.simulated
        assert [s.headers.get("Authorization") for s in other.simulated.requests] == [None]


async def test_a_token_server_that_loops_is_told() -> None:
    async with with_image(bearer()) as (registry, ref):
        away = (("Location", "/token"),)
        fail(registry, Fault("redirect", path="/token", headers=away, count=99))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            with pytest.raises(Refused, match=r"GET http.*/token: more than 5 redirects"):
                await client.manifest(ref)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"read_seconds": 0.05, "attempts": 1}, "/token: no answer in time"),
        ({"call_seconds": 0.05}, "no complete (token|answer) within"),
    ],
    ids=["silent", "at all"],
)
async def test_a_token_server_that_hangs_is_given_up(times: Mapping[str, float], said: str) -> None:
    async with with_image(bearer()) as (registry, ref):
        fail(registry, Fault("hang", path="/token", count=9))
        settings = replace(registry.settings, **times)  # type: ignore[arg-type]
        async with RegistryClient.opened(settings, registry.credentials) as client:
            with pytest.raises(Transient, match=said):
                await client.manifest(ref)
            with pytest.raises(Transient, match=said):  # also where nobody else counts the time
                async for _ in client.blob(ref.repository, ref.digest):
                    pass


async def test_a_busy_token_server_is_asked_again() -> None:
    async with with_image(bearer()) as (registry, ref):
        fail(registry, Fault("status", path="/token", status=503, count=2))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            assert await client.manifest(ref)
    assert len(asked(registry)) == 3


@pytest.mark.parametrize("issued_at", ["1970-01-01T00:00:00Z", "2199-01-01T00:00:00Z", "nonsense"])
async def test_the_clock_of_the_token_server_does_not_count(issued_at: str) -> None:
    now = 0.0
    access = bearer(issued_at=issued_at, token_seconds=100, monotonic=lambda: now)
    async with with_image(access) as (registry, ref):
        opened = RegistryClient.opened(
            registry.settings, registry.credentials, monotonic=lambda: now
        )
        async with opened as client:
            fetched = []
            for now in (0.0, 79.0, 81.0):  # noqa: B007 - the clocks above read it
                await client.manifest(ref)
                fetched.append(len(asked(registry)))
    assert fetched == [1, 1, 2]


@pytest.mark.parametrize("life", [-5, 0, 10**300])
async def test_a_token_with_a_senseless_life_is_renewed_in_time(life: int) -> None:
    now = 0.0
    async with with_image(bearer(monotonic=lambda: 0.0)) as (registry, ref):
        assert registry.simulated
        token = registry.simulated.access.issue_for(
            {
                "grant_type": "refresh_token",
                "client_id": "test",
                "refresh_token": IDENTITY,
                "scope": "repository:rhcos/base:pull",
            }
        )
        assert token
        told = json.dumps({"token": token[0], "expires_in": life}).encode()
        fail(registry, Fault("status", path="/token", status=200, body=told, count=9))
        opened = RegistryClient.opened(
            registry.settings, registry.credentials, monotonic=lambda: now
        )
        async with opened as client:
            for now in (0.0, 40.0, 90_000.0):  # noqa: B007 - the clock above reads it
                await client.manifest(ref)
    assert len(asked(registry)) == 2


async def test_many_who_want_the_same_token_fetch_one() -> None:
    async with (
        with_image(bearer()) as (registry, ref),
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        await asyncio.gather(*(client.manifest(ref) for _ in range(30)))
        assert len(asked(registry)) == 1
        assert registry.simulated
        registry.simulated.access._tokens.clear()
        await asyncio.gather(*(client.manifest(ref) for _ in range(30)))
        assert len(asked(registry)) == 2


async def test_a_fresh_token_that_is_refused_is_not_fetched_for_ever() -> None:
    async with with_image(bearer()) as (registry, ref):
        access = registry.simulated.access if registry.simulated else None
        assert access
        challenge = access.challenge(registry.url, frozenset({("rhcos/base", "pull")}))
        headers = (("WWW-Authenticate", challenge),)
        fail(registry, Fault("status", path=MANIFESTS, status=401, headers=headers, count=99))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            with pytest.raises(Unauthorised):
                await client.manifest(ref)
    assert len(asked(registry)) == 1


async def test_a_refused_login_is_not_tried_without() -> None:
    """As podman and oc do: what is public would hide that the login has expired."""
    async with with_image(bearer(anonymous_pull=True)) as (registry, ref):
        wrong = Credentials.parse(registry.auth_json(password="Tr0ub4dor"))
        async with RegistryClient.opened(registry.settings, wrong) as client:
            with pytest.raises(Unauthorised, match="answered 401") as caught:
                await client.manifest(ref)
            assert await client.using(Credentials()).manifest(ref)
    assert "Tr0ub4dor" not in str(caught.value)


async def test_a_user_in_the_token_server_s_address_is_not_sent(tmp_path: Path) -> None:
    async with with_image(bearer()) as (registry, ref):
        realm = f"http://robot:planted@{registry.host}/token"
        challenge = (("WWW-Authenticate", f'Bearer realm="{realm}",service="x"'),)
        fail(registry, Fault("status", path=MANIFESTS, status=401, headers=challenge))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            assert await client.manifest(ref)  # our own login was used


async def test_a_login_is_only_looked_at_when_it_is_used(tmp_path: Path) -> None:
    async with with_image(Access()) as (registry, ref):
        text = json.dumps({"auths": {registry.host: {"auth": "s3cret!"}}})
        broken = Credentials.parse(text, what="auth file x", strict=False)
        async with RegistryClient.opened(registry.settings, broken) as client:
            with pytest.raises(BadContent, match="auth file x: auth of") as caught:
                await client.manifest(ref)
    assert "s3cret" not in str(caught.value)


async def test_an_identity_token_goes_nowhere_without_tls(tmp_path: Path) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca")
    async with simulated_registry() as other, simulated_registry(tls=ca) as registry:
        challenge = (("WWW-Authenticate", f'Bearer realm="{other.url}/token",service="x"'),)
        fail(registry, Fault("status", status=401, headers=challenge))
        async with RegistryClient.opened(registry.settings, by_identity(registry)) as client:
            with pytest.raises(Refused, match="token server without https"):
                await client.manifest((registry.repository("a"), "latest"))
        assert other.simulated
        assert not other.simulated.requests


async def test_the_form_is_that_of_the_specification() -> None:
    """distribution's token OAuth2 page: grant_type, service, client_id, scope, refresh_token."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("POST /token"):
            length = int(head.lower().partition("content-length: ")[2].split("\r")[0])
            seen.append(await reader.readexactly(length))
            body = b'{"access_token":"t"}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        elif "bearer t" in head.lower():
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        else:
            realm = f'Bearer realm="http://{host}/token",service="the service"'
            end = "Content-Length: 0\r\n\r\n"
            writer.write(f"HTTP/1.1 401 No\r\nWWW-Authenticate: {realm}\r\n{end}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        login = Credentials({host: Login("", "", IDENTITY)})
        async with RegistryClient.opened(settings_for(host, None), login) as client:
            assert not await client.exists((Repository(f"{host}/a/b"), "latest"))
    form = parse_qs(seen[0].decode())
    assert form == {
        "grant_type": ["refresh_token"],
        "service": ["the service"],
        "client_id": ["relayer"],
        "scope": ["repository:a/b:pull"],
        "refresh_token": [IDENTITY],
    }
