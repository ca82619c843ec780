"""The realised ratio of runs, as their results record it."""

import json

import pytest
from scored_sweep import write_scored_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.read.ratio_axis import RatioAxis


def axis(folder, realised):
    for path in folder.glob("*/result.json"):
        content = json.loads(path.read_text())
        planned = content["config"]["batching"]["monolingual_ratio"]
        content["batches"]["monolingual_ratio"] = realised(planned)
        path.write_text(json.dumps(content))
    return RatioAxis.of(read_sweep(folder))


def test_a_run_lies_at_its_planned_ratio_and_by_how_much_it_missed_it_is_kept(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=(0.0, 0.5, 1.0))
    trials = axis(folder, lambda planned: 0.56 if planned == 0.5 else planned).trials
    assert {trial.ratio for trial in trials.values()} == {0.0, 0.5, 1.0}
    assert trials["small_r0.5_s0"].shift == pytest.approx(0.06)
    assert trials["small_r1_s0"].shift == 0


@pytest.mark.parametrize("realised", [lambda planned: planned / 2, lambda planned: None, lambda planned: "x"])
def test_records_that_no_draw_can_give_are_not_used(tmp_path, realised):
    """Half of the planned share at ratio 1; no number."""
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=(0.0, 0.5, 1.0))
    assert {trial.shift for trial in axis(folder, realised).trials.values()} == {0.0}
