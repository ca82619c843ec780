"""The search preset as a user starts it: a real search of a few tiny runs."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from run_folder import result_of, write_result

from mixlingual.runs.result import objective

pytest.importorskip("optuna")

TINY = (
    "model=scratch_xs", "model.scratch.vocabulary=2000", "trainer.steps=12", "trainer.save_model=false",
    "data.languages=[de,en]", "evaluation.languages=[de,en]", "batching.batch_size=8", "trainer.threads=1",
)  # fmt: skip


def search(folder, *options):
    environment = os.environ | {"MIXLINGUAL_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "mixlingual.train", "sweep=alpha_search", *TINY, *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sweep = folder / "multirun" / "alpha_search"
    return done.stderr, yaml.safe_load((sweep / "optimization_results.yaml").read_text()), sweep


def test_a_search_names_the_best_ratio_and_goes_on_from_its_files_with_any_launcher(tmp_path):
    _, best, sweep = search(tmp_path, "hydra.sweeper.n_trials=2")
    results = [json.loads(path.read_text()) for path in sweep.glob("*/result.json")]
    assert len(results) == 2
    found = {
        result["config"]["batching"]["monolingual_ratio"]: (atlas["mono"]["map"] + atlas["cross"]["map"]) / 2
        for result in results
        for atlas in [result["benchmarks"]["atlas"]]
    }
    assert len(set(found.values())) == 2, "the trials differ, so that there is a best one"
    assert best["best_value"] == pytest.approx(max(found.values()))
    assert found[best["best_params"]["batching.monolingual_ratio"]] == max(found.values())

    written = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    queued = ("hydra/launcher=submitit_local", "hydra.launcher.poll_s=0.2")
    _, best, _ = search(tmp_path, "hydra.sweeper.n_trials=3", "trainer.log_every=5", *queued)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(list(sweep.glob("*/result.json"))) == 3
    assert best["best_value"] == max(objective(path.parent, "mono_cross") for path in sweep.glob("*/result.json"))


@pytest.mark.parametrize(
    ("settings", "value"), [("mono", 0.5), ("cross", 0.25), ("mono_cross", 0.375), ("multi", None)]
)
def test_the_objective_is_the_mean_over_benchmarks_and_settings(tmp_path, settings, value):
    metrics = {
        "a": {"mono": {"map": 0.25}, "cross": {"map": 0.25}},
        "b": {"mono": {"map": 0.75}, "cross": {"map": 0.25}},
    }
    write_result(tmp_path, result_of(benchmarks=metrics))
    assert objective(tmp_path, settings) == value


def test_a_run_without_scores_has_no_objective(tmp_path):
    assert objective(tmp_path, "multi") is None
    write_result(tmp_path)
    assert objective(tmp_path, "multi") is None
    (tmp_path / "result.json").write_text("{")
    assert objective(tmp_path, "multi") is None
