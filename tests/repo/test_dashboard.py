"""The dashboard: Grafana 9 and later can load it, and it asks for figures that exist."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repo.rules import asked
from watcher.metrics.figure import Figure, Kind, Who
from watcher.metrics.figures import FIGURES

FILE = Path(__file__).parents[2] / "config/grafana/relayer.json"
BOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PANELS: list[dict[str, Any]] = BOARD["panels"]
ASKING = [panel for panel in PANELS if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in ASKING for target in panel["targets"]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24


def figure_of(name: str) -> Figure:
    """A histogram's series have suffixes."""
    found = FIGURES.get(name) or FIGURES[name.rpartition("_")[0]]
    assert (name in FIGURES) == (found.kind is not Kind.HISTOGRAM), name
    return found


def labels_of(name: str) -> set[str]:
    labels = {label.name for label in figure_of(name).labels}
    return labels | {"le"} if name.endswith("_bucket") else labels


def test_it_is_a_dashboard_that_grafana_9_takes() -> None:
    assert (BOARD["uid"], BOARD["title"]) == ("relayer", "Relayer")
    assert 36 <= BOARD["schemaVersion"] <= 38, "those of Grafana 9"
    assert "id" not in BOARD, "an id of another Grafana would take its place there"
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    known = {"row", "stat", "timeseries", "table"}
    assert {panel["type"] for panel in PANELS} <= known
    for panel in ASKING:
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["w"] > 0
        assert at["h"] > 0
        assert 0 <= at["x"] <= WIDTH - at["w"], panel["title"]
        columns, lines = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = set(itertools.product(columns, lines))
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == WIDTH * (1 + max(line for _, line in taken)), "a hole between panels"


def test_the_data_source_and_the_clusters_are_chosen_above() -> None:
    source, cluster = BOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert (cluster["name"], cluster["type"]) == ("cluster", "query")
    assert cluster["multi"]
    assert cluster["includeAll"]
    for one in (*ASKING, cluster, *(t for panel in ASKING for t in panel["targets"])):
        assert one["datasource"] == SOURCE
    said = re.fullmatch(r"label_values\((\w+), (\w+)\)", cluster["query"]["query"])
    assert said
    assert said[2] in labels_of(said[1])
    variables = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS)))
    assert variables == {"datasource", "cluster", "__rate_interval"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_asks_for_figures_labels_and_values_that_exist(expression: str) -> None:
    said = asked(expression)
    assert said.names
    for name, label, value in said.matchers:
        [known] = [one for one in figure_of(name).labels if one.name == label]
        values = [] if value == "$cluster" else value.split("|")
        assert not known.values or set(values) <= set(known.values), value
    assert said.grouped <= set.intersection(*(labels_of(name) for name in said.names))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_replicas_are_taken_together_as_they_tell(expression: str) -> None:
    for name in asked(expression).names:
        figure = figure_of(name)
        counted = rf"(?:rate|increase)\({name}\b"
        if figure.kind is Kind.GAUGE:
            how = "min" if name == "relayer_cluster_observed_timestamp_seconds" else "max"
            assert re.search(rf"\b{how}\s*(?:by \([a-z, ]+\))?\s*\({name}\b", expression)
        else:
            how = "sum" if figure.who is Who.EACH else "max"
            assert re.search(rf"\b{how} by \([a-z, ]+\) \({counted}", expression), expression


@pytest.mark.parametrize("panel", ASKING, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_there_are(panel: dict[str, Any]) -> None:
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert named <= asked(target["expr"]).grouped
        if panel["type"] == "table":
            assert target["format"] == "table"
            assert target["instant"]


def test_everything_of_a_fleet_is_on_it() -> None:
    told = {figure_of(name).name for one in EXPRESSIONS for name in asked(one).names}
    assert told >= {
        "relayer_pool_state",
        "relayer_pool_lag_releases",
        "relayer_pool_lag_minors",
        "relayer_pool_lag_seconds",
        "relayer_pool_blocks",
        "relayer_approvals_waiting",
        "relayer_update_stalled",
        "relayer_queue_due",
        "relayer_cluster_observed_timestamp_seconds",
        "relayer_builds_ended_total",
        "relayer_api_calls_total",
        "relayer_registry_calls_total",
        "relayer_slack_calls_total",
    }


@pytest.mark.real("promtool")
def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    plain = [e.replace("$__rate_interval", "5m").replace("$cluster", ".*") for e in EXPRESSIONS]
    rules = [{"record": f"x:y{number}", "expr": one} for number, one in enumerate(plain)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
