"""`relayer lineage`: which base an image was built on, who says so, and how old that is."""

from dataclasses import dataclass, field
from typing import Any

from watcher.ancestry import Ancestors, Ancestry
from watcher.cli import output, reach
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, pairs, say, tell
from watcher.cli.reach import Flags, Need, Reach
from watcher.clients.access import Fixed
from watcher.clients.graph import GraphClient
from watcher.clients.images import RegistryImages
from watcher.clients.registry import RegistrySettings
from watcher.clients.registry.errors import clean
from watcher.core import graph, lag, os_version
from watcher.core.cluster import ClusterVersion
from watcher.core.facts import Malformed, Pullspec
from watcher.core.graph import Graph
from watcher.core.lineage import SaidBy
from watcher.errors import OutsideError

SAID_BY = {
    SaidBy.OURS: "Relayer's labels on the image",
    SaidBy.BASE_ANNOTATION: "the base annotation of the image",
    SaidBy.ON_CLUSTER: "the labels of on-cluster layering",
    SaidBy.RENDERED: "the rendered MachineConfig that it was built from",
    SaidBy.LAYERS: "its first layers, which are those of the base",
    SaidBy.OS_VERSION: "its OS version, which is that of the base",
    SaidBy.UNKNOWN: "nobody",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    image: str
    architecture: str = "amd64"
    stream: str = ""
    thorough: bool = False
    flags: Flags = field(default_factory=Flags)


async def lineage(
    asked: Question, form: Format, *, patience: RegistrySettings | None = None
) -> Code:
    """Print what is known; NOT_FOUND if nobody can say which base it is."""
    async with (
        reach.opened(asked.flags, cluster=Need.HELP, patience=patience) as at,
        GraphClient.opened() as graphs,
    ):
        try:
            image = await reach.resolved(asked.image, at.client)
        except Malformed as error:
            raise Usage(str(error)) from error
        cv = at.view.cluster_version if at.view else None
        images = RegistryImages(Fixed(at.client))
        ancestry = Ancestry(images, graphs, graph_url=at.release.graph_url)
        found = await ancestry.of(
            image,
            asked.architecture,
            cluster=at.name,
            cluster_version=cv,
            stream=asked.stream,
            thorough=asked.thorough,
        )
        behind = await _behind(at, found, graphs, images)
    if form.is_data:
        output.data(_data(image, found, behind), form)
    else:
        _print(image, found, behind)
    return Code.NOT_FOUND if found.lineage.base is None else Code.OK


async def _behind(
    at: Reach, found: Ancestors, graphs: GraphClient, images: RegistryImages
) -> lag.Lag | None:
    """How far it is behind the cluster's release, if there is a cluster and a base."""
    cv = at.view.cluster_version if at.view else None
    had = found.lineage.release_version
    if cv is None or not had:
        return None
    built = os_version.parse(found.lineage.os_version)
    newest = await _os_version(cv, images, found.lineage.os_version)
    return lag.lag(
        had,
        behind=cv.desired_version,
        graph=await _graph(at, cv, graphs),
        cluster_version=cv,
        built=(built, newest) if built and newest else None,
    )


async def _graph(at: Reach, cv: ClusterVersion, graphs: GraphClient) -> Graph | None:
    if not cv.channel:
        return None
    try:
        answer = await graphs.graph(
            url=graph.service_of(cv, at.release.graph_url),
            channel=cv.channel,
            architecture=graph.architecture_of(cv),
            version=cv.desired_version,
        )
    except OutsideError as error:
        tell(f"the update graph cannot be asked, so only the cluster's own list counts: {error}")
        return None
    return answer.graph


async def _os_version(
    cv: ClusterVersion, images: RegistryImages, like: str
) -> os_version.OsVersion | None:
    """Of the cluster's release: of its OS images the one of the same line (RHEL 9 or 10)."""
    mine = os_version.parse(like)
    if mine is None:
        return None
    try:
        payload = await images.payload(Pullspec.parse(cv.desired_image))
    except (OutsideError, Malformed) as error:
        tell(f"how many days it is behind is not known: {error}")
        return None
    noted = payload.annotations.values()
    found = (os_version.parse(os_version.machine_os_of(said, {})) for said in noted)
    return next((it for it in found if it and it.line == mine.line), None)


def _data(image: Pullspec, found: Ancestors, behind: lag.Lag | None) -> dict[str, Any]:
    it = found.lineage
    built = os_version.parse(it.os_version)
    return {
        "image": image,
        "base": it.base_image or it.base,
        "said_by": str(it.said_by),
        "release": clean(it.release_version) or None,
        "os_version": it.os_version or None,
        "os_built_at": built.built_at.isoformat() if built else None,
        "stock": it.stock,
        "recipe": it.recipe,
        "build_key": clean(it.build_key) or None,
        "doubt": it.doubt or None,
        "behind": None
        if behind is None
        else {
            "releases": behind.releases,
            "minors": behind.minors,
            "days": behind.days,
            "said_by": str(behind.said_by),
        },
        "looked_at": list(found.looked_at),
        "gaps": list(found.gaps),
    }


def _print(image: Pullspec, found: Ancestors, behind: lag.Lag | None) -> None:
    it = found.lineage
    pairs(
        [
            ("image", image),
            ("base", it.base_image or it.base or "not known"),
            ("said by", SAID_BY[it.said_by]),
            ("release", clean(it.release_version)),
            ("OS version", it.os_version),
            ("layered", "no: it is the release's own OS image" if it.stock else ""),
            ("recipe", it.recipe),
            ("behind", _distance(behind)),
            ("doubt", it.doubt),
        ]
    )
    if it.base is None:
        looked = ", ".join(found.looked_at) or "no release"
        say(f"looked at {looked}")
    for gap in found.gaps:
        tell(gap)


def _distance(behind: lag.Lag | None) -> str:
    if behind is None:
        return ""
    parts = [(behind.minors, "minor"), (behind.releases, "release"), (behind.days, "day")]
    said = [f"{n} {unit}{'s' if n != 1 else ''}" for n, unit in parts if n]
    if not said:
        return "not known" if behind.releases is None else "not behind the cluster"
    # The cluster's own list may lack releases between the two.
    is_least = bool(behind.releases) and behind.said_by is lag.Source.CLUSTER
    return f"{'at least ' if is_least else ''}{', '.join(said)}"
