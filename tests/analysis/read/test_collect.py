import json
from collections import Counter

import pytest
from sweep_fixture import (
    result,
    run_name,
    without_results,
    write_done,
    write_json,
    write_plan,
    write_status,
    write_sweep,
)

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.read.points import GridPoint
from mixlingual.records import MixlingualError


@pytest.fixture
def folder(tmp_path):
    return write_sweep(tmp_path / "multirun")


def run_of(sweep, name):
    return next(run for run in sweep.runs if run.name == name)


def test_every_planned_run_has_its_state(folder):
    sweep = read_sweep(folder)
    states = Counter(run.state for run in sweep.runs)
    assert states == {"done": 20, "failed": 1, "started": 1, "missing": 1, "unreadable": 1}
    assert sweep.name == "demo"
    assert len(sweep.results()) == 20
    assert all((run.result is not None) == (run.state == "done") for run in sweep.runs)


def test_failed_runs_keep_reason_and_traceback(folder):
    failed = run_of(read_sweep(folder), run_name("large", 0.0, 1))
    assert (failed.reason, failed.traceback) == ("CUDA out of memory", "Traceback\n  boom <b>")
    assert failed.point == GridPoint("large", "hybrid", 0.0, 1)
    assert failed.updated == "2026-01-01T10:05:00"


def test_runs_outside_the_plan_are_included(folder):
    content = result("small", 0.75, 0) | {"run_name": "extra"}
    write_done(folder, content)
    sweep = read_sweep(folder)
    assert sweep.runs[-1].name == "extra"
    assert sweep.runs[-1].point == GridPoint("small", "hybrid", 0.75, 0)


