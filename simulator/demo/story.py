"""The story: set the world up, run the real service in it, start an upgrade, see it through.

The service is the one of `relayer run`, from `watcher.bootstrap.serve`; the story only plays the
people around it: the administrator who upgrades the cluster, and whoever approves, on the screen,
on the page, or in Slack.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from simulator.demo.outcome import Outcome, judged
from simulator.demo.scene import Happening, Scene, happenings, look
from simulator.demo.slack import DemoSlack, NoAnswer, demo_slack
from simulator.demo.world import CLUSTER, POOL, DemoWorld, demo_world, time_running
from watcher.bootstrap import App, serve
from watcher.clock import SystemClock
from watcher.core.update import NOT_BEGUN, Update
from watcher.core.update_events import UpdateState
from watcher.errors import Declined
from watcher.settings import Settings

SETUP_SPEED = 3000.0
SETUP_SECONDS = 60.0
LOOK_SECONDS = 0.08
"""How often the screen follows; a simulated node takes over a second for each of its states."""
UNATTENDED_SECONDS = 60.0
SIMULATED_SECONDS = 4000.0
"""Two to three times what the whole story takes on the cluster's clock."""
SAYING_SECONDS = 15.0
"""How long is waited for the last words in Slack, which takes one message a second."""
YES = "demo:--yes"
KEYBOARD = "demo:keyboard"
FAULT = "no space left on device (the demo's --fail-node)"


class DemoError(Exception):
    """The demo cannot go on; the sentence says why."""


class Left(Exception):
    """The person wants to leave: Ctrl-C, SIGTERM or `q`."""


