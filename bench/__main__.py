"""Run every measurement and hold it against its bar: JSON on stdout, a table on stderr.

Ratios come from one run on one machine; absolute figures are of that machine only.
Exit code 1 if a bar is missed, so that it cannot be overlooked.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEASUREMENTS = (
    "watch_decoding",
    "event_to_job",
    "store_transitions",
    "takeover",
    "builders",
    "fleet",
    "chat_clicks",
    "letters_storm",
    "letters_outage",
    "resolve_base",
    "cli_start",
    "drift_from",
    "reclassify",
    "pages",
)


@dataclass(frozen=True, slots=True)
class Bar:
    measurement: str
    figure: str
    """Key in the measurement's result."""
    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def __str__(self) -> str:
        return f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"


BARS = (
    Bar("watch_decoding", "speed_ratio", least=6),
    Bar("watch_decoding", "memory_ratio", most=0.7),
    Bar("event_to_job", "p99_milliseconds", most=20),
    Bar("store_transitions", "transitions_per_second", least=3000),
    Bar("takeover", "over_lease_seconds", most=2),
    Bar("takeover", "double_effects", most=0),
    Bar("builders", "append_faster_than_cold", least=50),
    Bar("builders", "append_faster_than_warm", least=5),
    Bar("builders", "buildah_over_bare", most=1.15),
    Bar("fleet", "rss_mib", most=150),
    Bar("fleet", "idle_cpu_percent", most=2),
    Bar("chat_clicks", "p99_milliseconds", most=250),
    Bar("chat_clicks", "not_durable_or_not_acked", most=0),
    Bar("letters_storm", "late_seconds", most=5),
    Bar("letters_storm", "memory_growth_ratio", most=1.1),
    Bar("letters_outage", "wrong_messages", most=0),
    Bar("letters_outage", "calls_per_message", most=1),
    Bar("resolve_base", "warm_over_oc", most=0.2),
    Bar("resolve_base", "cold_over_oc", most=0.8),
    Bar("resolve_base", "cold_rss_over_oc", most=0.5),
    Bar("resolve_base", "second_requests", most=0),
    Bar("resolve_base", "second_milliseconds", most=2),
    Bar("resolve_base", "second_after_restart_milliseconds", most=2),
    Bar("resolve_base", "storm_requests_over_blobs", most=1),
    Bar("resolve_base", "storm_connections", most=4),
    Bar("cli_start", "help_seconds", most=0.25),
    Bar("cli_start", "status_seconds", most=0.25),
    Bar("drift_from", "dump_seconds", most=3),
    Bar("drift_from", "dump_mib", most=200),
    Bar("drift_from", "archive_seconds", most=3),
    Bar("drift_from", "archive_mib", most=200),
    Bar("reclassify", "event_median_milliseconds", most=5),
    Bar("reclassify", "event_p99_milliseconds", most=5),
    Bar("reclassify", "full_pass_milliseconds", most=300),
    Bar("pages", "server_median_milliseconds", most=50),
    Bar("pages", "page_kilobytes", most=200),
    Bar("pages", "first_render_milliseconds", most=1000),
    Bar("pages", "visible_worst_milliseconds", most=500),
    Bar("pages", "open_pages_rss_mib", most=60),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"some of: {', '.join(MEASUREMENTS)}")
    chosen = parser.parse_args().only or MEASUREMENTS
    results: dict[str, Any] = {"machine": _machine()}
    for name in chosen:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        results[name] = importlib.import_module(f"bench.{name}").run()
    missed = _compare(results)
    print(json.dumps(results, indent=2, sort_keys=True))
    return 1 if missed else 0


def _machine() -> Mapping[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def _compare(results: Mapping[str, Any]) -> int:
    missed = 0
    for bar in BARS:
        measured = results.get(bar.measurement)
        if measured is None:
            continue
        value = measured.get(bar.figure)
        if value is None:
            verdict = f"not measured: {measured.get('skipped', 'no such figure')}"
            missed += 1
        else:
            held = bar.holds(value)
            missed += not held
            verdict = f"{value:10.3f}  bar {bar}  {'holds' if held else 'MISSED'}"
        print(f"{bar.measurement:18} {bar.figure:26} {verdict}", file=sys.stderr)
    return missed


if __name__ == "__main__":
    sys.exit(main())
