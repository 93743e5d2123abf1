"""Reading and writing our cookie (RFC 6265bis), strictly: what is unclear is no cookie."""

from collections.abc import Sequence

from watcher.settings_web import is_loopback

SECURE_NAME = "__Host-relayer-session"
"""Browsers take it over https only, for this host only, and no other page can plant it."""
LOCAL_NAME = "relayer-session"
"""On this machine there is no https."""
MOST_BYTES = 16 * 1024


def is_local_host(host: str) -> bool:
    """Whether a Host header names this machine: what a browser here, and only here, asks for."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name)


def name_for(host: str) -> str:
    """The name under which a browser that asks for this host keeps its login."""
    return LOCAL_NAME if is_local_host(host) else SECURE_NAME


def value_of(headers: Sequence[str], name: str) -> str:
    """Return the cookie's value; empty if it is not there, or there more than once.

    Two of one name mean that somebody planted one.
    """
    if sum(map(len, headers)) > MOST_BYTES:
        return ""
    found = []
    for header in headers:
        for pair in header.split(";"):
            key, sign, value = pair.strip(" \t").partition("=")
            if sign and key == name:
                found.append(value)
    return found[0] if len(found) == 1 else ""


def made(host: str, value: str, *, seconds: float) -> str:
    """Return the Set-Cookie header for a browser that asked for this host."""
    name = name_for(host)
    secure = "; Secure" if name == SECURE_NAME else ""
    return f"{name}={value}; Path=/; Max-Age={int(seconds)}; HttpOnly; SameSite=Strict{secure}"


def gone(host: str) -> str:
    """Return the Set-Cookie header that takes it away."""
    return made(host, "", seconds=0)
