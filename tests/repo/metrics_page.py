"""Writes the tables of docs/metrics.md from the code: `python -m tests.repo.metrics_page`."""

from pathlib import Path

from watcher.metrics.figure import Figure, Kind, Label, Who
from watcher.metrics.figures import SECTIONS

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
BEGINS = "## Figures\n"
"""What comes after it is written here, what comes before it by people."""


def tables() -> str:
    """Return every figure, section by section."""
    parts = [BEGINS]
    for title, figures in SECTIONS.items():
        parts.append(f"\n### {title}\n\n| name | type | unit | labels | replicas | meaning |\n")
        parts.append("|---|---|---|---|---|---|\n")
        parts += [_row(figure) for figure in figures]
        parts += _labels(figures)
    return "".join(parts)


def _row(figure: Figure) -> str:
    labels = ", ".join(f"`{label.name}`" for label in figure.labels)
    cells = (f"`{figure.name}`", figure.kind, figure.unit, labels, _together(figure))
    return f"| {' | '.join(cells)} | {figure.said} |\n"


def _together(figure: Figure) -> str:
    """How those of several replicas are taken together."""
    if figure.who is not Who.EACH:
        return "max"
    return "each" if figure.kind is Kind.GAUGE else "sum"


def _labels(figures: tuple[Figure, ...]) -> list[str]:
    """What the labels of a section can be; where figures differ, each says its own."""
    known: dict[Label, list[str]] = {}
    for figure in figures:
        for label in figure.labels:
            known.setdefault(label, []).append(figure.name)
    if not known:
        return []
    names = [label.name for label in known]
    lines = ["\n"]
    for label, used in known.items():
        of = f" of {', '.join(f'`{n}`' for n in used)}" if names.count(label.name) > 1 else ""
        values = ", ".join(f"`{value}`" for value in label.values) or label.told
        lines.append(f"- `{label.name}`{of}: {values}\n")
    histograms = [figure for figure in figures if figure.kind is Kind.HISTOGRAM]
    for figure in histograms:
        bounds = ", ".join(f"{bound:.15g}" for bound in figure.buckets)
        lines.append(f"- `le` of `{figure.name}`: {bounds} and `+Inf`\n")
    return lines


def written(page: str) -> str:
    """Return the page with its tables as they shall be."""
    return page.partition(BEGINS)[0] + tables()


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), encoding="utf-8")
