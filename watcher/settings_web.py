"""Settings of the web server and of its doors: who is let in, and as what.

Roles stand here as words; `web/callers.py` says what each may.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NO_ROLE = "none"


def is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """One identity that may use pages and API. It appears as `token:<name>` in votes and audit."""

    name: str
    token_file: Path | None = None
    token_env: str = ""
    role: str = "approver"
    """viewer, operator or approver. The last by default: tokens of before there were roles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """For `mode: proxy`: somebody before us says who asks."""

    trusted: tuple[str, ...] = ()
    """Addresses and networks of the proxy. Nobody else's headers are believed."""
    user_header: str = "X-Forwarded-User"
    """As oauth-proxy and oauth2-proxy send it upstream."""
    groups_header: str = "X-Forwarded-Groups"
    """Names with commas between them."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Group → role; the highest counts."""
    others: str = NO_ROLE
    """Role of somebody in none of these groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """For `mode: openshift`: one cluster says whose token it is, and what that one may."""

    cluster: str = ""
    """Empty: the only one that is configured."""
    audiences: tuple[str, ...] = ()
    """A token must be meant for one of them. Empty: for the API server."""
    namespace: str = ""
    """Where `get`, `update` and `approve` on `pools.relayer.io` are asked about; empty: in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    mode: str = "token"
    """token, none, proxy or openshift. Tokens of `tokens` are good in each."""
    local: str = "operator"
    """Role of everybody on this machine in `mode: none`. Nobody approves without a name."""
    session_seconds: int = 12 * 3600
    """A login in a browser ends after this. 12 h: a working day."""
    idle_seconds: int = 3600
    """And after this without use; 1 h at most, as a logout is remembered for so long."""
    proxy: ProxySettings = field(default_factory=ProxySettings)
    openshift: ReviewSettings = field(default_factory=ReviewSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    host: str = "127.0.0.1"
    """Loopback by default: what is reachable from outside is a decision."""
    port: int = 8080
    """0 takes any free port."""
    names: tuple[str, ...] = ()
    """Host names that a proxy on this machine asks for. On loopback no others are answered."""
    tokens: tuple[TokenSettings, ...] = ()
    auth: AuthSettings = field(default_factory=AuthSettings)
