"""Wait for the build that an update needs; several updates may wait for the same one."""

from dataclasses import dataclass

from watcher import moving
from watcher.core.build import Build, BuildState
from watcher.core.update import Update
from watcher.core.update_events import AwaitBuild, BuildReady, Failed
from watcher.ports import Later, StillOurs, Store

BACKSTOP_SECONDS = 60.0
"""The end of a build wakes its updates; this is for a wake that was lost."""


@dataclass(frozen=True, slots=True)
class AwaitBuildHandler:
    store: Store

    async def __call__(
        self, update: Update, action: AwaitBuild, still_ours: StillOurs
    ) -> BuildReady | Failed | Later:
        """Return what became of the build, or wait."""
        try:
            build = (await self.store.get(update.build)).job
        except KeyError:
            return Failed(f"its build {update.build} is gone from the store")
        assert isinstance(build, Build), f"{update.build} is no build"
        if build.state is BuildState.READY and build.image is not None:
            return BuildReady(build.image)
        if build.state is BuildState.FAILED:
            because = f"build {build.id} failed: {build.ended_because}"
            # Remembered first, so that the next look at the pool does not order it again.
            await self.store.remember(update.cluster, update.pool, update.target.build_key, because)
            return Failed(because)
        progress = await self.store.progress(build.id)
        await moving.show(
            self.store, update.id, {"build": build.id, "build_state": build.state, **progress}
        )
        return Later(BACKSTOP_SECONDS)
