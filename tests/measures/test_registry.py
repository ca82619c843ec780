from pathlib import Path

from parallel_benchmark import made

from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.measures.judged import ANSWER_DEPTHS
from mixlingual.measures.measure import OF_LISTS
from mixlingual.measures.registry import METRICS, language_bias, measures_table, question_columns

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_every_measure_that_is_computed_has_a_name():
    found = score_benchmark(*made(0)).metrics
    multi = {name for name, value in found["multi"].items() if isinstance(value, float)}
    bias = {
        f"{s}.{key}" for s, part in found["bias"].items() for key, value in part.items() if isinstance(value, float)
    }
    assert multi | {*question_columns(), *OF_LISTS, *ANSWER_DEPTHS} <= set(METRICS)
    levels = {measure.level for measure in METRICS.values() if isinstance(measure.level, str)}
    assert bias - levels == {name for name in METRICS if "." in name}


def test_every_measure_of_bias_says_what_it_means():
    listed = [name for names in language_bias().values() for name in names]
    assert len(listed) == len(set(listed)) == 29
    assert set(question_columns()) < set(listed)
    assert all(METRICS[name].meaning.endswith(".") and METRICS[name].unbiased for name in listed)
    assert [len(names) for names in language_bias().values()] == [7, 13, 2, 7]


def test_levels_without_bias():
    assert METRICS["rank_distance"].level(11) == 10
    assert METRICS["own_first"].level(4) == 0.25
    assert METRICS["consistency.rbo"].level(7) == 1
    assert METRICS["delta_ap_own"].level is None


def test_the_docs_list_every_measure_of_bias():
    table = measures_table()
    assert table in DOCS.read_text(encoding="utf-8"), f"put this table into docs/evaluation.md:\n{table}"
