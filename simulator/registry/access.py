"""Who may do what at the simulated registry: nobody asked, basic, or tokens of its own server."""

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Grant = tuple[str, str]
"""Repository and action: ``pull`` or ``push``."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user. Repositories are given by the beginning of their path; "" is all of them."""

    password: str
    pull: tuple[str, ...] = ("",)
    push: tuple[str, ...] = ("",)

    def may(self, repository: str, action: str) -> bool:
        allowed = {"pull": self.pull, "push": self.push}.get(action, ())
        return any(repository.startswith(prefix) for prefix in allowed)


@dataclass(slots=True)
class Access:
    """The rules of one registry."""

    mode: Literal["anonymous", "basic", "bearer"] = "anonymous"
    accounts: Mapping[str, Account] = field(default_factory=dict)
    anonymous_pull: bool = False
    """With `bearer`: tokens to pull are given without a login."""
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    """Identity token → user, with `bearer`."""
    rotates: bool = False
    """Each identity token is good once, and its answer holds the next one."""
    token_seconds: int = 300
    issued_at: str | None = None
    """What the token server's clock claims; None leaves it out."""
    monotonic: Callable[[], float] = time.monotonic
    service: str = "simulated-registry"
    _tokens: dict[str, tuple[float, frozenset[Grant]]] = field(default_factory=dict)

    def allows(self, header: str | None, wanted: frozenset[Grant]) -> bool:
        if self.mode == "anonymous":
            return True
        if self.mode == "basic":
            account = self.account(header)
            return bool(account) and all(account.may(*grant) for grant in wanted if account)
        scheme, _, token = (header or "").partition(" ")
        until, granted = self._tokens.get(token, (0.0, frozenset()))
        return scheme == "Bearer" and self.monotonic() < until and wanted <= granted

    def challenge(self, url: str, wanted: frozenset[Grant]) -> str:
        """The WWW-Authenticate header of a 401."""
        if self.mode == "basic":
            return 'Basic realm="simulated"'
        scope = " ".join(f"repository:{repository}:{action}" for repository, action in wanted)
        return f'Bearer realm="{url}/token",service="{self.service}",scope="{scope}"'

    def account(self, header: str | None) -> Account | None:
        """The account of a Basic header; None when there is none or the password is wrong."""
        scheme, _, text = (header or "").partition(" ")
        try:
            user, _, password = base64.b64decode(text).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        account = self.accounts.get(user)
        if scheme != "Basic" or account is None or account.password != password:
            return None
        return account

    def issue(self, header: str | None, scopes: list[str]) -> str | None:
        """A token for what is asked and allowed; None when the login is wrong."""
        account = self.account(header)
        if header and account is None:
            return None
        return self._issued(account, scopes)

    def issue_for(self, form: Mapping[str, str]) -> tuple[str, str] | None:
        """As `issue`, by OAuth2 (grant_type=refresh_token): a token and the next identity token."""
        given = form.get("refresh_token", "")
        user = self.refresh_tokens.get(given)
        if form.get("grant_type") != "refresh_token" or not form.get("client_id") or user is None:
            return None
        if self.rotates:
            del self.refresh_tokens[given]
            given = secrets.token_urlsafe(24)
            self.refresh_tokens[given] = user
        return self._issued(self.accounts[user], form.get("scope", "").split()), given

    def _issued(self, account: Account | None, scopes: list[str]) -> str:
        granted = frozenset(
            grant for scope in scopes for grant in _grants(scope) if self._may(account, grant)
        )
        token = secrets.token_urlsafe(24)
        self._tokens[token] = (self.monotonic() + self.token_seconds, granted)
        return token

    def _may(self, account: Account | None, grant: Grant) -> bool:
        if account is None:
            return self.anonymous_pull and grant[1] == "pull"
        return account.may(*grant)


def _grants(scope: str) -> list[Grant]:
    kind, _, rest = scope.partition(":")
    repository, _, actions = rest.rpartition(":")
    return [(repository, action) for action in actions.split(",")] if kind == "repository" else []
