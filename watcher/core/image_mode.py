"""On-cluster layering as far as it is told: how a pool's build stands, and what its image is.

Nothing is decided about such pools: MCO is their owner. Source: machine-config-operator
pkg/controller/build (the base of a build is the osImageURL of its rendered MachineConfig).
"""

from collections.abc import Mapping

from watcher.core.cluster import ClusterView, MachineOsBuild, MachineOsConfig, Pool
from watcher.core.facts import Malformed, Pullspec
from watcher.core.lineage import Lineage, SaidBy
from watcher.core.stages import line

_SAID = {
    "Failed": "its build failed",
    "Interrupted": "its build broke off",
    "Succeeded": "it is built",
    "Building": "it is being built",
    "Prepared": "its build is about to begin",
}
"""Conditions of a MachineOSBuild, those that are an end first."""
_WITH_WHY = ("Failed", "Interrupted")
_OF_POOL = {
    "BuildFailed": "its build failed",
    "BuildInterrupted": "its build broke off",
    "ImageBuildDegraded": "its build is degraded",
    "Building": "it is being built",
    "BuildPending": "its build waits",
    "BuildSuccess": "it is built",
}
"""Conditions of a pool in image mode, the one that needs somebody first."""
_LONGEST_WHY = 200


def owners(view: ClusterView) -> Mapping[str, MachineOsConfig]:
    """Return the MachineOSConfig of each pool that has one."""
    found: dict[str, MachineOsConfig] = {}
    for owner in view.machine_os_configs.values():
        found.setdefault(owner.pool, owner)
    return found


def current_build(view: ClusterView, pool: Pool, owner: MachineOsConfig) -> MachineOsBuild | None:
    """Return the build that counts now: the one its owner names, else that of the pool's config."""
    named = view.machine_os_builds.get(owner.current_build)
    if named is not None and named.os_config == owner.meta.name:
        return named
    of_pool = (
        build
        for build in view.machine_os_builds.values()
        if build.os_config == owner.meta.name
        and build.machine_config == pool.spec_configuration != ""
    )
    return max(of_pool, key=lambda one: one.meta.name, default=None)


def build_said(pool: Pool, build: MachineOsBuild | None) -> str:
    """Return how the build stands, in words; by the pool's conditions where no build was seen."""
    if build is None:
        return next((text for kind, text in _OF_POOL.items() if pool.is_true(kind)), "")
    true = {c.type: c for c in build.conditions if c.status == "True"}
    kind = next((kind for kind in _SAID if kind in true), "")
    if not kind:
        return "its build waits"
    why = line(true[kind].message or true[kind].reason, limit=_LONGEST_WHY)
    return f"{_SAID[kind]}: {why}" if why and kind in _WITH_WHY else _SAID[kind]


def lineage_by_build(view: ClusterView, owner: MachineOsConfig) -> Lineage:
    """Return what the objects of the cluster tell about the base of its present image.

    Unknown where the build that gave it is gone, or never was.
    """
    image = owner.current_image
    made = (b for b in view.machine_os_builds.values() if image and b.image == image)
    for build in made:
        rendered = view.machine_configs.get(build.machine_config)
        try:
            base = Pullspec(rendered.os_image_url) if rendered else None
        except Malformed:
            continue
        if base is not None:
            return Lineage(base=base.digest, base_image=base, said_by=SaidBy.RENDERED)
    return Lineage()
