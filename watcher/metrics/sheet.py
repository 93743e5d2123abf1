"""How things stand as text for Prometheus, written directly.

The library makes an object of every series; 500 pools have 20,000 of them, which it takes half a
second for. Format: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.
"""

from collections.abc import Iterable

from watcher.metrics.figures import FIGURES

_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def labelled(**labels: str) -> str:
    """Return labels as they stand between the braces; they may come from anywhere."""
    return ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in labels.items())


def one_hot(label: str, values: Iterable[str]) -> dict[str, str]:
    """Return the label for each of the values there are, made once for all places."""
    return {value: labelled(**{label: value}) for value in values}


class Sheet:
    """Samples of one scrape, by figure."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def set(self, name: str, value: float, *labels: str) -> None:
        """Note a sample; `labels` as `labelled` returns them, in the order of the table."""
        lines = self._lines.get(name)
        if lines is None:
            lines = self._lines[name] = []
        within = f"{{{','.join(labels)}}}" if labels else ""
        lines.append(f"{name}{within} {float(value)!r}\n")

    def one_of(self, name: str, where: str, choices: dict[str, str], chosen: str) -> None:
        """Note 1 for the one that is chosen, and 0 for the others."""
        lines = self._lines.setdefault(name, [])
        lines += [
            f"{name}{{{where},{label}}} {'1.0' if value == chosen else '0.0'}\n"
            for value, label in choices.items()
        ]

    def text(self) -> bytes:
        """Return all of it, each figure with its meaning and kind."""
        parts: list[str] = []
        for name, lines in self._lines.items():
            figure = FIGURES[name]
            parts.append(f"# HELP {name} {figure.said}\n# TYPE {name} {figure.kind}\n")
            parts += lines
        return "".join(parts).encode(errors="replace")
