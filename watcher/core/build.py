"""The life of one build: recipe × base × platforms → a layered image by digest.

The table is the only place that says which state may follow which, and the source of
docs/lifecycle.mmd. A build never touches a cluster; every pool that wants the same key shares it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from watcher.core.facts import NO_CLUSTER, ClusterName, Digest, Pullspec, Repository
from watcher.core.transition import IllegalTransition


class BuildState(StrEnum):
    QUEUED = "queued"
    BUILDING = "building"
    VERIFYING = "verifying"
    READY = "ready"
    FAILED = "failed"


# Events: what happened.
@dataclass(frozen=True, slots=True)
class BuildStarted: ...


@dataclass(frozen=True, slots=True)
class Built:
    image: Pullspec


@dataclass(frozen=True, slots=True)
class Verified:
    image: Digest


@dataclass(frozen=True, slots=True)
class BuildFailed:
    because: str


BuildEvent = BuildStarted | Built | Verified | BuildFailed


# Actions: what must now be done.
@dataclass(frozen=True, slots=True)
class StartBuild: ...


@dataclass(frozen=True, slots=True)
class RunBuild: ...


@dataclass(frozen=True, slots=True)
class VerifyImage:
    image: Pullspec


BuildAction = StartBuild | RunBuild | VerifyImage

S = BuildState
BUILD_TRANSITIONS: dict[BuildState, dict[type, BuildState]] = {
    S.QUEUED: {BuildStarted: S.BUILDING, BuildFailed: S.FAILED},
    S.BUILDING: {Built: S.VERIFYING, BuildFailed: S.FAILED},
    S.VERIFYING: {Verified: S.READY, BuildFailed: S.FAILED},
    S.READY: {},
    S.FAILED: {},
}
BUILD_ENDS = frozenset(state for state, out in BUILD_TRANSITIONS.items() if not out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    id: str
    key: str
    """hash(base digest, recipe digest, platforms, builder options): see `recipe.build_key`."""
    base: Pullspec
    base_version: str
    """Version of the release the base came from, for labels and people."""
    recipe: str
    recipe_digest: Digest
    target: Repository
    platforms: tuple[str, ...]
    created_at: datetime
    changed_at: datetime
    state: BuildState = BuildState.QUEUED
    image: Pullspec | None = None
    ended_because: str = ""
    cluster: ClusterName = NO_CLUSTER
    """Whose pool wanted it first: with its mirrors and logins the base is read."""

    @property
    def is_ended(self) -> bool:
        return self.state in BUILD_ENDS


def step(build: Build, event: BuildEvent, *, now: datetime) -> Build:
    """Return the build after `event`; raise IllegalTransition, else never."""
    state = BUILD_TRANSITIONS[build.state].get(type(event))
    if state is None:
        raise IllegalTransition(build.state, event)
    after = replace(build, state=state, changed_at=now)
    match event:
        case Built(image):
            return replace(after, image=image)
        case Verified(image):
            if build.image is None or image != build.image.digest:
                # What was verified must be what was built: a tag may have moved in between.
                raise IllegalTransition(build.state, event, "it names another image")
            return after
        case BuildFailed(because):
            return replace(after, ended_because=because)
        case BuildStarted():
            return after
        case never:
            assert_never(never)


def action_for(build: Build) -> BuildAction | None:
    """Return what this build waits for us to do; also how work resumes after a crash."""
    match build.state:
        case BuildState.QUEUED:
            return StartBuild()
        case BuildState.BUILDING:
            return RunBuild()
        case BuildState.VERIFYING:
            assert build.image is not None, f"build {build.id} is verifying without an image"
            return VerifyImage(build.image)
        case BuildState.READY | BuildState.FAILED:
            return None
        case never:
            assert_never(never)
