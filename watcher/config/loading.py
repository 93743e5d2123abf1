"""From the file to `Settings`: read, parse, check the shape, check the names, hand inwards.

Nothing here opens a connection or a secret; a file that passes is one the service can start with.
"""

from pathlib import Path

from pydantic import ValidationError

from watcher.config import mistakes, names, together, together_alerts
from watcher.config.making import Maker
from watcher.config.models import File
from watcher.config.text import MOST_BYTES, Node, Problem, parse
from watcher.errors import ConfigError
from watcher.settings import Settings


def load(path: Path) -> Settings:
    """Return what the file says; raise ConfigError with every mistake in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or "cannot be read"
        raise ConfigError([Problem(str(path), 0, f"{why}; name another file with -c")]) from error
    if len(data) > MOST_BYTES:
        raise ConfigError([Problem(str(path), 0, f"larger than {MOST_BYTES // 1024} KiB")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(path), line, "not UTF-8; save it as UTF-8")]) from error
    return load_text(text, file=str(path), directory=path.absolute().parent)


def load_text(text: str, *, file: str = "configuration", directory: Path | None = None) -> Settings:
    """Return what the text says. Relative paths in it start at `directory`. Raise ConfigError."""
    root, problems = parse(text, file=file)
    if root.value is None:
        root = Node({}, root.line)
    model: File | None = None
    try:
        model = File.model_validate(root.plain())
    except ValidationError as error:
        problems += mistakes.of_shape(error, root, file)
    problems += names.of_names(root, file)
    settings = Maker(directory).settings(model) if model else Settings()
    problems += together.of_pools(settings, root, file)
    problems += together_alerts.of_alerts(settings.alerts, root, file)
    if problems:
        raise ConfigError(problems)
    return settings
