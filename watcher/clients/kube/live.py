"""Asking and changing a cluster now, past every cache: for the moment before and of an apply.

Each write is small, names what it must find unchanged (uid, resourceVersion, field owner), and
can be repeated: server-side apply of the same body changes nothing, a second delete finds nothing.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from watcher.clients.kube import errors, kinds, listing, trust, wire
from watcher.clients.kube.assembling import assemble
from watcher.clients.kube.errors import Request
from watcher.clients.kube.kinds import Kind
from watcher.clients.kube.session import Session
from watcher.core.cluster import OUR_PREFIX, ClusterView, MachineConfig, Pool
from watcher.core.facts import ClusterName, Digest, Malformed, PoolName
from watcher.ports import Clock, Refused, ReleaseSignatures

F = TypeVar("F")

FIELD_MANAGER = "relayer"
ROLE_LABEL = wire.MCO_PREFIX + "role"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
"""Server-side apply; JSON is YAML."""
_NOT_FRESH = (kinds.NODE, kinds.MACHINE_OS_BUILD, *kinds.MIRROR_SETS)
_FRESH_KINDS = tuple(k for k in kinds.KINDS if k not in _NOT_FRESH)
"""Nodes are many; builds on the cluster are only told of; on mirrors hangs where bytes come from,
never which. These may be hidden."""


class Secret(wire.Wire, frozen=True):
    data: dict[str, str] | None = None


class Live:
    """Reads and writes of one cluster. Every method raises OutsideError, translated once."""

    def __init__(self, session: Session, *, clock: Clock) -> None:
        self.name = ClusterName(session.cluster)
        self._session = session
        self._clock = clock

    async def read_pool(self, name: PoolName) -> Pool:
        """Raises Refused when there is no such pool."""
        return await self._get(kinds.POOL, name)

    async def read_machine_config(self, name: str) -> MachineConfig | None:
        """None when there is no such MachineConfig."""
        try:
            return await self._get(kinds.MACHINE_CONFIG, name)
        except errors.NotFound:
            return None

    async def fresh_view(self) -> ClusterView:
        """Everything the preconditions of an apply need, read now; no nodes.

        Raises Refused where a kind may not be read: what is not known must not look absent.
        """
        return await self._read(_FRESH_KINDS)

    async def release_view(self) -> ClusterView:
        """What says which release the cluster has and where its images are, read now.

        Mirror sets that may not be read are told among the problems: most clusters have none.
        """
        view = await self._read((kinds.CLUSTER_VERSION, kinds.OS_IMAGE_STREAM))
        try:
            mirrors = await self._read(kinds.MIRROR_SETS)
        except Refused as refusal:
            return replace(view, problems=(*view.problems, str(refusal)))
        return replace(view, mirrors=mirrors.mirrors, problems=view.problems + mirrors.problems)

    async def _read(self, wanted: Sequence[Kind[Any]]) -> ClusterView:
        began = self._clock.now()
        found: dict[str, Mapping[str, object]] = {}
        problems: list[str] = []
        unreadable: Mapping[str, str] = {}
        for kind in wanted:
            listed = await listing.list_served(self._session, kind)
            if listed is None and kind.required:
                raise Refused(
                    f"cluster {self.name} serves no {kind.title}: it has no machine-config"
                    " operator, or its API server is still starting"
                )
            if listed is not None:
                found[kind.title] = listed.facts
                problems += listed.malformed.values()
                if kind is kinds.POOL:
                    unreadable = listed.malformed
        return assemble(
            self.name,
            found,
            observed_at=began,
            unreadable_pools=unreadable,
            problems=tuple(problems),
        )

    async def apply_override(
        self, *, name: str, pool: PoolName, image: str, annotations: Mapping[str, str]
    ) -> None:
        """Make MachineConfig `name` say that `pool` runs `image`.

        Server-side apply as field manager `relayer`, never forced. Repeating it with the same
        arguments changes nothing. Raises FieldConflict when someone else owns one of the fields.
        """
        body = {
            "apiVersion": f"{kinds.MCO_GROUP}/v1",
            "kind": "MachineConfig",
            "metadata": {
                "name": name,
                "labels": {ROLE_LABEL: pool},
                "annotations": dict(annotations),
            },
            "spec": {"osImageURL": image},
        }
        await self._patch(kinds.MACHINE_CONFIG, name, body, content_type=_APPLY_PATCH, force=False)

    async def delete_override(self, name: str) -> None:
        """Remove our MachineConfig `name`. Nothing happens when it is gone already.

        Raises Refused when it carries no annotation of ours, Conflict when it was changed, or
        deleted and made anew, between our look and the delete.
        """
        found = await self.read_machine_config(name)
        if found is None:
            return
        meta = found.meta
        if not any(key.startswith(OUR_PREFIX) for key in meta.annotations):
            raise Refused(
                f"cluster {self.name}: MachineConfig {name} carries no annotation {OUR_PREFIX}…:"
                " it is not ours and is not deleted"
            )
        preconditions = {"uid": meta.uid, "resourceVersion": meta.resource_version}
        try:
            await self._session.change(
                self._request(kinds.MACHINE_CONFIG, "delete", name),
                method="DELETE",
                path=_path(kinds.MACHINE_CONFIG, name),
                body={"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions},
            )
        except errors.NotFound:
            return

    async def set_paused(
        self, pool: Pool, *, paused: bool, annotations: Mapping[str, str | None]
    ) -> None:
        """Pause or unpause, and set (or with None remove) annotations, in one write.

        Raises Conflict when the pool is no longer as it was read.
        """
        version = pool.meta.resource_version
        body = {
            "metadata": {"resourceVersion": version, "annotations": dict(annotations)},
            "spec": {"paused": paused},
        }
        await self._patch(kinds.POOL, pool.name, body, content_type=_MERGE_PATCH)

    async def annotate_pool(self, pool: PoolName, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of a pool; None removes one."""
        body = {"metadata": {"annotations": dict(annotations)}}
        await self._patch(kinds.POOL, pool, body, content_type=_MERGE_PATCH)

    async def uncordon(self, node: str) -> None:
        """Make a node schedulable again; nothing if it is."""
        body = {"spec": {"unschedulable": None}}
        await self._patch(kinds.NODE, node, body, content_type=_MERGE_PATCH)

    async def pull_secret(self) -> bytes:
        """The cluster's global pull secret, a Docker auth file. Never keep or log it."""
        request = Request(
            cluster=self.name,
            verb="get",
            group="",
            resource="secrets",
            name="pull-secret",
            namespace="openshift-config",
        )
        body = await self._session.fetch(request, path=kinds.PULL_SECRET_PATH)
        try:
            data = msgspec.json.decode(body, type=Secret).data or {}
            return base64.b64decode(data[".dockerconfigjson"], validate=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, KeyError) as error:
            # Without the error's text: it may quote the secret.
            raise Refused(f"{request}: it holds no readable .dockerconfigjson") from error

    async def release_signatures(self, release: Digest) -> ReleaseSignatures:
        """Keys, stores and the signatures of one release, from openshift-config-managed."""
        return await trust.release_signatures(self._session, release)

    async def trusted_cas(self) -> Mapping[str, str]:
        """host[:port] → PEM of the cluster's additionalTrustedCA; empty where there is none."""
        return await trust.trusted_cas(self._session)

    async def _get(self, kind: Kind[F], name: str) -> F:
        request = self._request(kind, "get", name)
        body = await self._session.fetch(request, path=_path(kind, name))
        return _fact(kind, request, body)

    async def _patch(
        self,
        kind: Kind[F],
        name: str,
        body: object,
        *,
        content_type: str,
        force: bool | None = None,
    ) -> None:
        request = self._request(kind, "patch", name)
        query = {"fieldManager": FIELD_MANAGER}
        if force is not None:
            query["force"] = str(force).lower()
        await self._session.change(
            request,
            method="PATCH",
            path=_path(kind, name),
            query=query,
            body=body,
            content_type=content_type,
        )

    def _request(self, kind: Kind[F], verb: str, name: str) -> Request:
        return Request(
            cluster=self.name, verb=verb, group=kind.group, resource=kind.resource, name=name
        )


def _path(kind: Kind[F], name: str) -> str:
    return f"{kind.path(kind.versions[0])}/{quote(name, safe='')}"


def _fact(kind: Kind[F], request: Request, body: bytes) -> F:
    try:
        return kind.convert(wire.decoded(msgspec.json.Decoder(kind.struct), body))
    except (msgspec.MsgspecError, UnicodeDecodeError, Malformed) as error:
        raise Refused(
            f"{request}: the answer cannot be read ({errors.clean(str(error))})"
        ) from error
