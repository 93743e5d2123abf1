"""Whether a request comes from a page of ours, as the browser says it.

`Sec-Fetch-Site` and `Origin` cannot be set by scripts. A change that says neither was not sent by
a browser, or by a page over plain http elsewhere, where a login would travel readable.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from watcher.web.doors.cookies import is_local_host

PORTS = {"http": 80, "https": 443}


def is_our_page(headers: Headers) -> bool:
    """Whether the browser says that a page of this origin asks."""
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if len(sites) > 1 or len(origins) > 1:
        return False
    if sites:
        # Told by the browser itself, so a proxy that changes Host does not matter.
        return sites[0] == "same-origin" and not _is_plain(origins)
    return bool(origins) and not _is_plain(origins) and _is_host(origins[0], headers)


def says_another_page(headers: Headers) -> bool:
    """Whether the browser says that a page of another origin asks; programs say nothing."""
    said = headers.getlist("sec-fetch-site") or headers.getlist("origin")
    return bool(said) and not is_our_page(headers)


def _is_plain(origins: list[str]) -> bool:
    """Whether the page came over plain http from somewhere else than this machine."""
    parts = urlsplit(origins[0]) if origins and _readable(origins[0]) else None
    return parts is not None and parts.scheme == "http" and not is_local_host(parts.netloc)


def _is_host(origin: str, headers: Headers) -> bool:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _readable(origin):
        return False
    parts = urlsplit(origin)
    if parts.scheme not in PORTS or parts.path or parts.query or parts.fragment:
        return False
    return _place(parts.netloc, parts.scheme) == _place(hosts[0], parts.scheme)


def _place(netloc: str, scheme: str) -> str:
    return netloc.lower().removesuffix(f":{PORTS[scheme]}")


def _readable(origin: str) -> bool:
    try:
        urlsplit(origin)
    except ValueError:
        return False
    return True
