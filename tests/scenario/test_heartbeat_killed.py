"""The heartbeat of real processes: when the leader is killed, another replica takes it up."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.test_webhook import SECRET, Receiver, checks, listening
from tests.scenario.replicas import on, replica, shared_redis
from tests.scenario.world import world
from watcher.settings_alerts import AlertSettings, HeartbeatSettings

pytestmark = pytest.mark.real("redis-server")


async def test_when_the_leader_is_killed_the_other_replica_beats(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    async with world(tmp_path) as made, shared_redis(tmp_path) as shared, listening() as receiver:
        said = HeartbeatSettings(
            url=receiver.url, secret_file=tmp_path / "secret", every_seconds=1.0
        )
        settings = replace(on(shared[0], made.settings), alerts=AlertSettings(heartbeat=said))
        with replica(settings, tmp_path, "a") as first:
            await _beats(receiver)
            with replica(settings, tmp_path, "b") as second:
                first.kill()
                receiver.got.clear()
                await _beats(receiver)
                assert second.stop() == 0
        headers, body = receiver.got[-1]
        assert json.loads(body)["clusters"] == 1
        assert checks()(headers["Relayer-Signature"], body, SECRET)
        logs = (tmp_path / "a.log").read_text() + (tmp_path / "b.log").read_text()
        assert SECRET not in logs
        assert "s3cret-path" not in logs


async def _beats(receiver: Receiver) -> None:
    """The lease of a leader that was killed runs for 15 s."""
    async with asyncio.timeout(40):
        while len(receiver.got) < 2:
            await asyncio.sleep(0.1)
