import shutil
from collections import Counter

import pandas as pd
import pytest
from run_folder import at
from sweep_fixture import (
    result,
    run_name,
    without_results,
    write_done,
    write_json,
    write_plan,
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
    assert states == {"done": 20, "failed": 1, "silent": 1, "planned": 1, "unreadable": 1}
    assert sweep.name == "demo"
    assert len(sweep.results()) == 20
    assert all((run.result is not None) == (run.state == "done") for run in sweep.runs)


def test_failed_runs_keep_reason_and_traceback(folder):
    failed = run_of(read_sweep(folder), run_name("large", 0.0, 1))
    assert (failed.reason, failed.traceback) == ("CUDA out of memory", "Traceback\n  boom <b>")
    assert failed.point == GridPoint("large", "hybrid", 0.0, 1)
    assert failed.updated == at(60)


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


def changed(path, value):
    """The result.json of a run with another value at a dotted path; without it if the value is `...`."""
    content = result("small", 0.0, 0)
    *sections, last = path.split("/")
    inner = content
    for name in sections:
        inner = inner[name]
    inner[last] = value
    if value is ...:
        del inner[last]
    return content


WHOLE = "benchmarks/mlqa_r"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("benchmarks", [], "benchmarks is no object"),
        ("batches", None, "batches is no object"),
        ("parameters/non_embedding", ..., "parameters.non_embedding is None, which is no number of weights"),
        ("parameters/non_embedding", -5, "parameters.non_embedding is -5, which is no number of weights"),
        ("config/model", "small", "config.model.name is None"),
        ("config/seed", "0", "config.seed is '0'"),
        ("config/batching/monolingual_ratio", None, "config.batching.monolingual_ratio is None"),
        ("training/steps", "100", "training.steps is '100'"),
        (f"{WHOLE}", 7, "benchmarks.mlqa_r is no object"),
        (f"{WHOLE}/mono/map", 7, "benchmarks.mlqa_r.mono.map is 7, which is not between 0 and 1"),
        (f"{WHOLE}/multi/languages/de/r@10", -0.5, "benchmarks.mlqa_r.multi.languages.de.r@10 is -0.5"),
        (f"{WHOLE}/cross/map", "high", "benchmarks.mlqa_r.cross.map is 'high', which is no number"),
        (f"{WHOLE}/cross/map", float("nan"), "result.json is not JSON: it holds NaN, which is no number"),
        (f"{WHOLE}/bias/concordance/w", "x", "benchmarks.mlqa_r.bias.concordance.w is 'x', which is no number"),
    ],
)
def test_a_result_that_cannot_be_true_makes_its_run_unreadable_and_no_other(folder, path, value, reason):
    name = run_name("small", 0.0, 0)
    write_json(folder / name / "result.json", changed(path, value))
    sweep = read_sweep(folder)
    assert run_of(sweep, name).state == "unreadable"
    assert reason in run_of(sweep, name).reason
    assert len(sweep.results()) == 19


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.5, float("nan"), 0.5], "ap of mlqa_r (mono) is no number in some rows"),
        ([0.5, 7.0, 0.5], "ap of mlqa_r (mono) is not between 0 and 1 in some rows"),
        (["0.5", "0.5", "0.5"], "ap holds other things than numbers"),
        (None, "queries.parquet cannot be read"),
        ([0.5, 1.0, 0.0], ""),
    ],
)
def test_scores_of_queries_that_cannot_be_true_make_their_run_unreadable(folder, values, reason):
    """A column that a benchmark lacks is empty in all of its rows, beside one that has it."""
    path = folder / run_name("small", 0.0, 0) / "queries.parquet"
    if values is None:
        path.write_bytes(b"PAR1")
    else:
        table = pd.DataFrame({"benchmark": "mlqa_r", "setting": "mono", "ap": values})
        judged = pd.DataFrame({"benchmark": "miracl", "setting": "mono", "ndcg@10": [0.25]})
        pd.concat([table, judged]).to_parquet(path)
    found = run_of(read_sweep(folder), path.parent.name)
    assert found.state == ("unreadable" if reason else "done")
    assert reason in found.reason


def test_a_copy_of_a_folder_is_no_second_run(folder):
    """The one under its own name counts, whichever is read first."""
    name = run_name("small", 0.0, 0)
    whole = read_sweep(folder)
    shutil.copytree(folder / name, folder / "a_copy")
    sweep = read_sweep(folder)
    assert run_of(sweep, "a_copy").state == "unreadable"
    assert run_of(sweep, "a_copy").reason.startswith(f"it is the same run as {name}: a copy of its folder?")
    assert sweep.results() == whole.results()
    content = result("small", 0.0, 0) | {"run_name": "other_benchmark"}
    content["benchmarks"] = {"xquad_ca": content["benchmarks"]["mlqa_r"]}
    write_done(folder, content)
    assert run_of(read_sweep(folder), "other_benchmark").state == "done", "it brings new numbers"


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
    assert {run.state for run in sweep.runs} == {"planned"}
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
    write_json(run / "status.json", {"state": "requeued", "reason": "at step 40", "attempt": 3, "job": "12_4"})
    found = run_of(read_sweep(folder), run.name)
    assert (found.state, found.attempt, found.job) == ("requeued", 3, "12_4")
    assert found.reason == "it went back into the queue at step 40"


def test_a_finished_run_knows_its_starts_if_its_status_does(folder):
    run = folder / run_name("small", 0.0, 0)
    write_json(run / "status.json", {"state": "done", "attempt": 2, "job": None})
    found = run_of(read_sweep(folder), run.name)
    assert (found.state, found.attempt, found.job) == ("done", 2, "")
    (run / "status.json").write_text("{")
    assert run_of(read_sweep(folder), run.name).attempt is None
