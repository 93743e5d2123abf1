"""Commands beside a running service: they share its store, and look at the cluster themselves."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.scenario.service import running, update_in
from tests.scenario.troubles import waits
from tests.scenario.world import World, world
from watcher.bootstrap import App
from watcher.cli import main
from watcher.config import effective, load_text
from watcher.core.update import Policy


@dataclass
class Beside:
    world: World
    app: App
    config: Path
    capture: pytest.CaptureFixture[str]

    async def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        self.capture.readouterr()
        got = await asyncio.to_thread(main, [*words, "-c", str(self.config)])
        out, err = self.capture.readouterr()
        assert got == code, f"exit code {got}: {out}{err}"
        return out, err

    async def json(self, *words: str) -> Any:
        out, _ = await self(*words, "-o", "json")
        return json.loads(out[out.index("{\n") :])  # before it come log lines of the service


@pytest.fixture
async def beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Beside]:
    async with world(tmp_path) as made:
        config = tmp_path / "relayer.yaml"
        config.write_text(effective(made.settings))
        assert load_text(config.read_text()) == made.settings
        async with running(made.with_policy(Policy(soak_seconds=0))) as app:
            yield Beside(made, app, config, capsys)
    structlog.reset_defaults()  # commands send log lines to the captured stderr, which is gone now


async def test_from_status_to_approval_by_command_line(beside: Beside) -> None:
    update = await update_in(beside.app, "awaiting-approval")
    out, err = await beside("status")
    assert update.id in out
    assert "no service" not in err
    (plan,) = (await beside.json("plan", "infra"))["plans"]
    assert plan["decision"] == "Rebuild"
    assert plan["update"]["id"] == update.id
    assert plan["base"] == beside.world.old.os_image
    writes = beside.world.override_writes()
    assert writes == 0
    await beside("approve", update.id, "--binding", str(update.binding.digest()))
    await update_in(beside.app, "done")
    assert (await beside.json("plan", "infra"))["plans"][0]["decision"] == "InStep"
    again = (await beside.json("rebuild", "prod/infra"))["update"]
    assert again["because"].startswith("cli:")
    await beside("reject", again["id"], "--reason", "only a try")
    asked = (await beside.json("stock", "infra"))["update"]
    assert (asked["kind"], asked["requested_by"][:4]) == ("stock", "cli:")
    ended = await update_in(beside.app, "done", after=again["id"])
    assert (ended.id, beside.world.images()) == (asked["id"], {beside.world.old.os_image})
    assert "asked for the stock image" in (await beside("plan"))[0]
    _, err = await beside("stock", "infra", code=5)
    assert "no override of Relayer's to remove" in err
    entries = await beside.app.store.audit()
    assert {(e.event, e.surface) for e in entries if e.by.startswith("cli:")} >= {
        ("Voted", "cli"),
        ("Rejected", "cli"),
        ("StockDeclined", "cli"),
    }
    assert all(e.surface == "cli" for e in entries if e.event in ("Voted", "Approved", "Rejected"))


async def test_what_is_held_by_command_line_waits_until_it_is_let_go_of(beside: Beside) -> None:
    update = await update_in(beside.app, "awaiting-approval")
    await beside("freeze", "prod", "--reason", "audit week", "--until", "2h")
    await beside("approve", update.id)
    await waits(beside.app, update.id, "frozen by cli:", "audit week")
    (row,) = (await beside.json("status"))["active"]
    (frozen,) = (await beside.json("freezes"))["freezes"]
    assert row["scheduled_for"][:19] == frozen["until"][:19]
    (pool,) = (await beside.json("windows"))["pools"]
    assert (pool["allowed"], pool["update"]) == (False, update.id)
    assert beside.world.override_writes() == 0
    await beside("unfreeze", "prod")
    await update_in(beside.app, "done")
    assert beside.world.override_writes() == 1


async def test_an_update_is_followed_to_its_end_and_explained(beside: Beside) -> None:
    update = await update_in(beside.app, "awaiting-approval")
    said = await beside.json("explain", "infra")
    assert (said["decision"], said["update"]) == ("Rebuild", update.id)
    chain = {step["name"]: step for step in said["chain"]}
    assert {step["name"]: step["ok"] for step in chain["release"]["steps"]}["signature"] is True
    assert chain["preconditions"]["ok"] is True
    assert update.id in chain["next"]["said"]
    await beside("freeze", "prod", "--reason", "audit week")
    await beside("approve", update.id)
    frozen = await beside.json("explain", "infra")
    weighed = next(one for one in frozen["chain"] if one["name"] == "preconditions")["steps"]
    (closed,) = [one for one in weighed if one["ok"] is False]
    (plan,) = (await beside.json("plan", "infra"))["plans"]
    assert plan["unmet"] == [closed["said"]]
    assert "audit week" in closed["said"]
    following = asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("relayer"), "history", update.id, "--watch"),
        *("-c", beside.config),
        stdout=asyncio.subprocess.PIPE,
    )
    follower = await following
    assert follower.stdout is not None
    first = await follower.stdout.readline()
    assert first.startswith(f"{update.id}: scheduled".encode()), first
    await beside("unfreeze", "prod")
    rest = (await follower.stdout.read()).decode()
    assert await follower.wait() == 0
    assert rest.splitlines()[-1].startswith((f"{update.id}: done", "20")), rest
    assert f"{update.id}: done" in rest


async def test_what_init_writes_plans_against_a_cluster(beside: Beside, tmp_path: Path) -> None:
    world = beside.world
    assert world.settings.clusters[0].token_file is not None
    kubeconfig = {
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": world.api.url}}],
        "users": [{"name": "me", "user": {"token": "a-token"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "me"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    words = ["init", str(tmp_path / "new"), "--from-kubeconfig", str(tmp_path / "kubeconfig")]
    target = f"{world.registry.host}/layered/new"
    assert await asyncio.to_thread(main, [*words, "--pool", "infra", "--target", target, "-y"]) == 0
    config = tmp_path / "new/relayer.yaml"
    # The registry of this world speaks plain HTTP, and its releases have a key of their own.
    text = config.read_text().replace("  {}  ", f"  plain_http: ['{world.registry.host}']  ")
    config.write_text(text + "release: {verify: warn}\n")
    beside.config = config
    (plan,) = (await beside.json("plan", "here/infra"))["plans"]
    assert (plan["decision"], plan["base"]) == ("Rebuild", world.old.os_image)
