"""Benchmarks of one's own wherever the named ones go: training, evaluation, exports, report, status and W&B."""

import json
import shutil

import pandas as pd
import pytest
from custom_folder import write_parallel
from forks import run_module

from mixlingual.config.schema import EvaluateConfig, EvaluationConfig
from mixlingual.data.sources.atlas import atlas_items
from mixlingual.evaluation.trec import read_run
from mixlingual.grid.evaluation import evaluate
from mixlingual.runs.result import read_result
from mixlingual.tracking.tables import summary_scalars

TINY = (
    "model=scratch_xs", "model.scratch.vocabulary=1000", "trainer.steps=2", "data.languages=[de,en]",
    "batching.batch_size=8", "trainer.threads=1", "evaluation.benchmarks=[mine,apart]",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that was evaluated on a parallel set and on one whose languages are on their own."""
    folder = tmp_path_factory.mktemp("custom")
    write_parallel(folder / "mine", atlas_items()[:40], ("de", "en"))
    write_parallel(folder / "alone", atlas_items()[:30], ("de",))
    (folder / "runs").mkdir()
    own = [f"evaluation.custom.mine={folder}/mine", f"evaluation.custom.apart={folder}/alone"]
    options = [*TINY, *own, f"evaluation.runs={folder}/runs"]
    done = run_module(folder, "mixlingual.train", *options)
    assert done.returncode == 0, done.stderr
    return folder, options


def test_a_run_is_evaluated_on_them(trained):
    folder, _ = trained
    run = folder / "multirun/adhoc/scratch_xs_hybrid_r0.5_s0"
    result = read_result(run / "result.json")
    mine, apart = (result.benchmarks[name] for name in ("mine", "apart"))
    assert mine.keys() >= {"mono", "cross", "multi", "bias"}
    assert {"mine": mine["fingerprint"], "apart": apart["fingerprint"]}.items() <= result.data.items()
    assert apart["mono"]["languages"]["de"]["queries"] == 30
    shown = {"eval/mine/multi/rank_distance", "eval/mine/bias/lift@10/diagonal_preference", "eval/apart/mono/ndcg@10"}
    assert shown <= summary_scalars(result).keys()
    table = pd.read_parquet(run / "queries.parquet")
    assert table.groupby(["benchmark", "setting"]).size().to_dict() == {
        ("apart", "mono"): 30, ("mine", "mono"): 80, ("mine", "cross"): 80, ("mine", "multi"): 80
    }  # fmt: skip
    assert len(read_run(folder / "runs/mine.trec.gz")) == 80
    assert len(read_run(folder / "runs/apart/de-de.trec.gz")) == 30


def test_report_and_status_show_them(trained):
    folder, _ = trained
    report = run_module(folder, "mixlingual.report", "sweep_name=adhoc")
    assert report.returncode == 0, report.stderr
    metrics = pd.read_csv(folder / "multirun/adhoc/report/results.csv")
    assert set(metrics.benchmark) == {"mine", "apart"}
    assert "mine" in (folder / "multirun/adhoc/report/index.html").read_text()
    status = run_module(folder, "mixlingual.status", "sweep_name=adhoc")
    assert status.returncode == 0
    assert "done" in status.stdout


def test_a_folder_that_changed_is_not_taken_for_the_one_of_then(trained, tmp_path):
    folder, options = trained
    shutil.copytree(folder / "mine", tmp_path / "moved")
    moved = [option.replace(f"{folder}/mine", f"{tmp_path}/moved") for option in options]
    again = run_module(folder, "mixlingual.train", *moved)
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stderr + again.stdout
    queries = tmp_path / "moved/de/queries.jsonl"
    queries.write_text(queries.read_text().replace("?", "!"))
    changed = run_module(folder, "mixlingual.train", *moved)
    assert changed.returncode == 1
    assert "was made from other data than" in changed.stderr
    assert ": mine\n" in changed.stderr


def test_runs_of_another_system_are_scored_on_them(trained, tmp_path):
    folder, _ = trained
    config = EvaluateConfig(
        evaluation=EvaluationConfig(benchmarks=["apart"], custom={"apart": str(folder / "alone")}),
        score_runs=str(folder / "runs"), output=str(tmp_path / "out.json"),
    )  # fmt: skip
    evaluate(config)
    theirs = json.loads((tmp_path / "out.json").read_text())["benchmarks"]["apart"]
    ours = read_result(folder / "multirun/adhoc/scratch_xs_hybrid_r0.5_s0/result.json").benchmarks["apart"]
    assert theirs["mono"] == ours["mono"]
