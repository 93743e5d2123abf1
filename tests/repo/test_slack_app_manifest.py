"""`config/slack-app.yaml` asks Slack for what the code needs, and for nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.chat.commands import HELP
from watcher.clients.slack.scopes import SCOPES

FILE = Path(__file__).parents[2] / "config/slack-app.yaml"


def manifest(text: str | None = None) -> Any:
    return yaml.safe_load(text or FILE.read_text())


def for_http() -> str:
    """The file as its own comments say to change it."""
    text = re.sub(r"^( *)#  (\w+: https:)", r"\1\2", FILE.read_text(), flags=re.MULTILINE)
    return text.replace("socket_mode_enabled: true", "socket_mode_enabled: false")


def test_the_manifest_asks_for_the_scopes_of_the_code_each_once() -> None:
    asked = manifest()["oauth_config"]["scopes"]
    assert list(asked) == ["bot"]
    assert sorted(asked["bot"]) == sorted(SCOPES)


def test_every_scope_has_its_reason_beside_it_and_in_the_code() -> None:
    lines = FILE.read_text().splitlines()
    for scope, why in SCOPES.items():
        line = next(n for n, said in enumerate(lines) if said.strip() == f"- {scope}")
        assert lines[line - 1].strip().startswith("# "), scope
        assert why, scope


def test_socket_mode_needs_no_address() -> None:
    said = manifest()
    settings = said["settings"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"] == {"is_enabled": True}
    assert "url" not in said["features"]["slash_commands"][0]


def test_nothing_that_people_write_is_subscribed_to() -> None:
    settings = manifest()["settings"]
    assert "event_subscriptions" not in settings
    assert settings["token_rotation_enabled"] is False
    assert settings["org_deploy_enabled"] is False


def test_the_comments_make_it_one_for_http() -> None:
    said = manifest(for_http())
    (command,) = said["features"]["slash_commands"]
    assert said["settings"]["socket_mode_enabled"] is False
    assert said["settings"]["interactivity"]["request_url"].startswith("https://")
    assert command["url"].startswith("https://")


# https://docs.slack.dev/reference/app-manifest
@pytest.mark.parametrize(
    ("path", "most"),
    [
        (("display_information", "name"), 35),
        (("display_information", "description"), 140),
        (("features", "bot_user", "display_name"), 80),
        (("features", "slash_commands", 0, "command"), 32),
        (("features", "slash_commands", 0, "description"), 2000),
        (("features", "slash_commands", 0, "usage_hint"), 1000),
    ],
    ids=str,
)
def test_no_text_is_longer_than_slack_takes(path: tuple[str | int, ...], most: int) -> None:
    value = manifest()
    for part in path:
        value = value[part]
    assert 0 < len(value) <= most


def test_the_command_comes_as_it_is_typed() -> None:
    (command,) = manifest()["features"]["slash_commands"]
    assert (command["command"], command["should_escape"]) == ("/relayer", False)


def test_the_hint_names_commands_that_there_are() -> None:
    (command,) = manifest()["features"]["slash_commands"]
    hinted = {word.split()[0] for word in command["usage_hint"].split(" | ")}
    assert hinted <= {"help", *re.findall(r"`(\w+)", " ".join(HELP))}
