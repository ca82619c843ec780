import pytest

from mixlingual.training.result_view import macro_scalars, metric_tables

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


def test_scalars_are_the_macro_metrics_of_each_setting():
    assert macro_scalars(BENCHMARKS) == {
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
    assert (macro_scalars(benchmarks), metric_tables(benchmarks)) == ({}, {})