class Screen(Protocol):
    """Where the story is told."""

    def tell(self, happening: Happening) -> None: ...

    def show(self, scene: Scene) -> None: ...

    def ask(self, update: Update, url: str) -> None:
        """A person is needed, here or on the page."""

    def end(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    yes: bool = False
    fail_node: bool = False
    slack: bool = False
    """People are asked in a simulated Slack, and answer there."""
    speed: float = 150.0
    """Simulated seconds in a real one."""
    port: int = 0


class Leave(asyncio.Event):
    """Set when somebody wants to leave, by a signal."""

    def on_signals(self) -> None:
        """Listen to Ctrl-C, SIGTERM, and SIGHUP (the terminal was closed)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.set)

    def check(self) -> None:
        """Raise Left if somebody wants to."""
        if self.is_set():
            raise Left


@dataclass(frozen=True, slots=True)
class Service:
    app: App
    port: int


@asynccontextmanager
async def serving(settings: Settings, leave: Leave) -> AsyncIterator[Service]:
    """Run the service until left, then let it end in its own way. Raise what it dies of."""
    leave.check()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        started: asyncio.Future[tuple[App, int]] = asyncio.get_running_loop().create_future()

        def ready(app: App, port: int) -> None:
            started.set_result((app, port))

        running = group.create_task(serve(settings, stop=stop, ready=ready))
        await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            await running
            raise DemoError("the service ended before it was ready")
        try:
            yield Service(*started.result())
        finally:
            stop.set()
            # An error would have the group cancel it: that is no orderly end.
            await asyncio.wait((running,))
    leave.check()


async def layer_before(world: DemoWorld, directory: Path, leave: Leave) -> None:
    """Give the pool its layered image of the old release, as an earlier Relayer would have.

    That one is the same service with a memory of its own, which is then lost: what the story's
    service knows of the past it reads from the cluster.
    """
    async with (
        time_running(world.cluster, SETUP_SPEED),
        serving(world.before(directory / "before"), leave) as service,
    ):
        loop = asyncio.get_running_loop()
        until = loop.time() + SETUP_SECONDS
        while True:
            seen = await look(service.app)
            if seen.update and seen.update.is_ended and world.cluster.is_settled(POOL):
                break
            leave.check()
            if loop.time() > until:
                raise DemoError(f"setting up took over {SETUP_SECONDS:.0f} s: {_stands(seen)}")
            await asyncio.sleep(LOOK_SECONDS)
        if seen.update.state is not UpdateState.DONE:
            raise DemoError(f"setting up failed: {_stands(seen)}")


@dataclass(slots=True, kw_only=True)
class Story:
    world: DemoWorld
    service: Service
    screen: Screen
    options: Options
    keys: asyncio.Queue[str]
    leave: Leave
    slack: DemoSlack | None = None
    image_before: str = field(init=False)
    _asked: bool = False
    _upgrading: bool = False

    def __post_init__(self) -> None:
        self.image_before = self.world.override()

    @property
    def app(self) -> App:
        return self.service.app

    async def run(self) -> Outcome:
        """Tell it to its end. Raise Left or DemoError."""
        loop = asyncio.get_running_loop()
        limit = UNATTENDED_SECONDS + SIMULATED_SECONDS / self.options.speed
        unattended = self.options.yes or self.slack is not None
        until = loop.time() + limit if unattended else float("inf")
        before: Scene | None = None
        while True:
            scene = await look(self.app)
            for happening in happenings(before, scene):
                self.screen.tell(happening)
            self._tell_slack(scene)
            self.screen.show(scene)
            if scene.update and scene.update.is_ended:
                break
            if loop.time() > until:
                raise DemoError(f"not at its end after {limit:.0f} s: {_stands(scene)}")
            await self._play(scene)
            before = scene
            await self._key(scene.update)
        await self._last_words()
        return await judged(
            self.app,
            self.world,
            failing=self.options.fail_node,
            image_before=self.image_before,
            slack=self.slack,
        )

    def _tell_slack(self, scene: Scene) -> None:
        for happening in self.slack.news(scene.at) if self.slack else ():
            self.screen.tell(happening)

    async def _last_words(self) -> None:
        """Let Slack be told everything, and read it; what is not said by then is judged."""
        if self.slack is None:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + SAYING_SECONDS
        while await self.app.store.outbox.marked(1) and loop.time() < until:
            self._tell_slack(await look(self.app))
            await asyncio.sleep(LOOK_SECONDS)
            self.leave.check()
        scene = await look(self.app)
        self._tell_slack(scene)
        for happening in self.slack.thread(scene.at):
            self.screen.tell(happening)

    async def _play(self, scene: Scene) -> None:
        """What people do of their own accord."""
        if not self._upgrading:
            if scene.pools and scene.pools[POOL].decision == "InStep":
                self._upgrading = True
                self.world.cluster.start_upgrade(self.world.new)
                self._tell("UpgradeRequested", f"oc adm upgrade --to {self.world.new.version}")
            return
        update = scene.update
        if update and update.state is UpdateState.AWAITING_APPROVAL and not self._asked:
            self._asked = True
            if self.options.fail_node:
                image = str(update.image)
                self.world.cluster.degrade_next(when_image=image, pool=POOL, reason=FAULT)
                self._tell("NodeWillFail", "the first infra node to take the new image will fail")
            if self.slack is not None:
                return
            if self.options.yes:
                await self._decide("a", YES, update)
            else:
                self.screen.ask(update, page_url(self.service.port, self.world.token))
        if update and update.state is UpdateState.AWAITING_APPROVAL and self.slack is not None:
            await self._click(self.slack, update)

    async def _click(self, slack: DemoSlack, update: Update) -> None:
        """What the people in Slack do, one after the other."""
        if (found := slack.next_click(update.id)) is None:
            return
        user, click = found
        self._tell("Clicked", f"@{user.name} presses Approve in Slack")
        try:
            await slack.click(click)
        except NoAnswer as error:
            raise DemoError(str(error)) from error

    async def _key(self, update: Update | None) -> None:
        """Wait a moment, or less if a key comes."""
        key = ""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                key = await self.keys.get()
        except TimeoutError:
            pass
        self.leave.check()
        if key == "q":
            raise Left
        if key in ("a", "r") and not self.slack and update and update.state in NOT_BEGUN:
            await self._decide(key, KEYBOARD, update)

    async def _decide(self, key: str, by: str, update: Update) -> None:
        people = self.app.people
        try:
            if key == "a":
                binding = update.binding.digest() if update.image else None
                await people.approve(update.id, by=by, binding=binding)
            else:
                await people.reject(update.id, by=by, reason="said no in the demo")
        except Declined as declined:
            self._tell("Declined", str(declined))

    def _tell(self, event: str, detail: str) -> None:
        self.screen.tell(of_demo(event, detail))


def of_demo(event: str, detail: str) -> Happening:
    """A line about what the demo itself does."""
    return Happening(SystemClock().now(), "demo", CLUSTER, event, "", detail)


def page_url(port: int, token: str) -> str:
    """The local page, with the right to decide; the part after # never leaves the browser."""
    return f"http://127.0.0.1:{port}/#token={token}"


def _stands(scene: Scene) -> str:
    update = scene.update
    if update is None:
        pool = scene.pools.get(POOL)
        return f"no update; {pool.because if pool else 'the pool was not seen'}"
    said = update.ended_because or scene.waiting
    return f"{update.id} is {update.state}" + (f" ({said})" if said else "")


async def play(
    options: Options, *, directory: Path, screen: Screen, keys: asyncio.Queue[str]
) -> Outcome:
    """The whole demo. Raise Left, DemoError, or what the service died of (maybe in groups)."""
    leave = Leave()
    leave.on_signals()
    async with demo_world(directory) as world:
        screen.tell(of_demo("SettingUp", f"{POOL} gets its layered image of {world.old.version}"))
        await layer_before(world, directory, leave)
        settings = world.settings_on(options.port)
        async with AsyncExitStack() as stack:
            slack = await stack.enter_async_context(demo_slack()) if options.slack else None
            if slack is not None:
                settings = slack.connected(settings, directory)
            await stack.enter_async_context(time_running(world.cluster, options.speed))
            service = await stack.enter_async_context(serving(settings, leave))
            story = Story(
                world=world,
                service=service,
                screen=screen,
                options=options,
                keys=keys,
                leave=leave,
                slack=slack,
            )
            outcome = await story.run()
    screen.end(outcome)
    return outcome
