"""questions.parquet of a report: small enough to publish, and the tables' numbers are its means."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scored_sweep import queries, write_scored_sweep
from sweep_fixture import write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.records import RunResult
from mixlingual.reporting.scores import question_table, runs_table


def test_the_mean_over_questions_is_the_macro_mean_of_the_run(tmp_path: Path) -> None:
    sweep = read_sweep(write_scored_sweep(tmp_path, seeds=1, ratios=(0.0, 0.5)))
    kept = question_table(sweep)
    assert set(kept["run"]) == {run.name for run in sweep.runs}
    means = kept.groupby(["run", "setting", "measure"])["score"].mean()
    for run in sweep.runs:
        rows = pd.read_parquet(sweep.folder / run.name / "queries.parquet")
        for setting, part in rows.groupby("setting"):
            expected = part.groupby(["query_language", "candidate_language"])["ap"].mean().mean()
            assert means[run.name, setting, "map"] == pytest.approx(expected, abs=1e-6)
        assert means[run.name, "multi", "rank_distance"] == pytest.approx(rows["rank_distance"].mean(), rel=1e-6)


def test_a_question_has_the_mean_over_its_languages(tmp_path: Path) -> None:
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=(0.5,))
    kept = question_table(read_sweep(folder))
    rows = queries("small", 0.5, 0)
    run = next(run for run in kept["run"].unique() if "small" in run)
    expected = rows[(rows["setting"] == "cross") & (rows["query"] == "q7")]["ap"].mean()
    one = kept[(kept["run"] == run) & (kept["setting"] == "cross") & (kept["query"] == "q7")]
    np.testing.assert_allclose(one["score"], [expected], atol=1e-6)


def test_a_sweep_without_scores_by_question_has_an_empty_table(tmp_path: Path) -> None:
    table = question_table(read_sweep(write_sweep(tmp_path)))
    assert table.empty
    assert list(table)[-1] == "score"


def test_results_are_kept_whole(tmp_path: Path) -> None:
    sweep = read_sweep(write_sweep(tmp_path))
    kept = runs_table(sweep)
    assert kept["run"].tolist() == [run.name for run in sweep.in_state("done")]
    assert [RunResult(**json.loads(text)) for text in kept["result"]] == sweep.results()
