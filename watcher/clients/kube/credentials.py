"""Who we are to a cluster, from one of three places, checked before the first call.

`kubernetes.aio` reads kubeconfig files (exec plugins, OIDC, embedded certificates) and a pod's
service account. It is imported only when it is needed: that takes half a second and 20 MB, which
`relayer --help` shall not pay. A URL with a token file needs none of it.
"""

import asyncio
import base64
import binascii
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from watcher.clients.kube.errors import clean
from watcher.ports import Clock, Refused

_MAX_FILE_BYTES = 4 * 1024 * 1024
_TOKEN_FRESH_SECONDS = 60.0
"""A projected token is replaced at 80 % of its life, at least 10 minutes: a minute is early."""
_EXPIRY_MARGIN = timedelta(seconds=30)
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """All that is needed to open a connection and to be let in."""

    url: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify: bool = True
    server_name: str = ""
    proxy: str = ""
    """Only where it was configured; the environment's proxies are looked up by the session."""
    authorization: str = ""
    """The header's value: a secret."""

    def __repr__(self) -> str:
        return f"Access({self.url!r})"


class Credentials(Protocol):
    async def current(self) -> Access:
        """Raises Refused, with the next step, when there is none."""

    async def renew(self) -> bool:
        """After a 401: read everything again. True if anything changed."""


