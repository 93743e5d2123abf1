"""Opens the connection to Redis, and checks that this Redis keeps what it is given."""

from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from watcher.clients.store.calls import ANSWER_SECONDS, answered
from watcher.ports import Refused

CONNECT_SECONDS = 3.0
CONNECTIONS = 50
"""More callers than this wait for each other: a hundred clicks at once are no reason to fail."""
OLDEST = (6, 2)
"""6.2 brought `ZADD LT` and `ZRANGE BYSCORE`."""


def from_url(url: str, *, password: str | None = None, ca_file: str | None = None) -> Redis:
    """Return a client for `redis://`, `rediss://` or `unix://`; nothing is connected yet.

    Retries are off: the worker loop retries with backoff, and two loops of retries multiply.
    Raise Refused for a URL that cannot be used, without showing it: it may hold a password.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": None,  # see `calls.answered`
        "max_connections": CONNECTIONS,
        "timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if password:
        options["password"] = password
    try:
        if ca_file:
            if urlsplit(url).scheme != "rediss":
                raise Refused("redis.ca_file is set, but redis.url is not rediss://: no TLS")
            options["ssl_ca_certs"] = ca_file
        return Redis.from_pool(BlockingConnectionPool.from_url(url, **options))
    except ValueError:
        raise Refused(
            "redis.url cannot be used: give redis://, rediss:// or unix:// with a host or a path,"
            " and the password in redis.password_file"
        ) from None


async def check(client: Redis, *, allow_unsafe: bool = False) -> list[str]:
    """Return what is unsafe about this Redis; raise Refused for it unless it is allowed.

    Uses INFO only: hosted offers forbid CONFIG.
    """
    async with answered(ANSWER_SECONDS):
        seen: dict[str, Any] = {}
        for section in ("server", "persistence", "memory"):
            seen |= await client.info(section)
    version = str(seen.get("redis_version", "0"))[:20]
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        raise Refused(f"redis {version} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    unsafe = []
    if seen.get("aof_enabled") != 1:
        unsafe.append("it keeps no append-only file: set `appendonly yes`")
    if (policy := seen.get("maxmemory_policy")) != "noeviction":
        unsafe.append(f"its maxmemory-policy is {policy}: set `maxmemory-policy noeviction`")
    if unsafe and not allow_unsafe:
        raise Refused(
            "this redis may lose what was approved: "
            + "; ".join(unsafe)
            + " (or set redis.allow_unsafe, knowing that)"
        )
    return unsafe
