"""The demo as people and programs run it: its lines, its picture, its exit codes, what it leaves.

Each run has a directory for temporary files and a mark in its environment, so that what it leaves
behind, a file or a process, is found wherever it went.
"""

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from simulator.demo.outcome import Outcome, judged
from simulator.demo.scene import Happening, Scene, happenings
from simulator.demo.story import Leave, Options, Story, layer_before, serving
from simulator.demo.world import POOL, demo_world, time_running
from tests.facts import T0, seconds
from watcher.core.facts import Pullspec
from watcher.ports import AuditEntry

QUICK = ("--speed", "800")
LONGEST = 40.0


@dataclass(slots=True)
class Demo:
    """Runs of the demo in one directory."""

    temporary: Path
    mark: str = field(default_factory=lambda: uuid4().hex)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "DEMO_TEST_MARK": self.mark,
            "TERM": "xterm",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "simulator", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )

    def left(self) -> list[str]:
        """Files and processes that outlived their run."""
        mark = f"DEMO_TEST_MARK={self.mark}".encode()
        found = [str(path) for path in self.temporary.iterdir()]
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue  # it ended meanwhile, or is another user's
        return found


@pytest.fixture
def demo() -> Iterator[Demo]:
    # Not pytest's own directory: its path is too long for the socket of the embedded server, which
    # then lies elsewhere, and leaves an empty directory there.
    with tempfile.TemporaryDirectory(prefix="demo-") as short:
        made = Demo(Path(short))
        yield made
        assert made.left() == []


def as_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_unattended_every_line_is_json_and_the_last_says_done(demo: Demo) -> None:
    began = time.monotonic()
    ran = demo.run("--yes", "--json", "--speed", "400")
    assert ran.returncode == 0, ran.stderr
    assert time.monotonic() - began < 30
    *lines, summary = as_lines(ran.stdout)
    assert summary["result"] == "done"
    (update,) = summary["updates"]
    assert (update["cluster"], update["pool"], update["state"]) == ("prod", "infra", "done")
    assert update["nodes"] == {"total": 3, "updated": 3}
    assert update["approved_by"] == "demo:--yes"
    assert re.fullmatch(r"127\.0\.0\.1:\d+/layered/infra@sha256:[0-9a-f]{64}", update["image"])
    assert "/openshift/rhel-coreos@sha256:" in update["base"]
    assert update["signature"].startswith(("signed by ", "not proven genuine: "))
    jobs = [line for line in lines if line["kind"] in ("build", "update")]
    assert len(jobs) == summary["audit"]
    assert [line["event"] for line in jobs if line["kind"] == "build"] == [
        "Queued",
        "BuildStarted",
        "Built",
        "Verified",
    ]
    assert [line["event"] for line in jobs if line["kind"] == "update"] == [
        "Proposed",
        "BuildReady",
        "Voted",
        "Approved",
        "Cleared",
        "Applied",
        "RolledOut",
        "Soaked",
    ]
    events = [line["event"] for line in lines]
    assert events.index("Approved") < events.index("UpgradeCompleted") < events.index("Cleared")


def test_the_upgrade_is_told_before_what_it_made_possible() -> None:
    """It is seen at a look only, and the audit knows the moment of what came right after it."""
    before = Scene(at=T0, version="4.18.10")
    cleared = AuditEntry(
        at=T0 + seconds(1), job="u-1", event="Cleared", by="relayer", state="applying", pool="infra"
    )
    approved = replace(cleared, at=T0 + seconds(0.5), event="Approved")
    after = replace(before, at=T0 + seconds(2), completed=True, audit=(approved, cleared))
    told = [one.event for one in happenings(before, after)]
    assert told == ["Approved", "UpgradeCompleted", "Cleared"]


def test_a_failing_node_has_the_pool_put_back(demo: Demo) -> None:
    ran = demo.run("--yes", "--json", "--fail-node", *QUICK)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *lines, summary = as_lines(ran.stdout)
    assert summary["result"] == "rolled-back"
    (update,) = summary["updates"]
    assert (update["state"], update["nodes"]) == ("rolled-back", {"total": 3, "updated": 0})
    states = [line["state"] for line in lines if line["kind"] == "update"]
    assert states[-2:] == ["rolling-back", "rolled-back"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "{taken}"), "port {taken} of 127.0.0.1 cannot be used"),
        (("--port", "70000"), "port 70000 does not exist"),
        (("--keep", "/dev/null/x"), "directory /dev/null/x cannot be used"),
        (("--keep", "/etc"), "/etc is not empty"),
        (("--speed", "0"), "between 1 and 1000"),
    ],
    ids=["port-taken", "no-such-port", "no-such-place", "not-empty", "too-slow"],
)
def test_what_cannot_be_used_is_said_in_one_line(
    demo: Demo, arguments: tuple[str, ...], said: str, taken_port: int
) -> None:
    taken = str(taken_port)
    ran = demo.run(*(argument.format(taken=taken) for argument in arguments))
    assert ran.returncode == 2
    assert said.format(taken=taken) in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@dataclass(slots=True)
