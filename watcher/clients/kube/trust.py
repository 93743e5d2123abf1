"""What a cluster trusts: keys and signatures of releases, and authorities of registries.

Release verification: openshift/library-go pkg/verify. Authorities: image.config.openshift.io, field
additionalTrustedCA (openshift/api config/v1 types_image.go).
"""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec

from watcher.clients.kube import errors, wire
from watcher.clients.kube.errors import Request
from watcher.clients.kube.session import Session
from watcher.core.facts import Digest
from watcher.ports import Refused, ReleaseSignatures

_MANAGED = "openshift-config-managed"
_CONFIG = "openshift-config"
_KEYS_MAP = "release-verification"
_KEYS_ANNOTATION = "release.openshift.io/verification-config-map"
_SIGNATURES_LABEL = "release.openshift.io/verification-signatures"
_KEY, _STORE = "verifier-public-key-", "store-"
_IMAGE_CONFIG = "/apis/config.openshift.io/v1/images/cluster"
_PAGE = 20
"""ConfigMaps at a time: one has 1 MiB at most, and most often one signature of 1 KiB."""
_MOST_BYTES = 64 * 1024 * 1024
"""Of all of them. A cluster that mirrored a thousand releases has some 2 MiB."""
_MOST_SIGNATURES = 20
"""Of one release; more are left out."""

W = TypeVar("W", bound=msgspec.Struct)


class _ConfigMap(wire.Wire, frozen=True):
    metadata: wire.MetaWire
    data: dict[str, str] | None = None


class _SignatureMap(wire.Wire, frozen=True):
    binary_data: dict[str, str] | None = None


_SIGNATURES = msgspec.json.Decoder(_SignatureMap)


class _ImageConfigSpec(wire.Wire, frozen=True):
    additional_trusted_ca: wire.Named | None = msgspec.field(
        default=None, name="additionalTrustedCA"
    )


class _ImageConfig(wire.Wire, frozen=True):
    spec: _ImageConfigSpec = _ImageConfigSpec()


async def release_signatures(session: Session, release: Digest) -> ReleaseSignatures:
    """Keys, stores and the signatures of one release. Raises OutsideError.

    A ConfigMap release-verification that is not there, or does not carry its annotation, means no
    keys; a 403 is told: what may not be read must not look absent.
    """
    said = await _config_map(session, _MANAGED, _KEYS_MAP)
    annotated = said is not None and _KEYS_ANNOTATION in (said.metadata.annotations or {})
    data = said.data or {} if said is not None and annotated else {}
    return ReleaseSignatures(
        keys={name: text.encode() for name, text in data.items() if name.startswith(_KEY)},
        stores=tuple(t.strip() for name, t in sorted(data.items()) if name.startswith(_STORE)),
        signatures=await _signatures(session, release),
    )


async def trusted_cas(session: Session) -> Mapping[str, str]:
    """host[:port] → PEM; empty where none is named. Raises Refused where the named ConfigMap is
    not there or may not be read."""
    request = _request(session, "get", "images", group="config.openshift.io", name="cluster")
    try:
        body = await session.fetch(request, path=_IMAGE_CONFIG)
    except errors.NotFound:
        return {}
    named = _decoded(request, body, _ImageConfig).spec.additional_trusted_ca
    if named is None or not named.name:
        return {}
    found = await _config_map(session, _CONFIG, named.name)
    if found is None:
        raise Refused(
            f"cluster {session.cluster}: ConfigMap {_CONFIG}/{errors.clean(named.name)}, which"
            " image.config.openshift.io cluster names as additionalTrustedCA, is not there"
        )
    return {_host(key): pem for key, pem in (found.data or {}).items()}


def _host(key: str) -> str:
    """A colon is not allowed in a ConfigMap's key: ``host..5000`` stands for ``host:5000``."""
    host, dots, port = key.rpartition("..")
    return f"{host}:{port}" if dots and host and port.isdigit() else key


async def _config_map(session: Session, namespace: str, name: str) -> _ConfigMap | None:
    """None if it is not there. Raises OutsideError."""
    request = _request(session, "get", "configmaps", name=name, namespace=namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps/{quote(name, safe='')}"
    try:
        body = await session.fetch(request, path=path)
    except errors.NotFound:
        return None
    return _decoded(request, body, _ConfigMap)


async def _signatures(session: Session, release: Digest) -> tuple[bytes, ...]:
    # A key is <algorithm>-<hex>-<number>: colons are not allowed there.
    wanted = release.replace(":", "-")
    request = _request(session, "list", "configmaps", namespace=_MANAGED)
    found: dict[bytes, None] = {}
    async for item in _labelled(session, request):
        for key, text in (item.binary_data or {}).items():
            if key == wanted or key.startswith(f"{wanted}-"):
                found[_bytes(text)] = None
    return tuple(found)[:_MOST_SIGNATURES]


async def _labelled(session: Session, request: Request) -> AsyncIterator[_SignatureMap]:
    """The ConfigMaps with signatures, page by page. Raises OutsideError."""
    read, next_page = 0, ""
    while True:
        query = {"labelSelector": _SIGNATURES_LABEL, "limit": str(_PAGE)}
        if next_page:
            query["continue"] = next_page
        path = f"/api/v1/namespaces/{_MANAGED}/configmaps"
        body = await session.fetch(request, path=path, query=query)
        read += len(body)
        if read > _MOST_BYTES:
            raise Refused(
                f"{request}: signatures of more than {_MOST_BYTES} bytes; remove those of releases"
                " that are long gone"
            )
        page = _decoded(request, body, wire.Page)
        for raw in page.items or ():
            try:
                item = wire.decoded(_SIGNATURES, raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # it costs only itself
            yield item
        if page.metadata.next_page == next_page != "":
            raise Refused(f"{request}: the API server gives the same page again and again")
        next_page = page.metadata.next_page
        if not next_page:
            return


def _bytes(text: str) -> bytes:
    """What cannot be decoded is no signature, and is told as such by whoever checks it."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _request(
    session: Session,
    verb: str,
    resource: str,
    *,
    group: str = "",
    name: str = "",
    namespace: str = "",
) -> Request:
    return Request(
        cluster=session.cluster,
        verb=verb,
        group=group,
        resource=resource,
        name=name,
        namespace=namespace,
    )


def _decoded(request: Request, body: bytes, kind: type[W]) -> W:
    try:
        return wire.decoded(msgspec.json.Decoder(kind), body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(
            f"{request}: the answer cannot be read ({errors.clean(str(error))})"
        ) from error
