"""What builds and updates have in common, for the store and the workers."""

from enum import StrEnum

from watcher.core import build, update
from watcher.core.build import Build, BuildAction, BuildEvent
from watcher.core.update import Update
from watcher.core.update_events import UpdateAction, UpdateEvent

Job = Build | Update
Event = BuildEvent | UpdateEvent
Action = BuildAction | UpdateAction


class JobKind(StrEnum):
    BUILD = "build"
    UPDATE = "update"


def kind_of(job: Job) -> JobKind:
    return JobKind.BUILD if isinstance(job, Build) else JobKind.UPDATE


def dedupe_key(job: Job) -> str:
    """What there may be only one of: a build by its key, an active update by its pool."""
    if isinstance(job, Build):
        return f"build:{job.key}"
    return f"update:{job.cluster}/{job.pool}"


def owns_key(job: Job) -> bool:
    """An ended update frees its pool; a build that is ready keeps its key, so that it is reused."""
    if isinstance(job, Build):
        return job.state is not build.BuildState.FAILED
    return not job.is_ended


def action_for(job: Job) -> Action | None:
    """Return what the job waits for us to do."""
    return build.action_for(job) if isinstance(job, Build) else update.action_for(job)
