"""Registries for tests: the simulated one and Debian's docker-registry, set up the same way.

Each is had by one context manager that gives a `Running`: where it is, and what a client needs to
speak to it (CA file, plain HTTP, a user).
"""

import asyncio
import base64
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
import yaml

from simulator.registry import Access, Account, SimulatedRegistry
from watcher.clients.registry import Credentials, RegistrySettings
from watcher.core.facts import Repository

USER = "robot"
PASSWORD = "secret-of-the-robot"
# bcrypt of PASSWORD, made once with libxcrypt: no htpasswd program is needed.
_HTPASSWD = "robot:$2b$05$abcdefghijklmnopqrstuuE0jJl8ByLTSSSdb6f5ikumlebCfXs6G\n"
_START_SECONDS = 15.0
_QUICK = {"backoff_seconds": 0.01, "read_seconds": 10.0, "requests_per_second": 10_000.0}


@dataclass(frozen=True, slots=True)
class Running:
    """A registry that answers."""

    host: str
    url: str
    ca_file: Path | None = None
    needs_login: bool = False
    simulated: SimulatedRegistry | None = None
    """None for a real one: no faults, no request log."""
    settings: RegistrySettings = field(default_factory=RegistrySettings)

    @property
    def credentials(self) -> Credentials:
        """The user's, or none where nobody is asked."""
        return Credentials.parse(self.auth_json()) if self.needs_login else Credentials()

    def auth_json(self, user: str = USER, password: str = PASSWORD) -> str:
        """A containers-auth.json (and .dockerconfigjson) with this login."""
        return auth_json({self.host: (user, password)})

    def repository(self, path: str) -> Repository:
        return Repository(f"{self.host}/{path}")


def auth_json(logins: Mapping[str, tuple[str, str]]) -> str:
    entries = {
        name: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
        for name, (user, password) in logins.items()
    }
    return json.dumps({"auths": entries})


def settings_for(host: str, ca_file: Path | None, **more: float | int) -> RegistrySettings:
    """How to reach a test registry: quick to give up, no proxy of the machine."""
    return RegistrySettings(
        ca_files={host: ca_file} if ca_file else {},
        insecure_hosts=frozenset() if ca_file else frozenset({host}),
        use_proxy_environment=False,
        **{**_QUICK, **more},  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class PrivateCa:
    """A certificate, for 127.0.0.1 and localhost if not said otherwise, and the CA nobody knows."""

    ca_file: Path
    cert_file: Path
    key_file: Path

    @classmethod
    def made_in(cls, directory: Path, *names: str) -> "PrivateCa":
        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        leaf = authority.issue_cert(*(names or ("127.0.0.1", "localhost")))
        made = cls(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
        authority.cert_pem.write_to_path(made.ca_file)
        leaf.private_key_pem.write_to_path(made.key_file)
        for n, blob in enumerate(leaf.cert_chain_pems):
            blob.write_to_path(made.cert_file, append=n > 0)
        return made

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


@asynccontextmanager
async def simulated_registry(
    *,
    basic: bool = False,
    bearer: bool = False,
    tls: PrivateCa | None = None,
    access: Access | None = None,
    **settings: float | int,
) -> AsyncIterator[Running]:
    """The simulator's registry; `settings` are fields of RegistrySettings."""
    mode = "basic" if basic else "bearer" if bearer else "anonymous"
    access = access or Access(mode, {USER: Account(PASSWORD)})  # type: ignore[arg-type]
    context = tls.server_context() if tls else None
    async with SimulatedRegistry(access, tls=context) as registry:
        ca_file = tls.ca_file if tls else None
        yield Running(
            registry.host,
            registry.url,
            ca_file,
            access.mode != "anonymous",
            registry,
            settings_for(registry.host, ca_file, **settings),
        )


@asynccontextmanager
async def real_registry(
    directory: Path,
    *,
    basic: bool = False,
    tls: PrivateCa | None = None,
    tokens: Mapping[str, str] | None = None,
    client_ca: Path | None = None,
) -> AsyncIterator[Running]:
    """Debian's docker-registry, stored in `directory`; it must be installed.

    `tokens` is its configuration of a token server, `client_ca` whose clients alone it serves.
    """
    host = f"127.0.0.1:{_free_port()}"
    url = f"{'https' if tls else 'http'}://{host}"
    ca_file = tls.ca_file if tls else None
    config = _configuration(directory, host, basic=basic, tls=tls)
    if tokens:
        config["auth"] = {"token": dict(tokens)}
    if client_ca:
        config["http"]["tls"]["clientcas"] = [str(client_ca)]
    process = _started(directory, config)
    try:
        await _until_it_listens(process, host)
        needs_login = basic or bool(tokens)
        yield Running(host, url, ca_file, needs_login, None, settings_for(host, ca_file))
    finally:
        process.terminate()
        process.wait(10)


def _started(directory: Path, settings: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    config = directory / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=log, stderr=subprocess.STDOUT
        )


def _configuration(
    directory: Path, host: str, *, basic: bool, tls: PrivateCa | None
) -> dict[str, Any]:
    directory.mkdir(parents=True, exist_ok=True)
    http: dict[str, object] = {"addr": host, "secret": "for tests"}
    if tls:
        http["tls"] = {"certificate": str(tls.cert_file), "key": str(tls.key_file)}
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
        "http": http,
    }
    if basic:
        (directory / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _until_it_listens(process: subprocess.Popen[bytes], host: str) -> None:
    name, _, port = host.partition(":")
    async with asyncio.timeout(_START_SECONDS):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_connection(name, int(port))
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
    raise RuntimeError(f"docker-registry ended with {process.returncode}: see its log")