class TokenFile:
    """An explicit URL, with a token file and a CA file where there are such."""

    def __init__(
        self,
        url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        proxy: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_file = token_file
        self._monotonic = monotonic
        self._read_at = -_TOKEN_FRESH_SECONDS
        self._access = Access(url=url, ca_file=str(ca_file or ""), proxy=proxy)

    async def current(self) -> Access:
        stale = self._monotonic() - self._read_at >= _TOKEN_FRESH_SECONDS
        if stale or not self._access.authorization:
            await self.renew()
        return self._access

    async def renew(self) -> bool:
        if self._token_file is None:
            return False
        before = self._access.authorization
        token = (await asyncio.to_thread(_read, self._token_file, what="token file")).strip()
        self._access = replace(self._access, authorization=f"Bearer {token}")
        self._read_at = self._monotonic()
        return before != self._access.authorization


Loaded = tuple[Any, Any]
"""The library's Configuration, and its kubeconfig loader or None."""


class Library:
    """Credentials that `kubernetes.aio` loads and keeps fresh."""

    def __init__(self, load: Callable[[], Awaitable[Loaded]], *, clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._loaded: Loaded | None = None

    async def current(self) -> Access:
        if self._loaded is None or self._expires_soon():
            self._loaded = await self._load()
        configuration = self._loaded[0]
        try:
            # Runs the library's own refresh of a service account's token.
            key = await configuration.get_api_key_with_prefix("BearerToken")
        except Exception as error:
            raise Refused(f"the credentials cannot be refreshed: {clean(str(error))}") from error
        access = Access(
            url=configuration.host.rstrip("/"),
            ca_file=configuration.ssl_ca_cert or "",
            cert_file=configuration.cert_file or "",
            key_file=configuration.key_file or "",
            verify=bool(configuration.verify_ssl),
            server_name=configuration.tls_server_name or "",
            proxy=configuration.proxy or "",
            authorization=(key or "").strip(),
        )
        await asyncio.to_thread(_not_expired, access, now=self._clock.now())
        return access

    async def renew(self) -> bool:
        before = await self.current() if self._loaded else None
        self._loaded = None
        return await self.current() != before

    def _expires_soon(self) -> bool:
        """True for an exec plugin's token near its end; the library says until when it holds."""
        expiry = getattr(self._loaded[1], "exec_plugin_expiry", None) if self._loaded else None
        return isinstance(expiry, datetime) and expiry - self._clock.now() < timedelta(minutes=5)


def from_kubeconfig(path: Path | None, *, context: str | None, clock: Clock) -> Library:
    """`path` None means KUBECONFIG, else ~/.kube/config, as for kubectl."""

    async def load() -> Loaded:
        paths = str(path) if path else os.environ.get("KUBECONFIG", "~/.kube/config")
        await asyncio.to_thread(_check_kubeconfig, paths)
        return await _load_kubeconfig(paths, context=context)

    return Library(load, clock=clock)


def in_cluster(
    *,
    clock: Clock,
    directory: Path = _SERVICE_ACCOUNT,
    environ: Mapping[str, str] = os.environ,
) -> Library:
    """The service account of the pod we run in."""

    async def load() -> Loaded:
        client, config = await asyncio.to_thread(_library)
        configuration = client.Configuration()
        loader = config.incluster_config.InClusterConfigLoader(
            token_filename=str(directory / "token"),
            cert_filename=str(directory / "ca.crt"),
            environ=environ,
        )
        try:
            loader.load_and_set(configuration)
        except (config.ConfigException, OSError) as error:
            raise Refused(
                f"no service account of a pod here: {clean(str(error))}; outside of a cluster give"
                " a kubeconfig, inside set automountServiceAccountToken"
            ) from error
        return configuration, None

    return Library(load, clock=clock)


def _library() -> tuple[Any, Any]:
    """`kubernetes.aio`'s client and config modules; the import blocks, so it runs in a thread."""
    from kubernetes.aio import client, config

    return client, config


def _check_kubeconfig(paths: str) -> None:
    """The library answers a missing or empty file with AttributeError, so look first."""
    import yaml

    found = [p for p in (Path(p).expanduser() for p in paths.split(":") if p) if p.exists()]
    if not found:
        raise Refused(f"kubeconfig {paths} does not exist; give the path of one, or log in first")
    for path in found:
        text = _read(path, what="kubeconfig")
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise Refused(
                f"kubeconfig {path} is no YAML: {clean(str(error))}; write it anew"
            ) from error
        if not isinstance(content, dict) or not content.get("clusters"):
            raise Refused(f"kubeconfig {path} names no cluster; write it anew or log in again")


async def _load_kubeconfig(paths: str, *, context: str | None) -> Loaded:
    client, config = await asyncio.to_thread(_library)
    configuration = client.Configuration()
    try:
        # persist_config=False: a file of the operator's is never written.
        loader = await config.load_kube_config(
            config_file=paths,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except OSError as error:
        raise Refused(f"kubeconfig {paths} names a file that cannot be read: {error}") from error
    except Exception as error:
        # The library lets nearly anything out of a malformed file or a failed OIDC refresh.
        raise Refused(
            f"kubeconfig {paths} cannot be used: {clean(str(error))};"
            f" check its context, cluster and user"
        ) from error
    user = loader._user  # its only way to tell that an exec plugin was asked and failed
    if (
        user is not None
        and "exec" in user
        and not (configuration.api_key or configuration.cert_file)
    ):
        raise Refused(
            f"kubeconfig {paths}: the exec plugin {clean(str(user['exec']['command']))} gave no"
            " credentials; run it by hand, or use a token of a service account"
        )
    return configuration, loader


def _read(path: Path, *, what: str) -> str:
    """A small text file. Raises Refused with the cause."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise Refused(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{what} {path} is no UTF-8 text") from error
    if not text.strip():
        raise Refused(f"{what} {path} is empty; write it anew or log in again")
    if len(raw) > _MAX_FILE_BYTES:
        raise Refused(f"{what} {path} is larger than {_MAX_FILE_BYTES} bytes")
    return text


def _not_expired(access: Access, *, now: datetime) -> None:
    """Raises Refused when the token or the client certificate says itself that it is over."""
    ends = [
        ("token", token_expiry(access.authorization)),
        ("client certificate", certificate_expiry(access.cert_file)),
    ]
    for what, end in ends:
        if end is not None and end < now - _EXPIRY_MARGIN:
            raise Refused(
                f"the {what} for {access.url} expired at {end:%Y-%m-%d %H:%M} UTC; log in again"
                " or use a token of a service account"
            )


def token_expiry(authorization: str) -> datetime | None:
    """When a JWT ends by its own word; None for anything else (OpenShift's sha256~ tokens)."""
    parts = authorization.rpartition(" ")[2].split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=="))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (msgspec.MsgspecError, binascii.Error, ValueError, TypeError, KeyError, OverflowError):
        return None


def certificate_expiry(file: str) -> datetime | None:
    """notAfter of the first certificate in a PEM file; None where there is none to be read.

    Python's `ssl` tells it only of CA certificates, so the few DER headers before it are skipped
    here (RFC 5280, 4.1: version, serial, algorithm, issuer, then validity).
    """
    if not file:
        return None
    try:
        pem = Path(file).read_bytes().partition(b"-----BEGIN CERTIFICATE-----")[2]
        der = base64.b64decode(pem.partition(b"-----END")[0])
        at = _enter(der, _enter(der, 0))
        if der[at] == 0xA0:  # the version, which old certificates leave out
            at = _skip(der, at)
        for _ in range(3):
            at = _skip(der, at)
        at = _skip(der, _enter(der, at))
        tag, text = der[at], der[_enter(der, at) : _skip(der, at)].decode("ascii")
        # UTCTime has two digits for the year, and 50 to 99 belong to the last century.
        century = "" if tag == 0x18 else "19" if text[0] >= "5" else "20"
        return datetime.strptime(century + text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (OSError, ValueError, IndexError):
        return None


def _enter(der: bytes, at: int) -> int:
    """Where the content of the DER element at `at` begins."""
    first = der[at + 1]
    return at + 2 + (first & 0x7F if first & 0x80 else 0)


def _skip(der: bytes, at: int) -> int:
    """Where the element after the one at `at` begins."""
    start, first = _enter(der, at), der[at + 1]
    return start + (int.from_bytes(der[at + 2 : start], "big") if first & 0x80 else first)
