"""A kind's whole list, page by page, as facts. Used by the reflector and for live reads."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from watcher.clients.kube import errors, wire
from watcher.clients.kube.kinds import Kind
from watcher.clients.kube.session import Session
from watcher.core.facts import Malformed
from watcher.ports import Refused, Transient

F = TypeVar("F")

_PAGE = msgspec.json.Decoder(wire.Page)
_NAMED = msgspec.json.Decoder(wire.NamedHead)


@dataclass(slots=True)
class Listed(Generic[F]):
    """What was there at `resource_version`."""

    resource_version: str = ""
    facts: dict[str, F] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    """Name → resourceVersion, of malformed objects too where they have one."""
    malformed: dict[str, str] = field(default_factory=dict)
    """Name → sentence."""


def request(session: Session, kind: Kind[F], verb: str) -> errors.Request:
    return errors.Request(
        cluster=session.cluster,
        verb=verb,
        group=kind.group,
        resource=kind.resource,
        name=kind.only,
        namespace=kind.namespace,
    )


def selector(kind: Kind[F]) -> dict[str, str]:
    """The query that narrows a list or watch to one object, where the kind says so."""
    return {"fieldSelector": f"metadata.name={kind.only}"} if kind.only else {}


async def list_kind(session: Session, kind: Kind[F], *, version: str) -> Listed[F]:
    """All objects of `kind`. A page that expired while we read starts the list anew, once.

    Raises OutsideError; Gone when the second attempt expired as well.
    """
    try:
        return await _list(session, kind, version)
    except errors.Gone:
        return await _list(session, kind, version)


async def list_served(session: Session, kind: Kind[F]) -> Listed[F] | None:
    """As `list_kind`, from the first version of the API that is served; None when none is."""
    for version in kind.versions:
        try:
            return await list_kind(session, kind, version=version)
        except errors.NotFound:
            continue
    return None


async def _list(session: Session, kind: Kind[F], version: str) -> Listed[F]:
    ask = request(session, kind, "list")
    decoder = msgspec.json.Decoder(kind.struct)
    listed: Listed[F] = Listed()
    next_page = ""
    while True:
        query = {"limit": str(kind.page_size), **selector(kind)}
        if next_page:
            query["continue"] = next_page
        body = await session.fetch(ask, path=kind.path(version), query=query)
        try:
            page = wire.decoded(_PAGE, body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Transient(f"{ask}: the answer is no list ({errors.clean(str(error))})") from error
        for raw in page.items or ():
            _take(kind, decoder, raw, into=listed)
        listed.resource_version = page.metadata.resource_version
        if page.metadata.next_page == next_page != "":
            raise Refused(f"{ask}: the API server gives the same page again and again")
        next_page = page.metadata.next_page
        if not next_page:
            return listed


def _take(
    kind: Kind[F],
    decoder: msgspec.json.Decoder[msgspec.Struct],
    raw: msgspec.Raw,
    *,
    into: Listed[F],
) -> None:
    try:
        item = wire.decoded(decoder, raw)
        meta: wire.MetaWire = item.metadata  # type: ignore[attr-defined]
        into.versions[meta.name] = meta.resource_version
        into.facts[meta.name] = kind.convert(item)
    except (msgspec.MsgspecError, UnicodeDecodeError, Malformed) as error:
        name = name_of(raw)
        into.facts.pop(name, None)
        into.malformed[name] = malformed(kind, name, error)


def name_of(raw: bytes | msgspec.Raw) -> str:
    """The name of an object that could not be read as a whole."""
    try:
        return (
            errors.clean(wire.decoded(_NAMED, raw).metadata.name, limit=253) or "(without a name)"
        )
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "(without a name)"


def malformed(kind: Kind[F], name: str, error: Exception) -> str:
    """The sentence for an object that is left out."""
    return (
        f"{kind.title} {name} is left out: it cannot be read ({errors.clean(str(error))});"
        f" look at it with `oc get {kind.resource} {name} -o yaml`"
    )
