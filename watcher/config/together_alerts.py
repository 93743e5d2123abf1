"""What the two levels of an alert cannot be together, with defaults for what is not written."""

from watcher.config import durations
from watcher.config.spelling import SUFFIX, spelt
from watcher.config.text import Node, Problem
from watcher.settings_alerts import AlertSettings, Threshold

LESS_IS_WORSE = ("certificate_seconds",)
"""Time that is left; of the others more is worse."""


def of_alerts(alerts: AlertSettings, root: Node, file: str) -> list[Problem]:
    """Return every such mistake, at the line that says it."""
    found = []
    for name, key in spelt(AlertSettings).items():
        said = getattr(alerts, name)
        if isinstance(said, Threshold) and (message := _wrong(name, said)):
            written = [k for k in ("critical", "warning") if _is_written(root, key, k)]
            line = root.line_of(("alerts", key, *written[:1]))
            found.append(Problem(file, line, f"alerts.{key}: {message}"))
    return found


def _is_written(root: Node, key: str, level: str) -> bool:
    node = root.get("alerts", key, level)
    return node is not None and node.value is not None


def _wrong(name: str, said: Threshold) -> str:
    """Why nobody would ever be warned before it is critical; empty if that is as it should be."""
    warning, critical = said.warning, said.critical
    if warning is None or critical is None:
        return ""
    less = name in LESS_IS_WORSE
    if critical < warning if less else critical > warning:
        return ""
    is_time = name.endswith(SUFFIX)
    first, last = (durations.text(n) if is_time else f"{n:g}" for n in (warning, critical))
    return (
        f"critical ({last}) must be {'less' if less else 'more'} than warning ({first}); what is"
        " not written is the default"
    )
