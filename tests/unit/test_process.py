"""A program is run to its end, and what it leaves is found and ended."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from watcher.clients.builders.process import Program, kill_all, processes_of, run, told
from watcher.ports import Refused, Transient

_PATIENCE_SECONDS = 10.0


def program(work: Path, script: str, **more: float) -> Program:
    return Program(
        argv=["/bin/sh", "-c", script],
        work=work,
        environment={"PATH": "/usr/bin:/bin", "GIVEN": "1"},
        timeout_seconds=more.get("timeout", _PATIENCE_SECONDS),
        grace_seconds=more.get("grace", 0.2),
    )


class Lines(list[str]):
    async def take(self, line: str) -> None:
        self.append(line)


async def test_lines_and_the_exit_code_come_back(tmp_path: Path) -> None:
    lines = Lines()
    ended = await run(program(tmp_path, "echo one; echo two >&2; printf three; exit 7"), lines.take)
    assert ended.code == 7
    assert lines == ["one", "two", "three"] == list(ended.last_lines)


async def test_nothing_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAYER_TOKEN", "of-the-service")
    lines = Lines()
    await run(program(tmp_path, "env"), lines.take)
    assert "GIVEN=1" in lines
    assert not [line for line in lines if "of-the-service" in line]


async def test_a_line_without_end_is_cut_and_costs_no_memory(tmp_path: Path) -> None:
    lines = Lines()
    await run(
        program(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next"), lines.take
    )
    assert [len(line) for line in lines] == [500, 4]


async def test_a_line_is_told_before_it_ends_when_it_is_long(tmp_path: Path) -> None:
    told_it = asyncio.Event()

    async def log(line: str) -> None:
        told_it.set()

    script = "head -c 300000 /dev/zero | tr '\\0' x; sleep 600"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run(program(tmp_path, script), log))
        async with asyncio.timeout(_PATIENCE_SECONDS / 2):
            await told_it.wait()
        task.cancel()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"plain\r\n", "plain"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b" 10%\r 50%\r100%", "100%"),
        (b"password hunter2 end", "password *** end"),
        (b"\xff\xfe\x00bell\x07", "bell"),
        (b"\x1b]0;title\x07text", "text"),
    ],
)
def test_a_line_is_fit_for_people(raw: bytes, expected: str) -> None:
    assert told(raw, secrets=["hunter2"]) == expected


async def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="install it"):
        await run(replace(program(tmp_path, ""), argv=["/no/such"]), Lines().take)


async def test_children_in_a_session_of_their_own_end_too(tmp_path: Path) -> None:
    # The TERM is ignored, and setsid takes the child out of the group that is signalled.
    script = "trap '' TERM; setsid sh -c 'sleep 600' & echo up; wait; sleep 600"
    with pytest.raises(Transient, match="stopped after"):
        await run(program(tmp_path, script, timeout=0.5), Lines().take)
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    "script",
    [
        "yes | head -c 1000000",
        "exec yes",
        "trap 'echo bye; exit 0' TERM; yes & wait",
    ],
    ids=["has ended", "goes on for ever", "says more when it is stopped"],
)
async def test_one_whose_output_nobody_read_is_stopped_at_once(tmp_path: Path, script: str) -> None:
    """A full pipe keeps who writes into it from ending, and asyncio from seeing the end."""

    async def log(line: str) -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(_PATIENCE_SECONDS):
        with pytest.raises(Transient, match="stopped after"):
            await run(program(tmp_path, script, timeout=0.3, grace=600), log)
    assert processes_of(tmp_path) == []


async def test_a_cancelled_run_has_ended_when_the_cancellation_arrives(tmp_path: Path) -> None:
    up = asyncio.Event()

    async def log(line: str) -> None:
        up.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run(program(tmp_path, "echo up; sleep 600"), log))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await up.wait()
        assert processes_of(tmp_path)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert processes_of(tmp_path) == []


async def test_processes_of_others_are_left_alone(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "mine-not"
    for directory in (mine, other):
        directory.mkdir()
    process = await asyncio.create_subprocess_exec(
        "sleep", "600", env={"RELAYER_WORK": str(other), "PATH": "/usr/bin:/bin"}
    )
    try:
        await kill_all(mine)
        assert process.returncode is None
        assert processes_of(other) == [process.pid]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
