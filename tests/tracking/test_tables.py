import numpy as np
import pytest

from mixlingual.records import RunResult
from mixlingual.tracking.tables import language_matrix, metric_tables, summary_scalars

BENCHMARKS = {
    "mlqa_r": {
        "fingerprint": "f",
        "languages": ["en", "zh", "zh-TW"],
        "complete": True,
        "mono": {"map": 0.5, "r@1": 0.4, "languages": {"en": {"map": 0.6, "queries": 3}}},
        "cross": {"map": 0.2, "pairs": {"en-zh": {"map": 0.1, "queries": 3}, "zh-TW-en": {"map": 0.3, "queries": 2}}},
        "multi": {"map": 0.3, "rank_distance": 9.0, "languages": {"en": {"map": 0.3, "rank_distance": 7.0}}},
    },
    "atlas": {"languages": ["en"], "mono": {"map": 1.0, "languages": {"en": {"map": 1.0, "queries": 1}}}},
}


def make_result(benchmarks, **parts):
    known = {"batches": {}, "training": {}, "timings": {}} | parts
    return RunResult("s", "r", {}, "h", None, {}, {}, {}, benchmarks=benchmarks, **known)


def test_scalars_are_the_macro_metrics_of_each_setting():
    assert summary_scalars(make_result(BENCHMARKS)) == {
        "eval/mlqa_r/mono/map": 0.5,
        "eval/mlqa_r/mono/r@1": 0.4,
        "eval/mlqa_r/cross/map": 0.2,
        "eval/mlqa_r/multi/map": 0.3,
        "eval/mlqa_r/multi/rank_distance": 9.0,
        "eval/atlas/mono/map": 1.0,
    }


def test_tables_hold_a_row_for_each_language_and_pair():
    assert metric_tables(BENCHMARKS) == {
        "eval/languages": (
            ["benchmark", "setting", "language", "map", "queries", "rank_distance"],
            [
                ["mlqa_r", "mono", "en", 0.6, 3, None],
                ["mlqa_r", "multi", "en", 0.3, None, 7.0],
                ["atlas", "mono", "en", 1.0, 1, None],
            ],
        ),
        "eval/pairs": (
            ["benchmark", "query_language", "candidate_language", "map", "queries"],
            [["mlqa_r", "en", "zh", 0.1, 3], ["mlqa_r", "zh-TW", "en", 0.3, 2]],
        ),
    }


@pytest.mark.parametrize("benchmarks", [{}, {"atlas": {"languages": ["en"]}}])
def test_a_run_without_evaluation_shows_nothing(benchmarks):
    assert (summary_scalars(make_result(benchmarks)), metric_tables(benchmarks)) == ({}, {})


def test_figures_of_the_run_stand_beside_its_scores():
    result = make_result(
        {},
        batches={"monolingual_ratio": 0.25, "sources": {}},
        training={"final_loss": 0.5},
        timings={"train": 7.0, "evaluate/atlas": 2.0},
        probes={"cosine": None, "probes": 3.0},
    )
    assert summary_scalars(result) == {
        "batches/monolingual_ratio": 0.25,
        "training/final_loss": 0.5,
        "seconds/train": 7.0,
        "seconds/evaluate/atlas": 2.0,
        "probes/probes": 3.0,
    }


BIASED = {
    "atlas": {
        "languages": ["en", "zh-TW"],
        "bias": {
            "first_result": {"relevant_own": 0.5},
            "lift@10": {"diagonal_preference": 2.0, "attraction": {"en": 0.1}, "log2": {"en": {"zh-TW": -1.0}}},
            "consistency": {"rbo": 0.3, "pairs": {"en-zh-TW": {"rbo": 0.4}}},
        },
    }
}


def test_bias_is_scalars_where_it_concerns_no_language_and_rows_of_a_table_always():
    assert summary_scalars(make_result(BIASED)) == {
        "eval/atlas/bias/first_result/relevant_own": 0.5,
        "eval/atlas/bias/lift@10/diagonal_preference": 2.0,
        "eval/atlas/bias/consistency/rbo": 0.3,
    }
    columns, rows = metric_tables(BIASED)["eval/bias"]
    assert columns == ["benchmark", "measure", "languages", "value"]
    assert rows == [
        ["atlas", "first_result/relevant_own", "", 0.5],
        ["atlas", "lift@10/diagonal_preference", "", 2.0],
        ["atlas", "lift@10/attraction", "en", 0.1],
        ["atlas", "lift@10/log2", "en-zh-TW", -1.0],
        ["atlas", "consistency/rbo", "", 0.3],
        ["atlas", "consistency/rbo", "en-zh-TW", 0.4],
    ]


def test_the_grid_of_languages_has_the_monolingual_setting_on_its_diagonal():
    grid = language_matrix(BENCHMARKS["mlqa_r"])
    assert list(grid.index) == list(grid.columns) == ["en", "zh", "zh-TW"]
    nan = np.nan
    np.testing.assert_array_equal(grid, [[0.6, 0.1, nan], [nan, nan, nan], [0.3, nan, nan]])
    assert language_matrix(BENCHMARKS["atlas"]) is None
