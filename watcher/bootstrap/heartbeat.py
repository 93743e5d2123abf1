"""The dead man's switch put together: what it looks at, and to whom it is sent."""

from contextlib import AsyncExitStack

from watcher.bootstrap.app import App
from watcher.bootstrap.clients import secret_of
from watcher.heartbeat import BeatMeter, Heartbeat, Send
from watcher.planning import Leadership


async def open_heartbeat(
    app: App, leadership: Leadership, meter: BeatMeter, stack: AsyncExitStack
) -> Heartbeat:
    """Join it; nothing runs yet. Raise Refused for a secret or a CA file that cannot be read."""
    said, send = app.settings.alerts.heartbeat, None
    if said.url:
        send = await _receiver(app, stack)
    return Heartbeat(
        store=app.store,
        clock=app.clock,
        leadership=leadership,
        surveyed=app.surveys.surveyed,
        clusters=tuple(app.clusters),
        settings=app.settings.alerts,
        meter=meter,
        send=send,
    )


async def _receiver(app: App, stack: AsyncExitStack) -> Send:
    from watcher.clients.beating import opened_heartbeat
    from watcher.clients.hooks import Webhook

    said = app.settings.alerts.heartbeat
    is_signed = said.secret_file is not None or said.secret_env
    secret = secret_of(said.secret_file, said.secret_env, "alerts.heartbeat") if is_signed else None
    hook = Webhook(name="", kind="heartbeat", url=said.url, secret=secret, ca_file=said.ca_file)
    return await stack.enter_async_context(opened_heartbeat(hook, clock=app.clock))