def test_a_plan_is_not_needed(folder):
    (folder / "sweep.json").unlink()
    sweep = read_sweep(folder)
    assert len(sweep.runs) == 23, "all but the one that never started"
    assert run_of(sweep, run_name("large", 0.0, 1)).point is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "result.json is not JSON"),
        ("[]", "result.json is no JSON object"),
        ("\xff", "result.json is not JSON"),
        ('{"schema": 2}', "layout version 2; this version of Mixlingual reads 1"),
        ('{"schema": 1}', "result.json lacks sweep_name, run_name, config"),
        (json.dumps(result("small", 0.0, 0) | {"benchmarks": []}), "benchmarks is no object"),
        (json.dumps(result("small", 0.0, 0) | {"parameters": {"total": 1}}), "non_embedding is no number"),
        (json.dumps(result("small", 0.0, 0) | {"config": {"model": "small"}}), "lacks model or batching"),
        (json.dumps(result("small", 0.0, 0) | {"config": {"model": {}, "batching": {}}}), "no grid point: model None"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_foreign_result_makes_its_run_unreadable_and_no_other(folder, text, reason):
    name = run_name("small", 0.0, 0)
    (folder / name / "result.json").write_text(text, encoding="latin-1")
    sweep = read_sweep(folder)
    assert run_of(sweep, name).state == "unreadable"
    assert reason in run_of(sweep, name).reason
    assert len(sweep.results()) == 19


@pytest.mark.parametrize(
    ("status", "reason"), [("done", "says done, but there is no result.json"), ("asleep", "unknown state 'asleep'")]
)
def test_a_status_without_a_result_is_unreadable(folder, status, reason):
    run = folder / run_name("small", 0.0, 0)
    (run / "result.json").unlink()
    write_status(run, status)
    found = run_of(read_sweep(folder), run.name)
    assert found.state == "unreadable"
    assert reason in found.reason


def test_an_unreadable_plan_is_a_warning(folder):
    (folder / "sweep.json").write_text('{"schema": 1, "runs": [{"run_name": "../../etc"}]}')
    sweep = read_sweep(folder)
    assert len(sweep.results()) == 20
    problem = "ValueError: '../../etc' is no name of a run"
    assert sweep.warnings() == [
        f"sweep.json cannot be read ({problem}): runs that never started are not listed.",
    ]


def test_a_sweep_that_does_not_exist_names_those_that_do(tmp_path):
    write_plan(tmp_path / "planned")
    write_done(tmp_path / "unplanned", result("small", 0.0, 0))
    (tmp_path / "other").mkdir()
    with pytest.raises(
        MixlingualError, match=r"nope does not exist; sweeps beside it: planned, unplanned. Name a sweep"
    ):
        read_sweep(tmp_path / "nope")
    with pytest.raises(
        MixlingualError, match=r"other holds no runs; sweeps beside it: planned, unplanned. Name a sweep"
    ):
        read_sweep(tmp_path / "other")
    with pytest.raises(MixlingualError, match=r"does not exist; .*void holds no sweeps yet. .* start one with"):
        read_sweep(tmp_path / "void" / "nope")


def test_an_unfinished_sweep_has_no_results(folder):
    sweep = read_sweep(without_results(folder))
    assert {run.state for run in sweep.runs} == {"missing"}
    assert sweep.results() == []
    assert sweep.warnings() == []


def test_warnings_name_what_differs_between_runs(folder):
    content = result("small", 0.0, 0)
    content["commit"] = "badcafe+"
    content["data"]["mlqa_r"] = "0000000000000000"
    write_done(folder, content)
    sweep = read_sweep(folder)
    assert sweep.commits() == {"badcafe+": 1, "c0ffee0": 19}
    assert sweep.fingerprints()["mlqa_r"] == {"0000000000000000": 1, "feedfeedfeedfeed": 19}
    assert sweep.warnings() == [
        "The runs were made with 2 versions of the code.",
        "The content of mlqa_r differs between runs: compare only runs that read the same.",
    ]


def test_the_command_of_an_older_sweep_comes_from_hydra(folder):
    assert read_sweep(folder).commands == ()
    overrides = "{task: [sweep=demo, 'run_name=${model.name} x'], hydra: [hydra/launcher=slurm, hydra.mode=MULTIRUN]}"
    (folder / "multirun.yaml").write_text(f"hydra:\n  overrides: {overrides}\n")
    words = "sweep=demo 'run_name=${model.name} x' hydra/launcher=slurm"
    assert read_sweep(folder).commands == (f"python -m mixlingual.train --multirun {words}",)
    (folder / "multirun.yaml").write_text("hydra: [")
    assert read_sweep(folder).commands == ()


def test_a_plan_may_hold_whole_numbers(tmp_path):
    planned = {"run_name": "a", "model": "m", "batching": "x_y", "monolingual_ratio": 0, "seed": 3}
    write_json(tmp_path / "s" / "sweep.json", {"schema": 1, "runs": [planned]})
    (run,) = read_sweep(tmp_path / "s").runs
    assert run.point == GridPoint("m", "hybrid", 0.0, 3)
    assert isinstance(run.point.ratio, float)


def test_an_untrained_encoder_is_a_series_of_its_own(tmp_path):
    folder = tmp_path / "sweep"
    write_done(folder, result("small", 0.5, 0))
    untrained = result("small", 0.5, 0) | {"run_name": "zero_shot", "training": {"steps": 0}}
    write_done(folder, untrained)
    series = {run.name: run.point.series for run in read_sweep(folder).runs}
    assert series == {"small_r0.5_s0": "hybrid", "zero_shot": "zero-shot"}


def test_a_requeued_run_waits_and_counts_its_starts(folder):
    run = folder / run_name("large", 0.25, 1)
    write_json(run / "status.json", {"state": "requeued", "reason": "preempted", "attempt": 3, "job": "12_4"})
    found = run_of(read_sweep(folder), run.name)
    assert (found.state, found.reason, found.attempt, found.job) == ("requeued", "preempted", 3, "12_4")


def test_a_finished_run_knows_its_starts_if_its_status_does(folder):
    run = folder / run_name("small", 0.0, 0)
    write_json(run / "status.json", {"state": "done", "attempt": 2, "job": None})
    found = run_of(read_sweep(folder), run.name)
    assert (found.state, found.attempt, found.job) == ("done", 2, "")
    (run / "status.json").write_text("{")
    assert run_of(read_sweep(folder), run.name).attempt is None
