import json

import pytest
from sweep_fixture import mono_map, result, write_answers, write_curve, write_done, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import read_scores
from mixlingual.analysis.tables.grid import grid_axes, languages_table, results_table
from mixlingual.reporting.payload import CURVE_POINTS, as_json, payload


def payload_of(folder):
    sweep = read_sweep(folder)
    return payload(sweep, results_table(sweep), languages_table(sweep), grid_axes(sweep), read_scores(sweep).parts)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("multirun"))
    write_curve(folder / "base_r0.5_s1", 200)
    return payload_of(folder)


@pytest.fixture
def run(numbers):
    """The position of the run base, ratio 0.5, seed 1."""
    return [run["name"] for run in numbers["runs"]].index("base_r0.5_s1")


def test_runs_have_their_place(numbers, run):
    assert len(numbers["runs"]) == 20
    assert numbers["runs"][run] == {"name": "base_r0.5_s1", "model": 1, "point": 2, "seed": 1, "realised": 0.25}
    assert numbers["models"][1] == {"name": "base", "label": "base (85M)", "weights": 85_000_000}
    assert numbers["points"][2] == {"series": "hybrid", "ratio": 0.5, "label": "0.5", "baseline": False}


def test_scores_are_those_of_the_results(numbers, run):
    scores = numbers["benchmarks"]["mlqa_r"]["scores"]
    expected = mono_map("base", 0.5, 1)
    assert scores["mono"]["map"]["all"][run] == pytest.approx(expected)
    assert scores["mono"]["map"]["de"][run] == pytest.approx(expected - 0.01)
    assert scores["multi"]["rank_distance"]["all"][run] == 112
    assert scores["bias"]["concordance.w"]["all"][run] == 0.25
    # de to ar and en: 0.1 and 0.01 below mono, and 0 and 0.002 for the candidates
    assert scores["cross"]["map"]["de"][run] == pytest.approx(expected - 0.111)
    assert list(scores["mono"]) == ["map", "r@1", "r@10"], "in the order of METRICS"


def test_matrices_are_by_question_then_candidates_in_script_order(numbers, run):
    benchmark = numbers["benchmarks"]["mlqa_r"]
    assert benchmark["languages"] == ["de", "en", "ar"]
    assert benchmark["scripts"] == ["Latn", "Latn", "Arab"]
    mono = mono_map("base", 0.5, 1)
    cross = mono - 0.1
    expected = [
        mono - 0.01, cross - 0.012, cross - 0.01,
        cross - 0.021, mono - 0.02, cross - 0.02,
        cross - 0.001, cross - 0.002, mono,
    ]  # fmt: skip
    assert benchmark["matrices"]["map"][run] == pytest.approx(expected)
    assert benchmark["matrices"]["lift@10"][run] == [1.5, -0.5, -0.5, -0.5, 1.5, -0.5, -0.5, -0.5, 1.5]


def test_levels_without_bias(numbers):
    levels = numbers["benchmarks"]["mlqa_r"]["references"]
    assert levels == {
        "rank_distance_normalized": 0,
        "lift@10.diagonal_preference": 0,
        "concordance.w": pytest.approx(0.01),
    }


def test_levels_go_by_the_languages_that_questions_have_answers_in(tmp_path):
    """Of mlqa_r's three languages a question has answers in two, another in all; a third, in one, has no distance."""
    content = result("small", 0.5, 0)
    content["benchmarks"]["mlqa_r"]["multi"] |= {"own_first": 0.5, "max_rank": 9.0}
    run = write_done(tmp_path / "s", content)
    answers = {("a", "de"): ["ar", "de"], ("b", "de"): ["ar", "de", "en"], ("c", "de"): ["de"]}
    write_answers(
        run, "mlqa_r", answers | {("a", "ar"): ["ar", "de"], ("b", "ar"): ["ar", "de", "en"], ("d", "ar"): ["ar", "en"]}
    )
    levels = payload_of(tmp_path / "s")["benchmarks"]
    assert {name: levels["mlqa_r"]["references"][name] for name in ("rank_distance", "max_rank")} == {
        "rank_distance": pytest.approx((1.5 + 4 / 3) / 2),
        "max_rank": pytest.approx((2.5 + 7 / 3) / 2),
    }
    assert levels["mlqa_r"]["references"]["rank_distance_median"] == pytest.approx((1.5 + 1) / 2)
    assert levels["mlqa_r"]["references"]["own_first"] == pytest.approx(
        ((1 / 2 + 1 / 3) / 2 + (1 / 2 + 1 / 3 + 1 / 2) / 3) / 2
    )
    assert "rank_distance" not in levels["xquad_r"]["references"], "queries.parquet has none of its questions"


def test_a_benchmark_without_a_known_measure_is_left_out(tmp_path):
    content = result("small", 0.5, 0)
    content["benchmarks"]["new"] = {"languages": ["de"], "multi": {"novel": 0.5, "languages": {"de": {"map": 0.5}}}}
    write_done(tmp_path / "s", content)
    assert list(payload_of(tmp_path / "s")["benchmarks"]) == ["mlqa_r", "xquad_r"]


def test_curves_are_thinned(numbers, run):
    curve = numbers["curves"][run]
    assert len(curve["step"]) == CURVE_POINTS
    assert (curve["step"][0], curve["step"][-1], curve["loss"][-1]) == (1, 200, 1)
    assert set(curve["loss_cross"]) == {None, 4}
    assert all(numbers["curves"][other] == {} for other in range(20) if other != run)


def test_partial_results_have_blanks(tmp_path):
    content = result("small", 0.5, 0)
    content["benchmarks"] = {"x": {"mono": {"map": 0.5}, "multi": {}}, "y": {"bias": {"lift@10": 3}}}
    write_done(tmp_path / "s", content)
    write_done(tmp_path / "s", result("small", 0.5, 1))
    found = payload_of(tmp_path / "s")["benchmarks"]
    assert found["x"]["scores"] == {"mono": {"map": {"all": [0.5, None]}}, "cross": {}, "multi": {}, "bias": {}}
    assert found["x"]["matrices"] == {}
    assert "y" not in found
    assert found["mlqa_r"]["matrices"]["map"][0] is None


def test_json_ends_no_script_element():
    evil = "</script><!--<script>&\u2028 ü"
    text = as_json({evil: [evil, None]})
    assert json.loads(text) == {evil: [evil, None]}
    assert not set(text) & set("<>&\u2028ü")
    with pytest.raises(ValueError, match="Out of range"):
        as_json({"x": float("nan")})
