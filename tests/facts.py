"""Facts with defaults, so that a test names only what it is about.

The default world: cluster `prod` on 4.16.3, completed; pool `infra` of three nodes on the layered
image of recipe `gpu`, built on 4.16.3's base; everything is in step.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from watcher.core import lineage, mco
from watcher.core.approval import Approval, ApprovalRules, Vote
from watcher.core.build import Build
from watcher.core.cluster import (
    ClusterVersion,
    ClusterView,
    Condition,
    HistoryEntry,
    MachineConfig,
    Meta,
    Node,
    Pool,
    Requirement,
    Selector,
)
from watcher.core.drift import Observation, RecipeSeen, Running
from watcher.core.facts import ClusterName, Digest, PoolName, Pullspec, Repository
from watcher.core.genuine import Ruling
from watcher.core.lineage import Lineage
from watcher.core.recipe import Recipe
from watcher.core.release import Base, Release, ReleaseState, Stage
from watcher.core.update import Policy, Target, Update
from watcher.core.update_events import Kind, UpdateState

T0 = datetime(2026, 11, 18, 8, 0, tzinfo=UTC)
"""A Wednesday."""
PROD, INFRA = ClusterName("prod"), PoolName("infra")
OURS = "99-infra-relayer-osimage"
TARGET = Repository("registry.example.com/os/gpu")


def digest(of: str) -> Digest:
    return Digest("sha256:" + hashlib.sha256(of.encode()).hexdigest())


def image(of: str, repository: str = "registry.example.com/os/gpu") -> Pullspec:
    return Repository(repository).at(digest(of))


def base_image(version: str) -> Pullspec:
    return image(f"base {version}", "quay.io/openshift-release-dev/ocp-v4.0-art-dev")


def release_image(version: str) -> Pullspec:
    return image(f"release {version}", "quay.io/openshift-release-dev/ocp-release")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


# --- jobs ----------------------------------------------------------------------------------------

RECIPE_DIGEST = digest("recipe gpu")


def a_recipe(of: str = "recipe gpu", name: str = "gpu") -> Recipe:
    return Recipe(name=name, containerfile="FROM base\n", digest=digest(of), target=TARGET)


def a_target(version: str = "4.16.3", build_key: str = "") -> Target:
    return Target(
        release_version=version,
        release_image=release_image(version),
        base=base_image(version),
        recipe="gpu",
        recipe_digest=RECIPE_DIGEST,
        build_key=build_key or f"key of {version}",
    )


def a_policy(*, auto: bool = False, quorum: int = 1, approvers: tuple[str, ...] = ()) -> Policy:
    return Policy(approval=ApprovalRules(auto=auto, quorum=quorum, approvers=approvers))


def an_update(**said: Any) -> Update:
    """In the state that is asked for; with an image where that state cannot be without one."""
    state = said.get("state", UpdateState.WAITING_FOR_BUILD)
    default: dict[str, Any] = {
        "id": "u-1",
        "cluster": PROD,
        "pool": INFRA,
        "kind": Kind.LAYERED,
        "target": a_target(),
        "policy": a_policy(),
        "because": "its base is old",
        "requested_by": "relayer",
        "created_at": T0,
        "changed_at": T0,
        "build": "b-1",
    }
    if state is not UpdateState.WAITING_FOR_BUILD:
        default |= {"image": image("new"), "expires_at": T0 + seconds(24 * 3600)}
    made = Update(**{**default, **said})
    if state in (UpdateState.WAITING_FOR_BUILD, UpdateState.AWAITING_APPROVAL):
        return made
    return made if "approval" in said else approved(made)


def approved(update: Update, *, by: str = "ann", at: datetime = T0) -> Update:
    """With the approval that `by` alone would have given."""
    until = at + seconds(update.policy.approval.keep_seconds)
    given = Approval(binding=update.binding, by=(by,), at=at, until=until)
    if update.state is UpdateState.SCHEDULED:
        return replace(update, approval=given, expires_at=until)
    return replace(update, approval=given, expires_at=None)


def a_vote(update: Update, by: str = "ann", at: datetime = T0) -> Vote:
    return Vote(by=by, at=at, binding=update.binding)


def a_build(**said: Any) -> Build:
    default: dict[str, Any] = {
        "id": "b-1",
        "key": "key of 4.16.3",
        "base": base_image("4.16.3"),
        "base_version": "4.16.3",
        "recipe": "gpu",
        "recipe_digest": RECIPE_DIGEST,
        "target": TARGET,
        "platforms": ("linux/amd64",),
        "created_at": T0,
        "changed_at": T0,
    }
    return Build(**{**default, **said})


# --- clusters ------------------------------------------------------------------------------------


def a_version(
    version: str = "4.16.3", *, completed: bool = True, before: str = "4.16.1", **said: Any
) -> ClusterVersion:
    """`completed` False: the upgrade from `before` is under way."""
    newest = HistoryEntry(
        state="Completed" if completed else "Partial",
        version=version,
        image=release_image(version),
    )
    older = HistoryEntry(state="Completed", version=before, image=release_image(before))
    default: dict[str, Any] = {
        "meta": Meta(name="version"),
        "desired_version": version,
        "desired_image": release_image(version),
        "history": (newest, older),
    }
    return ClusterVersion(**{**default, **said})


def conditions(**said: str) -> tuple[Condition, ...]:
    """`conditions(Updated="True")`; a message may follow a colon: "True:why"."""
    return tuple(
        Condition(type=kind, status=text.partition(":")[0], message=text.partition(":")[2])
        for kind, text in said.items()
    )


SETTLED = conditions(Updated="True", Updating="False", Degraded="False")


def a_pool(name: str = "infra", *, nodes: int = 3, **said: Any) -> Pool:
    """A custom pool where all nodes have what `spec` says."""
    roles = ("worker",) if name == "worker" else ("worker", name)
    default: dict[str, Any] = {
        "meta": Meta(name=name, generation=1, resource_version="1"),
        "machine_config_selector": Selector(
            match_expressions=(Requirement(key=mco.ROLE, operator="In", values=roles),)
        ),
        "node_selector": Selector(match_labels={f"node-role.kubernetes.io/{name}": ""}),
        "spec_configuration": f"rendered-{name}-1",
        "status_configuration": f"rendered-{name}-1",
        "spec_sources": (mco.override_name(PoolName(name)),),
        "observed_generation": 1,
        "machine_count": nodes,
        "updated_count": nodes,
        "ready_count": nodes,
        "conditions": SETTLED,
    }
    return Pool(**{**default, **said})


def a_node(name: str, *roles: str, has: str = "", wants: str = "", state: str = "Done") -> Node:
    """A node that has one rendered MachineConfig and is told to take another (or the same)."""
    annotations = {
        mco.CURRENT_CONFIG: has,
        mco.DESIRED_CONFIG: wants or has,
        mco.NODE_STATE: state,
    }
    labels = {f"node-role.kubernetes.io/{role}": "" for role in roles}
    meta = Meta(name=name, labels=labels, annotations=annotations)
    return Node(meta=meta, ready=True, architecture="amd64")


def some_nodes(number: int, *, has: str = "rendered-infra-1", **said: str) -> dict[str, Node]:
    names = [f"node-{n}" for n in range(number)]
    return {name: a_node(name, "worker", "infra", has=has, **said) for name in names}


def a_machine_config(
    name: str, role: str = "infra", os_image_url: str = "", **annotations: str
) -> MachineConfig:
    meta = Meta(name=name, labels={mco.ROLE: role} if role else {}, annotations=annotations)
    return MachineConfig(meta=meta, os_image_url=os_image_url)


def generated(name: str, role: str, os_image_url: str) -> MachineConfig:
    return a_machine_config(name, role, os_image_url, **{mco.GENERATED_BY: "hash"})


def our_override(of: Update, *, os_image_url: str | None = None) -> MachineConfig:
    """What an update wrote; with another image, as if somebody had edited it since."""
    url = str(of.image) if os_image_url is None else os_image_url
    return a_machine_config(OURS, "infra", url, **lineage.to_annotations(of))


def a_view(
    *,
    pools: tuple[Pool, ...] = (),
    machine_configs: tuple[MachineConfig, ...] = (),
    nodes: Mapping[str, Node] | None = None,
    **said: Any,
) -> ClusterView:
    default: dict[str, Any] = {
        "cluster": PROD,
        "observed_at": T0,
        "cluster_version": a_version(),
        "pools": {pool.meta.name: pool for pool in pools},
        "machine_configs": {mc.meta.name: mc for mc in machine_configs},
        "nodes": nodes or {},
    }
    return ClusterView(**{**default, **said})


# --- observations --------------------------------------------------------------------------------


def a_release(version: str = "4.16.3", *, completed: bool = True) -> ReleaseState:
    return ReleaseState(
        desired=Release(version=version, image=release_image(version)),
        stage=Stage.COMPLETED if completed else Stage.IN_PROGRESS,
        completed=completed,
        sentence=f"{version} is completed" if completed else f"upgrading to {version}",
    )


def a_base(version: str = "4.16.3") -> Base:
    release = Release(version=version, image=release_image(version))
    return Base(image=base_image(version), release=release, stream="rhel-9", source="payload")


def a_lineage(version: str = "4.16.3") -> Lineage:
    return Lineage(
        base=base_image(version).digest,
        recipe=RECIPE_DIGEST,
        build_key=f"key of {version}",
        release_version=version,
    )


def running(version: str = "4.16.3", *, ours: bool = True, **said: Any) -> Running:
    default: dict[str, Any] = {
        "machine_config": OURS if ours else "50-by-hand",
        "image": str(image(f"layered {version}")),
        "ours": ours,
        "lineage": a_lineage(version),
    }
    return Running(**{**default, **said})


def an_observation(version: str = "4.16.3", **said: Any) -> Observation:
    """A pool in step with its cluster on `version`."""
    default: dict[str, Any] = {
        "cluster": PROD,
        "pool": a_pool(),
        "observed_at": T0,
        "release": a_release(version),
        "genuine": Ruling(told="its signature is good"),
        "base": a_base(version),
        "recipe": RecipeSeen(name="gpu", digest=RECIPE_DIGEST, build_key=f"key of {version}"),
        "running": running(version),
        "would_win": OURS,
        "our_name": OURS,
    }
    return Observation(**{**default, **said})
