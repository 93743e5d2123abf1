"""A server for the API contract: the simulated one, or a real one named by a kubeconfig."""

import json
import os
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration, CustomObjectsApi

from simulator.apiserver import ApiServer

KUBECONFIG_VARIABLE = "RELAYER_TEST_KUBECONFIG"
MCO = "/apis/machineconfiguration.openshift.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MACHINE_CONFIGS = f"{MCO}/machineconfigs"
POOLS = f"{MCO}/machineconfigpools"

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass
class Server:
    """One server under test, a client to it, and the objects to clean up."""

    http: httpx.AsyncClient
    custom: CustomObjectsApi
    simulator: ApiServer | None
    prefix: str = field(default_factory=lambda: f"relayer-contract-{uuid.uuid4().hex[:8]}")
    made: list[str] = field(default_factory=list)

    async def create(self, collection: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(collection, json=document)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        self.made.append(f"{collection}/{created['metadata']['name']}")
        return created

    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def patch(self, path: str, content_type: str, body: Any, **query: Any) -> httpx.Response:
        content = body if isinstance(body, str) else json.dumps(body)
        headers = {"Content-Type": content_type}
        return await self.http.patch(path, content=content, headers=headers, params=query)

    async def apply(self, path: str, manager: str, body: Any, **query: Any) -> httpx.Response:
        self.made.append(path)
        return await self.patch(path, APPLY, body, fieldManager=manager, **query)

    async def clean_up(self) -> None:
        for path in self.made:
            await self.http.delete(path)

    def config_map(self, suffix: str, **data: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{self.prefix}-{suffix}",
                "labels": {"contract": self.prefix, "part": suffix},
            },
            "data": data,
        }

    def machine_config(self, suffix: str = "mc", **spec: Any) -> dict[str, Any]:
        """Without a role label: no pool of a real cluster picks it up."""
        return {
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfig",
            "metadata": {"name": f"{self.prefix}-{suffix}"},
            "spec": spec,
        }

    def pool(self, suffix: str = "pool") -> dict[str, Any]:
        """A pool without nodes and without MachineConfigs."""
        label = {"matchLabels": {"relayer-contract": self.prefix}}
        return {
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfigPool",
            "metadata": {"name": f"{self.prefix}-{suffix}"},
            "spec": {"machineConfigSelector": label, "nodeSelector": label, "paused": True},
        }

    @asynccontextmanager
    async def watching(self, collection: str, **query: Any) -> AsyncIterator[AsyncIterator[Any]]:
        """The events of a watch, decoded."""
        params = {"watch": "true", "timeoutSeconds": 20, **query}
        async with self.http.stream("GET", collection, params=params, timeout=30) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield (json.loads(line) async for line in answer.aiter_lines() if line)


@asynccontextmanager
async def simulated() -> AsyncIterator[Server]:
    async with ApiServer.start() as api, _connected(Configuration(host=api.url), api) as server:
        yield server


@asynccontextmanager
async def real() -> AsyncIterator[Server]:
    settings = Configuration()
    load: Any = kube_config.load_kube_config  # ships without type information
    await load(config_file=os.environ[KUBECONFIG_VARIABLE], client_configuration=settings)
    async with _connected(settings, None) as server:
        yield server


@asynccontextmanager
async def _connected(settings: Any, simulator: ApiServer | None) -> AsyncIterator[Server]:
    token = (settings.api_key or {}).get("BearerToken") or (settings.api_key or {}).get(
        "authorization"
    )
    headers = {"User-Agent": "contract/1"} | ({"Authorization": token} if token else {})
    client = httpx.AsyncClient(base_url=settings.host, headers=headers, verify=_trust(settings))
    async with client, ApiClient(settings) as official:
        server = Server(client, CustomObjectsApi(official), simulator)
        try:
            yield server
        finally:
            await server.clean_up()


def _trust(settings: Any) -> ssl.SSLContext | bool:
    if not settings.host.startswith("https"):
        return False
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
