"""A request to a registry as a value, and the names hosts have."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import httpx

from watcher.clients.registry.errors import clean
from watcher.errors import Refused

Stream = Callable[[], AsyncGenerator[bytes, None]]
"""A stream is given as what opens it, so that it can be opened again."""
Body = bytes | Stream


class Side(StrEnum):
    """Reading and writing have connections of their own: a copy holds one of each."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One request. As text it is without headers, body and query, which may hold secrets."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    size: int | None = None
    """Bytes of a streamed body, where they are known."""
    repeat: bool = True
    """Whether sending it twice does no harm."""
    bulk: bool = False
    """A large blob is read: it leaves one connection of the host to small calls."""
    login: bool = False
    """Headers or body hold a login: the body follows no redirect to another host."""

    def __str__(self) -> str:
        bare = self.url.copy_with(query=None, fragment=None, username=None, password=None)
        return f"{self.method} {clean(bare)}"

    # Where somebody prints locals, too.
    __repr__ = __str__

    @property
    def side(self) -> Side:
        """Asking for a token is reading, also by POST: a copy that writes may be waiting for it."""
        return Side.READ if self.login or self.method in {"GET", "HEAD"} else Side.WRITE

    @property
    def is_long(self) -> bool:
        """Whether it may keep its connection for long."""
        return self.bulk or not isinstance(self.body, bytes)


def authority(url: httpx.URL) -> str:
    """``host`` or ``host:port`` as a pullspec would have it, the scheme's own port left out."""
    name = url.raw_host.decode("ascii")  # `host` has IDNs decoded, which no pullspec has
    host = f"[{name}]" if ":" in name else name
    return host if url.port is None else f"{host}:{url.port}"


def redirected(call: Call, target: str) -> Call:
    """The call again at another place; raise Refused where it must not go."""
    try:
        # A user in the address would become a login that nobody gave us.
        url = call.url.join(target).copy_with(username=None, password=None)
    except httpx.InvalidURL as error:
        raise Refused(f"{call}: redirected to a malformed address") from error
    if url.scheme not in {"http", "https"} or (call.url.scheme, url.scheme) == ("https", "http"):
        raise Refused(
            f"{call}: redirected from https to {clean(url.scheme)}, which is not followed"
        )
    if (url.scheme, authority(url)) == (call.url.scheme, authority(call.url)):
        return replace(call, url=url)
    if call.login and call.body:
        raise Refused(
            f"{call}: redirected to {clean(authority(url))}, where the login does not belong"
        )
    kept = {k: v for k, v in call.headers.items() if k.lower() != "authorization"}
    return replace(call, url=url, headers=kept)
