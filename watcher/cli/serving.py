"""Commands about the program itself: run, demo, check-config, version."""

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from watcher import config, logs
from watcher.cli import output
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, say, tell
from watcher.cli.running import settings_from
from watcher.settings import Settings


async def run(settings: Settings) -> Code:
    """Serve until SIGTERM or SIGINT."""
    from watcher.bootstrap import serve

    if not settings.pools:
        raise Usage("no pools are configured, so there is nothing to do; name a file with -c")
    logs.configure(settings.log_level)
    await serve(settings)
    return Code.OK


def demo(arguments: list[str]) -> None:
    """Become the simulator's demo. It is another program: the product does not know it."""
    # -P: not from the directory we happen to be in.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "simulator", *arguments])  # noqa: S606


def check_config(path: Path | None, form: Format) -> Code:
    """Check the file and print what holds in the end."""
    try:
        settings = settings_from(path)
    except config.ConfigError as error:
        if not form.is_data:
            raise
        found = [{"file": p.file, "line": p.line, "message": p.message} for p in error.problems]
        output.data({"ok": False, "problems": found, "settings": None}, form)
        return Code.USAGE
    for missing in _missing(settings):
        tell(f"note: {missing} is not on this machine")
    if form.is_data:
        held = config.as_data(settings)
        output.data({"ok": True, "problems": [], "settings": held}, form)
    else:
        say(config.effective(settings).rstrip())
    return Code.OK


def named_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the files that a configuration names, and what each is."""
    named: list[tuple[str, Path | None]] = [
        ("redis.password_file", settings.redis.password_file),
        ("redis.ca_file", settings.redis.ca_file),
        ("registry.auth_file", settings.registry.auth_file),
        *((f"registry.ca_files of {h}", path) for h, path in settings.registry.ca_files.items()),
        *((f"token_file of {t.name}", t.token_file) for t in settings.web.tokens),
        *((f"path of recipe {r.name}", r.path) for r in settings.recipes),
        ("slack.bot_token_file", settings.slack.bot_token_file),
        ("slack.app_token_file", settings.slack.app_token_file),
        ("slack.signing_secret_file", settings.slack.signing_secret_file),
        *((f"secret_file of webhook {h.name}", h.secret_file) for h in settings.webhooks),
        *((f"ca_file of webhook {h.name}", h.ca_file) for h in settings.webhooks),
    ]
    for one in settings.clusters:
        for what in ("kubeconfig", "token_file", "ca_file"):
            named.append((f"{what} of cluster {one.name}", getattr(one, what)))
    yield from ((what, path) for what, path in named if path is not None)


def _missing(settings: Settings) -> Iterator[str]:
    """Files that are named and absent here; elsewhere, where the service runs, they may be."""
    yield from (f"{what}: {path}" for what, path in named_files(settings) if not path.exists())


def version(form: Format) -> Code:
    """Print the version."""
    ours = metadata.version("relayer")
    if form.is_data:
        output.data({"version": ours, "python": platform.python_version()}, form)
    else:
        say(f"relayer {ours}")
    return Code.OK
