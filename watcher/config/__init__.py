"""The one YAML file: read, checked as a whole before the first connection, made into `Settings`.

load(path), load_text(text)   → Settings, or ConfigError with every mistake and its line
effective(settings)           → YAML of what holds in the end
"""

from watcher.config.effective import as_data, effective
from watcher.config.loading import load, load_text
from watcher.config.mistakes import nearest
from watcher.config.text import Problem
from watcher.errors import ConfigError

__all__ = ["ConfigError", "Problem", "as_data", "effective", "load", "load_text", "nearest"]
