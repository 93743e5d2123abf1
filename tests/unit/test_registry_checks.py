"""What the doctor says of logins and names is what the client does."""

from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.clients.registry import (
    BadContent,
    Credentials,
    Login,
    RegistryClient,
    RegistrySettings,
)
from watcher.clients.registry_checks import HostChecks, LoginSource, login_of
from watcher.core.facts import Repository
from watcher.errors import Refused, Transient

NAMES = st.sampled_from(["a.io", "a.io/b", "a.io/b/c", "a.io:5000", "a.io/bc", "b.io"])


@st.composite
def credentials(draw: st.DrawFn) -> Credentials:
    """Some names with a login, some with one that is broken; never both."""
    logins = {n: Login(n, f"password of {n}") for n in draw(st.sets(NAMES))}
    broken = {n: f"{n} is broken" for n in draw(st.sets(NAMES)) if n not in logins}
    return Credentials(logins, broken)


@given(st.lists(credentials(), max_size=3), st.sampled_from(["a.io/b/c/d", "a.io/x", "A.io/b"]))
@settings(max_examples=100)
def test_the_login_that_is_named_is_the_one_that_is_shown(
    all_of_them: list[Credentials], name: str
) -> None:
    sources = [LoginSource(f"file {n}", one) for n, one in enumerate(all_of_them)]
    repository = Repository(name)
    found = login_of(sources, repository)
    joined = Credentials.joined(*all_of_them)
    if found.broken:
        with pytest.raises(BadContent, match=found.broken):
            joined.find(repository)
        return
    login = joined.find(repository)
    assert found.name == (login.username if login else "")
    if login:
        (source,) = [one for one in sources if one.where == found.where]
        assert source.credentials.logins[found.name] == login
        assert "password" not in repr(found)


def client() -> AbstractAsyncContextManager[RegistryClient]:
    return RegistryClient.opened(RegistrySettings(attempts=1, insecure_hosts=frozenset({"a.io"})))


@pytest.mark.parametrize(
    ("host", "environ", "why"),
    [
        ("127.0.0.1:5000", {}, "it is an address"),
        ("[::1]:5000", {}, "it is an address"),
        ("quay.io", {}, ""),
        (
            "quay.io",
            {"HTTPS_PROXY": "http://me:sesame@proxy.lan:3128"},
            "the proxy proxy.lan looks it up (HTTPS_PROXY, NO_PROXY)",
        ),
        ("quay.io", {"HTTPS_PROXY": "http://proxy.lan", "NO_PROXY": "quay.io"}, ""),
        ("a.io", {"HTTPS_PROXY": "http://proxy.lan"}, ""),
        ("quay.io", {"HTTPS_PROXY": "::"}, "the proxy to it is named wrongly"),
    ],
)
async def test_a_name_is_looked_up_where_the_client_would(
    host: str, environ: dict[str, str], why: str
) -> None:
    async with client() as one:
        assert HostChecks(one, environ=environ).needs_no_name(host) == why


async def test_a_proxy_that_is_named_wrongly_is_told_with_the_connection() -> None:
    environ = {"HTTPS_PROXY": "::"}
    async with RegistryClient.opened(RegistrySettings(attempts=1), environ=environ) as one:
        with pytest.raises(Refused, match="HTTPS_PROXY is no address of a proxy"):
            await HostChecks(one, environ=environ).connection("quay.io")


@pytest.mark.parametrize("host", ["nowhere.invalid", f"{'x' * 70}.invalid"])
async def test_a_name_that_nobody_knows_is_told(host: str) -> None:
    async with client() as one:
        with pytest.raises(Transient, match=r"does not resolve .*; check its spelling"):
            await HostChecks(one, environ={}).name(host)


async def test_addresses_of_a_name_are_told() -> None:
    async with client() as one:
        said = await HostChecks(one, environ={}).name("localhost:5000")
        assert "127.0.0.1" in said
