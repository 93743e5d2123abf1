"""`relayer doctor release`: every step from a cluster's release to the bases of its pools."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from watcher.cli import doctor, reach
from watcher.cli.doctor_cluster import ClusterSteps, Common, concerned, configured_logins
from watcher.cli.doctor_steps import Patience, counted, shown, skipped, tried
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format
from watcher.cli.reach import Flags, Seen
from watcher.clients import registries
from watcher.clients.graph import GraphClient
from watcher.clients.signatures import GpgSignatures, Gpgv, Stores
from watcher.clock import SystemClock
from watcher.core import genuine, graph
from watcher.core.cluster import ClusterVersion
from watcher.core.facts import Pullspec
from watcher.core.genuine import Proof, Ruling, Verify
from watcher.core.mirrors import Mirrors
from watcher.errors import Refused
from watcher.findings import Finding, Level
from watcher.settings import Settings

if TYPE_CHECKING:
    pass

WIDTH = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked at, and how."""

    pool: str = ""
    """cluster/pool, or pool; empty: all."""
    flags: Flags = field(default_factory=Flags)
    patience: Patience = field(default_factory=Patience)
    buildah: str = "buildah"
    """The program of the builder of that name."""


async def release(settings: Settings, asked: Asked, form: Format) -> Code:
    """Check each cluster's release; none of it stops the rest that does not depend on it."""
    try:
        what = concerned(settings, asked.flags, asked.pool)
    except Usage as error:
        return await doctor.unusable(str(error), form)
    async with common(settings, asked) as shared:
        findings = _all([ClusterSteps(shared, one) for one in what])
        printed = (shown(finding, shared.hidden) async for finding in findings)
        found = await doctor.printed(printed, form, width=WIDTH)
    return doctor.ended(found, form)


@asynccontextmanager
async def common(settings: Settings, asked: Asked) -> AsyncIterator[Common]:
    """What all clusters share: the way to registries that the configuration and the flags say."""
    flags, said = asked.flags, settings.registry
    said = replace(said, auth_file=flags.registry_config or said.auth_file)
    patience = replace(
        asked.patience.registry, ca_file=flags.certificate_authority, insecure=flags.insecure
    )
    async with AsyncExitStack() as stack:
        client, ways = await stack.enter_async_context(registries.opened(said, patience))
        named = reach.from_files(flags)
        ways = replace(ways, mirrors=Mirrors.joined(named.rules, ways.mirrors.rules))
        made = Common(
            settings=settings,
            client=client.using(mirrors=ways.mirrors),
            configured=ways,
            logins=configured_logins(flags, settings, ways.credentials),
            patience=asked.patience,
            stack=stack,
            buildah=asked.buildah,
        )
        made.hide(ways.credentials)
        yield made


async def _all(clusters: list[ClusterSteps]) -> AsyncIterator[Finding]:
    for cluster in clusters:
        async for one in cluster.run():
            yield one
        if cluster.state is not None:
            async for one in _release(cluster, cluster.state.desired.image):
                yield one
            yield await _signature(cluster, cluster.state.desired.image)
            yield await _graph(cluster)
        else:
            why = "ClusterVersion cannot be read, see above"
            for name in ("release", "signature", "update graph"):
                yield skipped(f"{cluster.prefix}{name}", why)
        async for one in cluster.bases():
            yield one


async def _release(cluster: ClusterSteps, image: Pullspec) -> AsyncIterator[Finding]:
    async for one in cluster.places.read(image, "release"):
        yield one
    what = f"{cluster.prefix}release: contents"
    if image not in cluster.places.found:
        yield skipped(what, "its manifest is not there, see above")
        return

    async def read() -> tuple[str, None]:
        payload = await cluster.read_release(image)
        assert cluster.state is not None
        version = cluster.state.desired.version
        if payload.version != version:
            raise Refused(
                f"it says that it is {payload.version}, and ClusterVersion that it is {version}: "
                "look at what was mirrored under its name"
            )
        return f"{version}, {counted(len(payload.tags), 'image')}", None

    seconds = cluster.common.patience.payload_seconds
    yield (await tried(what, read(), seconds=seconds)).finding


async def _signature(cluster: ClusterSteps, image: Pullspec) -> Finding:
    what = f"{cluster.prefix}signature"
    setting = Verify(cluster.common.settings.release.verify)
    if setting is Verify.OFF:
        return skipped(what, "release.verify is off, so nobody looks at it")
    seconds = cluster.common.patience.payload_seconds
    looking = await tried(what, _ruling(cluster, image, setting), seconds=seconds)
    if looking.result is None:
        return looking.finding
    ruling, proof = looking.result
    if ruling.blocks:
        return Finding(Level.FAILED, what, ruling.blocks, proof is Proof.UNREACHABLE)
    return Finding(Level.OK if proof is Proof.GOOD else Level.WARNING, what, ruling.told)


async def _ruling(
    cluster: ClusterSteps, image: Pullspec, setting: Verify
) -> tuple[str, tuple[Ruling, Proof]]:
    assert cluster.cluster is not None
    assert cluster.view is not None
    assert cluster.state is not None
    seen = Seen(cluster.cluster, cluster.view)
    settings = cluster.common.settings.release
    async with Stores() as stores:
        signatures = GpgSignatures(
            settings, {seen.name: seen}, gpgv=Gpgv(), stores=stores, clock=SystemClock()
        )
        verdict = await signatures.verdict(seen.name, image)
    ruling = genuine.ruling(
        setting,
        verdict,
        version=cluster.state.desired.version,
        taken_unverified=cluster.state.taken_unverified,
    )
    return ruling.told, (ruling, verdict.proof)


async def _graph(cluster: ClusterSteps) -> Finding:
    what = f"{cluster.prefix}update graph"
    version = cluster.view.cluster_version if cluster.view else None
    if version is None or not version.channel:
        return skipped(what, "the cluster is in no channel (spec.channel of ClusterVersion)")
    seconds = cluster.common.patience.step_seconds
    said = cluster.common.settings.release.graph_url
    asking = await tried(what, _asked(cluster, version, said, seconds), seconds=seconds + 1)
    if asking.error is None:
        return asking.finding
    why = (
        f"{asking.error or asking.finding.said}; offline that is normal: what ClusterVersion says "
        "is used instead. Else name a service in release.graph_url, or in spec.upstream"
    )
    return Finding(Level.WARNING, what, why)


async def _asked(
    cluster: ClusterSteps, version: ClusterVersion, said: str, seconds: float
) -> tuple[str, None]:
    nodes = cluster.view.nodes.values() if cluster.view else ()
    architecture = graph.architecture_of(version, [node.architecture for node in nodes])
    async with GraphClient.opened(answer_seconds=seconds) as client:
        seen = await client.graph(
            url=graph.service_of(version, said),
            channel=version.channel,
            architecture=architecture,
            version=version.desired_version,
        )
    releases = counted(len(seen.graph.nodes), "release")
    knows = "is" if seen.graph.node(version.desired_version) else "is not"
    return (
        f"channel {version.channel} for {architecture} has {releases}; "
        f"{version.desired_version} {knows} among them"
    ), None
