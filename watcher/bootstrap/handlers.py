"""What carries out each action."""

from watcher.bootstrap.app import App
from watcher.bootstrap.clients import read_recipe
from watcher.engine import Handler


def handlers_of(app: App) -> dict[type, Handler]:
    """Return what carries out each action."""
    from handlers import build as building
    from handlers.apply import ApplyHandler
    from handlers.ask_approval import AskApprovalHandler
    from handlers.await_build import AwaitBuildHandler
    from handlers.clear import ClearHandler
    from handlers.follow import FollowHandler
    from handlers.roll_back import RollBackHandler
    from handlers.verify import VerifyHandler
    from watcher.core import build, update_events
    from watcher.pausing import Pauses
    from watcher.scout import Scout

    poll = app.settings.work.rollout_poll_seconds
    scout = Scout(app.settings, app.observer, app.images, app.clock, app.store)
    pauses = Pauses(app.clusters, app.store, app.clock)
    follow = FollowHandler(app.clusters, app.store, app.clock, poll, pauses)
    return {
        build.StartBuild: building.start,
        build.RunBuild: building.RunBuildHandler(
            app.builders, lambda name: read_recipe(app.settings, name), app.store
        ),
        build.VerifyImage: VerifyHandler(app.images),
        update_events.AwaitBuild: AwaitBuildHandler(app.store),
        update_events.AskApproval: AskApprovalHandler(app.store, app.clock),
        update_events.ClearForApply: ClearHandler(scout, app.clusters, app.store, app.clock, poll),
        update_events.Apply: ApplyHandler(scout, app.clusters),
        update_events.FollowRollout: follow.follow,
        update_events.Soak: follow.soak,
        update_events.RollBack: RollBackHandler(app.clusters, app.store, app.clock, poll),
    }
