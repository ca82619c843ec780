import numpy as np

from mixlingual.evaluation.judged_metrics import ANSWER_DEPTHS, MEASURES
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.measures.names import METRICS, bias_numbers, language_bias, setting_of_bias
from mixlingual.measures.profile import QUERY_COLUMNS
from mixlingual.records import Benchmark, Candidate, Query


def scores():
    """Of random embeddings of four questions in two languages."""
    places = [(language, i) for language in ("de", "en") for i in range(4)]
    benchmark = Benchmark(
        "tiny",
        ("de", "en"),
        tuple(Query(f"{i}", language, "q", f"paragraph {i}") for language, i in places),
        tuple(Candidate(f"{language}{i}", language, "c") for language, i in places),
        {(f"{i}", language): position for position, (language, i) in enumerate(places)},
        "0" * 16,
    )
    random = np.random.default_rng(0)
    query_QD, candidate_ND = (random.normal(size=(8, 5)).astype(np.float32) for _ in range(2))
    return score_benchmark(benchmark, query_QD, candidate_ND).metrics


def test_every_measure_that_is_computed_has_a_name():
    found = scores()
    multi = {name for name, value in found["multi"].items() if isinstance(value, float)}
    bias = dict(bias_numbers(found["bias"]))
    assert multi | {*QUERY_COLUMNS, *MEASURES, *ANSWER_DEPTHS} <= set(METRICS)
    assert set(bias) - {"concordance.chance", "exposure_divergence@10.chance"} == {
        name for name in METRICS if "." in name
    }


def test_every_measure_of_bias_says_what_it_means():
    listed = [name for names in language_bias().values() for name in names]
    assert len(listed) == len(set(listed)) == 32
    assert set(QUERY_COLUMNS) < set(listed)
    assert all(METRICS[name].meaning.endswith(".") and METRICS[name].unbiased for name in listed)
    assert [len(names) for names in language_bias().values()] == [7, 13, 5, 7]


def test_levels_without_bias():
    assert METRICS["rank_distance"].reference(11) == 10
    assert METRICS["own_first"].reference(4) == 0.25
    assert METRICS["consistency.rbo"].reference(7) == 1
    assert METRICS["delta_ap_own"].reference is None


def test_where_a_measure_of_bias_is_found():
    assert setting_of_bias("own_first") == "multi"
    assert setting_of_bias("concordance.w") == "bias"


def test_only_numbers_are_figures():
    section = {"a": {"x": 1, "y": None, "z": float("nan"), "more": {"de": 1}}, "b": 3, "c": {"yes": True}}
    assert list(bias_numbers(section)) == [("a.x", 1.0)]
