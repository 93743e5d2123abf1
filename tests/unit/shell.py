"""The command line as tests use it: commands of this process against one configuration."""

import asyncio
import json
import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.facts import an_update
from watcher.bootstrap import open_store
from watcher.cli import main
from watcher.config import load
from watcher.core.jobs import Job
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports import Change, Store

ME = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
CONFIG = """
state_dir: state
clusters:
  - {name: prod, url: "https://127.0.0.1:9", token_file: token}
  - {name: test, kubeconfig: absent}
recipes:
  - {name: gpu, path: gpu, target: registry.example.com/os/gpu}
pools:
  - {cluster: prod, pool: infra, recipe: gpu}
  - {cluster: prod, pool: worker, recipe: gpu}
  - {cluster: test, pool: worker, recipe: gpu}
"""


@dataclass
class Shell:
    """Runs commands of this process against one configuration."""

    config: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Run, check the exit code, and return stdout and stderr."""
        got = main([*words, "-c", str(self.config)])
        out, err = self.capture.readouterr()
        assert got == code, f"exit code {got}: {out}{err}"
        assert "Traceback" not in err
        return out, err

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "-o", "json", code=code)[0])

    def store(self, act: Callable[[Store], Any]) -> Any:
        """Do something in the store that the commands use."""

        async def opened() -> Any:
            async with open_store(load(self.config)) as store:
                return await act(store)

        return asyncio.run(opened())

    def put(self, *jobs: Job) -> None:
        changes = [Change(job=job, expected=0) for job in jobs]
        self.store(lambda store: store.commit(changes, []))

    def now(self, job_id: str = "u-1") -> Job:
        job: Job = self.store(lambda store: store.get(job_id)).job
        return job


@contextmanager
def shell_in(directory: Path, capture: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """A shell whose configuration and state are in `directory`."""
    (directory / "relayer.yaml").write_text(CONFIG)
    yield Shell(directory / "relayer.yaml", capture)
    structlog.reset_defaults()  # commands send log lines to the captured stderr, which is gone now


def fresh(**said: Any) -> Update:
    """An update that awaits approval, in the time of the real clock."""
    made = an_update(state=UpdateState.AWAITING_APPROVAL, **said)
    return replace(made, expires_at=datetime.now(UTC) + timedelta(hours=1))
