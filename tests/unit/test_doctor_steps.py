"""A line of the doctor as it is printed, and how a step ends."""

import asyncio
from typing import NoReturn

import pytest

from watcher.cli.doctor_steps import alone, shown, tried
from watcher.clients.registry import NotFound, Tampered
from watcher.errors import Refused, Transient
from watcher.findings import Finding, Level


def printed(said: str, *secrets: str) -> str:
    return shown(Finding(Level.OK, "what", said), secrets).said


def test_what_is_printed_is_one_line_without_control_characters_and_not_long() -> None:
    assert printed("a\x1b[31mb\nc\u202ed") == "a [31mb c d"
    assert len(printed("x" * 10_000)) == 1500
    what = shown(Finding(Level.OK, "a\nb" * 1000, ""), ()).what
    assert (len(what), "\n" in what) == (200, False)


def test_no_secret_is_printed() -> None:
    assert printed("it is sesame-street, or sesame", "sesame", "sesame-street") == "it is …, or …"
    assert printed("as a node", "node", "") == "as a node", "too short to be found in words"


@pytest.mark.parametrize(
    ("error", "passing", "end"),
    [
        (Transient("down"), True, "down; try again later"),
        (Refused("no"), False, "no"),
        (NotFound("404"), False, "404; check the name, or mirror the image there"),
        (Tampered("bad"), False, "bad; do not use it: mirror the image anew, and look at the"),
        (FileNotFoundError(2, "No such file", "/x"), False, "/x: No such file"),
    ],
)
async def test_a_step_that_fails_says_what_to_do(error: Exception, passing: bool, end: str) -> None:
    async def fails() -> NoReturn:
        raise error

    found = await tried("step", alone(fails()), seconds=1.0)
    assert (found.finding.level, found.finding.passing) == (Level.FAILED, passing)
    assert found.finding.said.startswith(end)
    assert (found.result, found.error) == (None, error)


async def test_a_step_has_a_deadline() -> None:
    found = await tried("step", alone(asyncio.Future()), seconds=0.01)
    assert found.finding.said == "no answer within 0.01 s; check the network, and try again"
    assert found.finding.passing


async def test_a_bug_is_no_line() -> None:
    async def fails() -> NoReturn:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await tried("step", alone(fails()), seconds=1.0)
