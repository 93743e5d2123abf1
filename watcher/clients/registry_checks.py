"""What `relayer doctor` asks about one registry, apart from reading and pushing images."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watcher.clients.registry import Credentials, RegistryClient
from watcher.clients.registry.calls import Call
from watcher.clients.registry.errors import clean
from watcher.clients.registry.proxies import proxy_for
from watcher.core.facts import Repository
from watcher.errors import Refused, Transient

_MOST_ADDRESSES = 3


class HostChecks:
    """The way to a registry's host, as one client would go."""

    def __init__(self, client: RegistryClient, *, environ: Mapping[str, str] | None = None) -> None:
        """`environ` names the proxies; None: that of the process."""
        self._transport = client._transport
        uses = self._transport.settings.use_proxy_environment
        self._environ = (os.environ if environ is None else environ) if uses else {}

    def needs_no_name(self, host: str) -> str:
        """Why the name of ``host[:port]`` is not looked up here; empty where it is."""
        url = self._transport.base(host)
        try:
            proxy = proxy_for(url, self._environ)
        except Refused:
            return "the proxy to it is named wrongly"  # which the connection tells
        if proxy is not None:
            return f"the proxy {clean(proxy.url.host)} looks it up (HTTPS_PROXY, NO_PROXY)"
        try:
            ipaddress.ip_address(url.host)
        except ValueError:
            return ""
        return "it is an address"

    async def name(self, host: str) -> str:
        """The addresses of a host, as a sentence; raise Transient where there is none."""
        url = self._transport.base(host)
        port = url.port or (443 if url.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            why = clean(getattr(error, "strerror", None) or type(error).__name__)
            raise Transient(
                f"{clean(url.host)} does not resolve ({why}); check its spelling and the DNS "
                "servers of this machine; where there is no way to it, name a mirror in an "
                "ImageDigestMirrorSet or in registry.mirror_files"
            ) from error
        there = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        more = f" and {len(there) - _MOST_ADDRESSES} more" if len(there) > _MOST_ADDRESSES else ""
        return f"resolves to {', '.join(there[:_MOST_ADDRESSES])}{more}"

    async def connection(self, host: str) -> str:
        """How the host answers, as a sentence; raise Untrusted, Refused or Transient.

        Any answer will do: whether one is let in is seen by reading.
        """
        transport = self._transport
        call = Call("GET", transport.base(host))
        seconds = transport.settings.call_seconds
        try:
            async with asyncio.timeout(seconds), transport.send(call) as answer:
                scheme = answer.request.url.scheme
        except TimeoutError as error:
            raise Transient(f"{call}: no answer within {seconds:g} s") from error
        if scheme == "http":
            why = "--insecure" if transport.settings.insecure else "registry.plain_http"
            return f"answers over plain HTTP ({why})"
        if transport.settings.insecure:
            return "answers over TLS; its certificate is not checked (--insecure)"
        return "answers over TLS, and its certificate is trusted"


@dataclass(frozen=True, slots=True)
class LoginSource:
    """One place where logins are looked for."""

    where: str
    """As told to people: a file, or a cluster's pull secret."""
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class FoundLogin:
    """Which login a repository is asked with. It holds no secret."""

    name: str = ""
    """The entry's name, ``host[:port][/path]``; empty: there is none."""
    where: str = ""
    broken: str = ""
    """Why the entry cannot be used."""


def login_of(sources: Iterable[LoginSource], repository: Repository) -> FoundLogin:
    """The entry that counts, as `Credentials.joined` and `find` choose it."""
    host, slash, path = repository.partition("/")
    for source in sources:
        name = f"{host.lower()}{slash}{path}"
        while name:
            if broken := source.credentials.broken.get(name):
                return FoundLogin(name, source.where, broken)
            if name in source.credentials.logins:
                return FoundLogin(name, source.where)
            name = name.rpartition("/")[0]
    return FoundLogin()
