"""Real dumps of real clusters are read whole."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from watcher.clients.dumps import read_dumps

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"
COUNTS = {
    # name: version, pools, MachineConfigs, nodes
    "oc-4.14.1-degraded": ("4.14.1", 2, 0, 6),
    "oc-4.14.1-paused-worker-pool": ("4.14.1", 2, 0, 6),
    "oc-not-upgrading": ("4.14.1", 0, 0, 0),
    "oc-recommend-4.16.27-degraded-monitoring": ("4.16.27", 0, 0, 0),
    "oc-to-multi-arch": ("4.18.0-ec.3", 2, 18, 0),
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
def test_every_sample_is_read_and_told_apart_by_its_name() -> None:
    dumps = read_dumps([SAMPLES], now=datetime.now(UTC))
    found = {
        str(view.cluster): (
            view.cluster_version.desired_version if view.cluster_version else "",
            len(view.pools),
            len(view.machine_configs),
            len(view.nodes),
        )
        for view in dumps.views
    }
    assert found == COUNTS
    assert dumps.problems == ()
    for view in dumps.views:
        assert all("is in the dump; add" in problem for problem in view.problems)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
def test_every_sample_is_read_by_itself() -> None:
    files = sorted(SAMPLES.glob("oc-*.yaml"))
    assert files
    for file in files:
        dumps = read_dumps([file], now=datetime.now(UTC))
        assert len(dumps.views) + len(dumps.problems) == 1
        if "-node" not in file.name and "-mc-" not in file.name:
            assert len(dumps.views) == 1
