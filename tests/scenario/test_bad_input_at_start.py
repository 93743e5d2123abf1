"""What a person must mend before anything can run: one clear line and the documented exit code."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from tests.scenario.service import running, update_in
from tests.scenario.troubles import hasty
from tests.scenario.world import world
from watcher.cli import main
from watcher.cli.exits import Code
from watcher.config import effective

FLEET = """\
state_dir: state
web: {port: 0}
clusters:
  - {name: prod, kubeconfig: kubeconfig}
recipes:
  - {name: infra-os, path: recipe, target: registry.example.com/os/infra}
pools:
  - {cluster: prod, pool: infra, recipe: infra-os}
"""
TWICE = "  - {cluster: prod, pool: infra, recipe: other}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "relayer.yaml"
    path.write_text(FLEET)
    return path


def _expired(path: Path) -> None:
    claims = json.dumps({"exp": int(time.time()) - 3600}).encode()
    token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )


KUBECONFIGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "expired": (_expired, "expired"),
    "not UTF-8": (lambda path: path.write_bytes(b"a: \xff\n"), "no UTF-8"),
}


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(("make", "says"), KUBECONFIGS.values(), ids=KUBECONFIGS)
def test_a_kubeconfig_that_cannot_be_used_ends_the_start(
    make: Callable[[Path], object],
    says: str,
    command: str,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(config.with_name("kubeconfig"))
    assert main([command, "-c", str(config)]) == Code.REFUSED
    (line,) = _lines(capsys)
    assert line.startswith("relayer: cluster prod: ")
    assert says in line


CONFIGS: dict[str, tuple[bytes, str]] = {
    "two recipes for one pool": (
        (FLEET + TWICE).encode(),
        "relayer.yaml:9: pools[1]: `prod/infra` is there already, line 8",
    ),
    "not UTF-8": (FLEET.encode() + b"# \xff\n", "relayer.yaml:9: "),
    "unknown recipe": (
        FLEET.replace("recipe: infra-os", "recipe: infra_os").encode(),
        "relayer.yaml:8: pools[0]: no recipe is named `infra_os`; did you mean `infra-os`?",
    ),
    "unknown cluster": (
        FLEET.replace("cluster: prod", "cluster: prdo").encode(),
        "relayer.yaml:8: pools[0]: no cluster is named `prdo`; did you mean `prod`?",
    ),
    "target with a tag": (
        FLEET.replace("os/infra}", "os/infra:latest}").encode(),
        "relayer.yaml:6: recipes[0].target: ",
    ),
}


@pytest.mark.parametrize("command", ["run", "plan", "check-config"])
@pytest.mark.parametrize(("text", "says"), CONFIGS.values(), ids=CONFIGS)
def test_a_configuration_that_cannot_be_used_ends_every_command(
    text: bytes, says: str, command: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_bytes(text)
    assert main([command, "-c", str(config)]) == Code.USAGE
    first, *lines = _lines(capsys)
    assert first == "relayer: the configuration cannot be used"
    assert says in lines[0]
    assert not config.with_name("state").exists(), "nothing was begun"


async def test_a_second_service_on_one_state_directory_ends_and_harms_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path) as made:
        config = tmp_path / "relayer.yaml"
        config.write_text(effective(made.settings))
        async with running(hasty(made)) as app:
            asked = await update_in(app, "awaiting-approval")
            capsys.readouterr()
            assert await asyncio.to_thread(main, ["run", "-c", str(config)]) == Code.REFUSED
            line = _lines(capsys)[-1]
            assert "another" in line
            assert str(tmp_path / "state") in line
            assert (await update_in(app, "awaiting-approval")).id == asked.id
            await app.store.ping()
    structlog.reset_defaults()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    structlog.reset_defaults()  # log lines went to the captured stderr, which is gone now
    return [line for line in capsys.readouterr().err.splitlines() if line.strip()]
