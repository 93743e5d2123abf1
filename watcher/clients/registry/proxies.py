"""Which proxy leads to a host: HTTPS_PROXY, HTTP_PROXY and NO_PROXY as podman and oc read them.

The rules are those of golang.org/x/net/http/httpproxy, since OpenShift writes NO_PROXY for Go
programs: it holds networks (``10.128.0.0/14``) and domains (``.cluster.local``).
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress

import httpx

from watcher.errors import Refused


def proxy_for(url: httpx.URL, environ: Mapping[str, str]) -> httpx.Proxy | None:
    """The proxy to this address; None for none. Raise Refused for an address of no use."""
    name = "HTTPS_PROXY" if url.scheme == "https" else "HTTP_PROXY"
    said = _said(environ, name)
    if not said or _goes_direct(url, _said(environ, "NO_PROXY")):
        return None
    with suppress(httpx.InvalidURL, ValueError):
        proxy = httpx.Proxy(said if "://" in said else f"http://{said}")
        if proxy.url.scheme in {"http", "https"} and re.fullmatch(r"[\w.:-]+", proxy.url.host):
            return proxy
    # The value is not shown, nor the error about it: it may hold a password.
    raise Refused(f"{name} is no address of a proxy; give http://host:port")


def _said(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.lower()) or "").strip()


def _goes_direct(url: httpx.URL, no_proxy: str) -> bool:
    host = url.host.lower().rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    port = url.port or (443 if url.scheme == "https" else 80)
    entries = (entry.strip().lower() for entry in no_proxy.split(","))
    return any(_matches(entry, host, address, port) for entry in entries if entry)


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _matches(entry: str, host: str, address: Address | None, port: int) -> bool:
    if entry == "*":
        return True
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    else:
        return address is not None and address in network
    name, colon, asked_port = entry.rpartition(":")
    if colon and asked_port.isdigit():
        if int(asked_port) != port:
            return False
        entry = name.strip("[]")
    if address is not None:
        return _address(entry) == address
    entry = entry.removeprefix("*")
    below = entry if entry.startswith(".") else f".{entry}"
    return host.endswith(below) or host == entry
