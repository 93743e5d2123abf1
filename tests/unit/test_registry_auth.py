"""Who gets to see a login or a token, and who does not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.registry import Access, Account, Fault
from simulator.registry.images import base_image, push
from tests.registries import PASSWORD, USER, PrivateCa, Running, auth_json, simulated_registry
from watcher.clients.registry import (
    BadContent,
    Credentials,
    RegistryClient,
    Tampered,
    Unauthorised,
)
from watcher.clients.registry.auth import challenges
from watcher.clients.registry.errors import clean
from watcher.clients.registry.model import digest_of
from watcher.core.facts import Pullspec, Repository
from watcher.ports import Refused

BLOBS = r"/v2/.*/blobs/sha256:.*"


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    return PrivateCa.made_in(tmp_path / "ca")


@pytest.fixture
async def other() -> AsyncIterator[Running]:
    """A host the registry may send us to."""
    async with simulated_registry() as running:
        yield running


def fail(registry: Running, fault: Fault) -> None:
    assert registry.simulated
    registry.simulated.faults.append(fault)


def logins_seen(registry: Running) -> set[str]:
    assert registry.simulated
    seen = (request.headers.get("Authorization") for request in registry.simulated.requests)
    return {header for header in seen if header}


def elsewhere(registry: Running, path: str) -> tuple[tuple[str, str], ...]:
    return (("Location", f"{registry.url}{path}"),)


@pytest.mark.parametrize("way", ["basic", "bearer"])
async def test_a_redirect_to_another_host_carries_no_credentials(way: str, other: Running) -> None:
    path = f"/v2/mirror/blobs/{digest_of(b'content')}"
    assert other.simulated
    other.simulated.store.add_blob("mirror", digest_of(b"content"), b"content")
    async with simulated_registry(basic=way == "basic", bearer=way == "bearer") as registry:
        repository = registry.repository("rhcos/base")
        fail(registry, Fault("redirect", path=BLOBS, headers=elsewhere(other, path)))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            await client.upload_blob(repository, b"content", digest=digest_of(b"content"))
            blob = client.blob(repository, digest_of(b"content"))
            assert b"".join([part async for part in blob]) == b"content"
        assert logins_seen(registry)
    assert other.simulated.count("GET", path) == 1
    assert not logins_seen(other)


async def test_a_redirect_within_the_host_keeps_them() -> None:
    async with simulated_registry(basic=True) as registry:
        repository = registry.repository("rhcos/base")
        path = f"/v2/rhcos/base/blobs/{digest_of(b'content')}"
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            await client.upload_blob(repository, b"content", digest=digest_of(b"content"))
            fail(registry, Fault("redirect", path=BLOBS, headers=(("Location", path),)))
            assert [part async for part in client.blob(repository, digest_of(b"content"))]


async def test_content_from_another_host_is_checked_all_the_same(other: Running) -> None:
    path = f"/v2/mirror/blobs/{digest_of(b'evil')}"
    assert other.simulated
    other.simulated.store.add_blob("mirror", digest_of(b"evil"), b"evil")
    async with simulated_registry() as registry:
        fail(registry, Fault("redirect", path=BLOBS, headers=elsewhere(other, path)))
        async with RegistryClient.opened(registry.settings) as client:
            with pytest.raises(Tampered):
                async for _ in client.blob(registry.repository("a"), digest_of(b"good")):
                    pass


async def test_a_redirect_from_https_to_http_is_not_followed(ca: PrivateCa, other: Running) -> None:
    async with simulated_registry(basic=True, tls=ca) as registry:
        fail(registry, Fault("redirect", path=BLOBS, headers=elsewhere(other, "/v2/")))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            with pytest.raises(Refused, match="redirected from https to http"):
                async for _ in client.blob(registry.repository("a"), digest_of(b"x")):
                    pass
    assert other.simulated
    assert not other.simulated.requests


async def test_redirects_end_somewhere() -> None:
    async with simulated_registry() as registry:
        fail(registry, Fault("redirect", path=BLOBS, headers=(("Location", "#"),), count=99))
        async with RegistryClient.opened(registry.settings) as client:
            with pytest.raises(Refused, match="more than 5 redirects"):
                async for _ in client.blob(registry.repository("a"), digest_of(b"x")):
                    pass


async def test_an_upload_moved_to_another_host_carries_no_credentials(other: Running) -> None:
    async with simulated_registry(basic=True) as registry:
        where = elsewhere(other, "/v2/stolen/blobs/uploads/x")
        fail(registry, Fault("status", "POST", ".*uploads/", status=202, headers=where))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            repository = registry.repository("a")
            assert not await client.exists((repository, "latest"))  # now it knows how to log in
            with pytest.raises(Refused):
                await client.upload_blob(repository, b"content", digest=digest_of(b"content"))
        assert logins_seen(registry)
    assert other.simulated
    assert other.simulated.count("PUT", ".*") == 1
    assert not logins_seen(other)


async def test_an_upload_moved_from_https_to_http_is_not_followed(
    ca: PrivateCa, other: Running
) -> None:
    async with simulated_registry(tls=ca) as registry:
        where = elsewhere(other, "/v2/stolen/blobs/uploads/x")
        fail(registry, Fault("status", "POST", ".*uploads/", status=202, headers=where))
        async with RegistryClient.opened(registry.settings) as client:
            with pytest.raises(Refused, match="moved from https"):
                await client.upload_blob(registry.repository("a"), b"c", digest=digest_of(b"c"))
    assert other.simulated
    assert not other.simulated.requests


async def test_another_host_cannot_name_the_token_server(other: Running) -> None:
    challenge = (("WWW-Authenticate", f'Bearer realm="{other.url}/token",service="x"'),)
    fail(other, Fault("status", path=BLOBS, status=401, headers=challenge, count=9))
    path = f"/v2/a/blobs/{digest_of(b'x')}"
    async with simulated_registry() as registry:
        fail(registry, Fault("redirect", path=BLOBS, headers=elsewhere(other, path), count=9))
        login = Credentials.parse(registry.auth_json())
        async with RegistryClient.opened(registry.settings, login) as client:
            with pytest.raises(Unauthorised):
                async for _ in client.blob(registry.repository("a"), digest_of(b"x")):
                    pass
    assert not logins_seen(other)


async def test_cookies_are_not_kept() -> None:
    async with simulated_registry() as registry:
        cookie = (("Set-Cookie", "session=of-the-first-login; Path=/"),)
        fail(registry, Fault("status", "HEAD", status=404, headers=cookie))
        async with RegistryClient.opened(registry.settings) as client:
            for _ in range(2):
                assert not await client.exists((registry.repository("a"), "latest"))
        assert registry.simulated
        assert all("Cookie" not in seen.headers for seen in registry.simulated.requests)


async def test_a_login_goes_to_no_token_server_without_https(ca: PrivateCa, other: Running) -> None:
    async with simulated_registry(bearer=True, tls=ca) as registry:
        challenge = (("WWW-Authenticate", f'Bearer realm="{other.url}/token",service="x"'),)
        fail(registry, Fault("status", status=401, headers=challenge))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            with pytest.raises(Refused, match="names a token server without https"):
                await client.manifest((registry.repository("a"), "latest"))
    assert other.simulated
    assert not other.simulated.requests


async def test_a_login_of_one_host_is_not_sent_to_another(other: Running) -> None:
    assert other.simulated
    other.simulated.access.mode = "basic"
    credentials = Credentials.parse(auth_json({"127.0.0.1": (USER, PASSWORD), "a.com": ("b", "c")}))
    async with RegistryClient.opened(other.settings, credentials) as client:
        with pytest.raises(Unauthorised, match=f"no credentials for {other.host}/a"):
            await client.manifest((other.repository("a"), "latest"))
    assert not logins_seen(other)


async def test_a_token_is_used_until_shortly_before_it_expires() -> None:
    now = 1000.0
    access = Access("bearer", {USER: Account(PASSWORD)}, token_seconds=100, monotonic=lambda: now)
    async with simulated_registry(access=access) as registry:
        assert registry.simulated
        opened = RegistryClient.opened(
            registry.settings, registry.credentials, monotonic=lambda: now
        )
        async with opened as client:
            ref = await push(client, registry.repository("a"), base_image())
            registry.simulated.requests.clear()
            client = client.using(registry.credentials)  # forgets the token of the push
            fetched = []
            for now in (1000.0, 1079.0, 1081.0, 1090.0):  # noqa: B007 - the clocks above read it
                await client.manifest(ref)
                fetched.append(registry.simulated.count("GET", "/token"))
            refused = [s for s in registry.simulated.requests if "Authorization" not in s.headers]
    assert fetched == [1, 1, 2, 2]
    assert len(refused) == 2


async def test_a_token_that_is_no_longer_taken_is_fetched_anew() -> None:
    access = Access("bearer", {USER: Account(PASSWORD)})
    async with (
        simulated_registry(access=access) as registry,
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        ref = await push(client, registry.repository("a"), base_image())
        await client.manifest(ref)
        access._tokens.clear()  # as after a restart of the token server
        assert (await client.manifest(ref)).ref == ref


async def test_a_token_without_a_login_reads_what_is_public() -> None:
    access = Access("bearer", {USER: Account(PASSWORD)}, anonymous_pull=True)
    async with simulated_registry(access=access) as registry:
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            ref = await push(client, registry.repository("a"), base_image())
        async with RegistryClient.opened(registry.settings) as stranger:
            assert await stranger.exists(ref)
            with pytest.raises(Unauthorised):
                await push(stranger, registry.repository("a"), base_image("other"))


async def test_a_login_that_may_not_read_a_repository_is_told() -> None:
    access = Access("bearer", {USER: Account(PASSWORD), "node": Account("pw", ("public/",), ())})
    async with (
        simulated_registry(access=access) as registry,
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        public = await push(client, registry.repository("public/a"), base_image())
        secret = await push(client, registry.repository("secret/a"), base_image())
        node = Credentials.parse(registry.auth_json("node", "pw"))
        await client.pullable(public, node)
        with pytest.raises(Unauthorised):
            await client.pullable(secret, node)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(b"{}", "without a usable token", id="empty"),
        pytest.param(b'{"token":"a\\r\\nX-Evil: 1"}', "without a usable token", id="with a break"),
        pytest.param(b"no JSON", "is malformed", id="no JSON"),
        pytest.param(b"\n<html>", "HTML instead of a token; is that a login page", id="HTML"),
        pytest.param(b" " * 70_000, "token limit of 65536 bytes", id="too large"),
    ],
)
async def test_a_bad_token_answer_is_refused(answer: bytes, said: str) -> None:
    async with simulated_registry(bearer=True) as registry:
        fail(registry, Fault("status", path="/token", status=200, body=answer))
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            with pytest.raises(Refused, match=said):
                await client.manifest((registry.repository("a"), "latest"))


@pytest.mark.parametrize(
    ("repository", "user"),
    [
        ("quay.io/team/app/web", "team"),
        ("quay.io/team/app", "team"),
        ("quay.io/teamwork/app", "all of quay"),
        ("quay.io:8443/team/app", None),
        ("docker.io/library/busybox", "hub"),
        ("registry.example.com/a", "old form"),
        ("other.example.com/a", None),
    ],
)
def test_the_longest_match_names_the_login(repository: str, user: str | None) -> None:
    credentials = Credentials.parse(
        auth_json(
            {
                "quay.io": ("all of quay", "p"),
                "quay.io/team": ("team", "p:with:colons"),
                "https://index.docker.io/v1/": ("hub", "p"),
                "https://registry.example.com/v2/": ("old form", "p"),
            }
        )
    )
    found = credentials.find(Repository(repository))
    assert (found.username if found else None) == user


def test_an_entry_left_by_a_logout_is_no_login() -> None:
    credentials = Credentials.parse('{"auths":{"quay.io":{}},"credsStore":"secretservice"}')
    assert credentials.find(Repository("quay.io/a")) is None


@pytest.mark.parametrize(
    "raw",
    [
        "secret, but no JSON",
        '{"auths":{"quay.io":{"auth":"secret!"}}}',
        '{"auths":{"quay.io":{"auth":"c2VjcmV0"}}}',
        '{"auths":{"quay.io":{"auth":["secret"]}}}',
        '{"auths":{"quay.io":{"identitytoken":["secret"]}}}',
        '{"auths":{"quay.io":{"auth":"c2VjcmV0/\u00e9"}}}',
        '["secret"]',
        '{"auths":' * 2000,
    ],
    ids=["no JSON", "no base64", "no colon", "no text", "bad token", "not ASCII", "list", "deep"],
)
def test_malformed_credentials_are_refused_without_showing_them(raw: str) -> None:
    with pytest.raises(BadContent, match="the pull secret") as caught:
        Credentials.parse(raw, what="the pull secret")
    assert "secret" not in str(caught.value).replace("the pull secret", "")
    assert "c2VjcmV0" not in str(caught.value)


def test_an_auth_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadContent, match=r"auth\.json: No such file or directory"):
        Credentials.read(tmp_path / "auth.json")
    (tmp_path / "auth.json").write_text(auth_json({"quay.io": ("me", "p")}))
    found = Credentials.read(tmp_path / "auth.json")
    assert found.find(Repository("quay.io/a"))


def test_passwords_do_not_show() -> None:
    credentials = Credentials.parse(auth_json({"quay.io": ("me", "Tr0ub4dor")}))
    assert "Tr0ub4dor" not in f"{credentials!r} {credentials.find(Repository('quay.io/a'))!r}"


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ('Basic realm="a, Bearer b"', [("basic", {"realm": "a, Bearer b"})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"',
            [
                (
                    "bearer",
                    {"realm": "https://a/t", "service": "s", "scope": "repository:a:pull,push"},
                )
            ],
        ),
        (
            'Negotiate, Basic realm="x", bearer Realm=y , service="q\\"q"',
            [
                ("negotiate", {}),
                ("basic", {"realm": "x"}),
                ("bearer", {"realm": "y", "service": 'q"q'}),
            ],
        ),
        ("", []),
        ("=,=", []),
    ],
)
def test_challenges_are_read(header: str, read: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, c.parameters) for c in challenges(header)] == read


@given(st.text(max_size=200))
def test_no_challenge_breaks_the_reader(header: str) -> None:
    challenges(header)


@given(st.text(max_size=500))
def test_cleaned_text_is_one_printable_line(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= 200
    assert len(cleaned.splitlines()) <= 1
    assert json.dumps(cleaned).count("\\u00") == sum("\x80" <= c <= "\xff" for c in cleaned)


def test_a_pullspec_needs_a_digest() -> None:
    with pytest.raises(ValueError, match="by digest, not by tag"):
        Pullspec("quay.io/a:latest")