class Terminal:
    """The demo on a terminal of 80×24."""

    process: subprocess.Popen[bytes]
    master: int
    seen: str = ""

    def until(self, text: str, *, seconds: float = LONGEST) -> None:
        """Read until the text was drawn since the last wait, or the end for an empty text."""
        deadline = time.monotonic() + seconds
        start = len(self.seen)
        while not text or text not in self.seen[start:]:
            assert time.monotonic() < deadline, self.seen[-3000:]
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:  # the other end was closed
                    assert not text, f"ended without {text!r}: {self.seen[-3000:]}"
                    return

    def press(self, key: str) -> None:
        os.write(self.master, key.encode())

    def end(self) -> int:
        self.until("")
        return self.process.wait(LONGEST)


@pytest.fixture
def terminal(demo: Demo) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        demo.command(*QUICK),
        env=demo.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=lambda: _controlled_by(slave),
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)


def _controlled_by(terminal: int) -> None:
    """In the new process: this is your terminal, whose Ctrl-C you get."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def test_a_person_approves_by_pressing_a_key(terminal: Terminal) -> None:
    terminal.until("a = approve")
    terminal.until("#token=")
    terminal.press("a")
    assert terminal.end() == 0
    end = terminal.seen.partition("Audit trail")[2]
    assert "Approved → scheduled" in end
    assert "approved by demo:keyboard" in end
    assert "3 of 3 nodes run the" in terminal.seen


def test_a_person_rejects_and_the_cluster_stays_as_it_is(terminal: Terminal) -> None:
    terminal.until("a = approve")
    terminal.press("r")
    assert terminal.end() == 1
    assert "rejected by demo:keyboard" in terminal.seen
    assert "0 of 3 nodes run the" in terminal.seen


def test_ctrl_c_leaves_nothing_behind(terminal: Terminal) -> None:
    terminal.until("q = quit")
    terminal.press("\x03")
    assert terminal.end() == 130


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGHUP, "SettingUp"), (signal.SIGTERM, r"infra-\d +(Draining|Working|Rebooting)")],
    ids=["setting-up", "nodes-rebooting"],
)
def test_plain_lines_until_a_signal_that_leaves_nothing_behind(
    demo: Demo, number: signal.Signals, moment: str
) -> None:
    command = demo.command("--yes", *QUICK)
    with subprocess.Popen(
        command, env=demo.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            assert "\x1b" not in line
            assert re.match(r"\d\d:\d\d:\d\d \S", line)
            if re.search(moment, line):
                process.send_signal(number)
    assert process.returncode == 130


class Silent:
    """A screen that nobody looks at."""

    def tell(self, happening: Happening) -> None: ...
    def show(self, scene: Scene) -> None: ...
    def ask(self, update: object, url: str) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


async def test_the_word_of_the_service_is_checked_against_the_world(tmp_path: Path) -> None:
    leave = Leave()
    async with demo_world(tmp_path) as world:
        await layer_before(world, tmp_path, leave)
        async with time_running(world.cluster, 800), serving(world.settings, leave) as service:
            story = Story(
                world=world,
                service=service,
                screen=Silent(),
                options=Options(yes=True, fail_node=True),
                keys=asyncio.Queue(),
                leave=leave,
            )
            assert (await story.run()).problems == ()

            async def problems(*, failing: bool = True, before: str = story.image_before) -> str:
                outcome = await judged(service.app, world, failing=failing, image_before=before)
                return f"{outcome.result}: {'; '.join(outcome.problems)}"

            assert (await problems(failing=False)).startswith("rolled-back: update u-")
            assert "failed: node infra-0 runs" in await problems(before="another")
            (node, *_) = world.cluster.nodes_of(POOL)
            machine = world.cluster.machines[node]
            really, machine.running = machine.running, world.new.os_image
            assert f"failed: node {node} runs {world.new.os_image}" in await problems()
            machine.running = really
            (update,) = (await judged(service.app, world, failing=True, image_before="")).updates
            image = Pullspec(update["image"])
            world.registry.store.repo(image.repository.path).manifests.pop(image.digest)
            assert "failed: the registry does not hold" in await problems()
