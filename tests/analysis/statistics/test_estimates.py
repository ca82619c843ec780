"""The answer of a sweep whose truth is known."""

from dataclasses import replace

import pytest
from scored_sweep import LANGUAGES, RATIOS, write_scored_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import PRIMARY, UTILITIES, analyse
from mixlingual.config.schema import AnalysisConfig

QUICK = AnalysisConfig(draws=300, permutations=200)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    return analyse(read_sweep(write_scored_sweep(tmp_path_factory.mktemp("sweeps"))), QUICK)


def part(answer, setting, measure="map"):
    return next(x for x in answer.measured if (x.setting, x.measure) == (setting, measure))


def test_every_primary_contrast_is_estimated(answer):
    assert sorted((x.setting, x.measure) for x in answer.measured) == sorted(PRIMARY)
    assert answer.sizes == ("small", "large")
    assert all(x.interaction.over_runs for x in answer.measured)
    assert answer.left_out == {}


def test_the_interaction_is_found_where_it_is(answer):
    for setting in ("mono", "cross", "multi"):
        found = part(answer, setting).interaction
        assert found.low < 0.1 < found.high
        assert found.p < 0.001
    distance = part(answer, "multi", "rank_distance").interaction
    assert distance.low < 0 < distance.high
    assert distance.p > 0.05


def test_gains_of_sizes_are_signed_by_what_is_better(answer):
    gains = part(answer, "multi").gains
    assert list(gains) == ["small", "base", "large"]
    assert gains["large"].low > 0.05
    assert gains["small"].low < 0.005
    lower = part(answer, "multi", "rank_distance").gains["small"]
    assert lower.value == pytest.approx(-50, abs=3)  # ratio 0 has the lowest distance, one half is 50 above


def test_best_ratios_regret_and_slope(answer):
    multi = part(answer, "multi")
    assert multi.curves["large"].best.value == pytest.approx(0.5, abs=0.05)
    assert 0.5 in multi.curves["large"].unseparated
    assert part(answer, "multi", "rank_distance").curves["base"].best.value == 0
    assert multi.slope.low < multi.slope.high


def test_the_mixed_model_agrees(answer):
    """In sign; that only the largest size gains is no slope on log size, so that the test is less sure of it."""
    found = part(answer, "multi").mixed
    bend = found.coefficients.set_index("term").loc["size:ratio ** 2"]
    assert found.likelihood_ratio > 9
    assert bend.high < 0


def test_fronts_utilities_components_and_laws_are_there(answer):
    assert [front.model for front in answer.fronts["mlqa_r"]] == ["small", "base", "large"]
    assert set(answer.utilities) == {("mlqa_r", weight) for weight in UTILITIES}
    assert part(answer, "mono").components.question == pytest.approx(0.1, rel=0.3)
    assert part(answer, "mono").law is not None
    assert part(answer, "multi", "rank_distance").law is None


def test_languages_are_pooled_by_query_language(answer):
    found = part(answer, "cross").languages["large"]
    assert found.languages == LANGUAGES
    assert found.pooled.effect_G == pytest.approx([0.075] * 4, abs=0.02)


def test_one_seed_is_estimated_without_a_word_on_other_runs(tmp_path):
    found = analyse(read_sweep(write_scored_sweep(tmp_path, seeds=1)), QUICK)
    assert not part(found, "mono").interaction.over_runs
    assert part(found, "mono").components is None


def test_two_ratios_have_neither_curves_nor_contrasts(tmp_path):
    found = analyse(read_sweep(write_scored_sweep(tmp_path, seeds=1, ratios=(0.0, 1.0))), QUICK)
    assert all(not x.curves and x.interaction is None and not x.gains for x in found.measured)


def test_declared_sizes_are_contrasted(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    declared = AnalysisConfig(sizes=["small", "base"], draws=300, permutations=200)
    found = analyse(read_sweep(folder), declared)
    assert found.sizes == ("small", "base")
    assert part(found, "mono").interaction.low < 0 < part(found, "mono").interaction.high


def test_a_run_without_scores_is_named(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1, ratios=RATIOS[:3])
    (folder / "small_r0_s0" / "queries.parquet").unlink()
    found = analyse(read_sweep(folder), QUICK)
    assert found.left_out["small_r0_s0"] == "no scores by question are kept of it"


def without(folder, *names):
    for name in names:
        (folder / name / "result.json").unlink()
        (folder / name / "status.json").unlink()
    return folder


def test_seeds_may_differ_between_cells_and_cells_may_be_missing(tmp_path):
    """Three seeds at the corners, one or two elsewhere, and a ratio that one size lacks."""
    full = write_scored_sweep(tmp_path / "full", seeds=3)
    kept = analyse(read_sweep(full), QUICK)
    thinned = [f"{model}_r{ratio:g}_s2" for model in ("small", "base", "large") for ratio in (0.25, 0.75)]
    partial = without(full, *thinned, "base_r0.5_s0", "base_r0.5_s1", "base_r0.5_s2", "large_r0.25_s1")
    found = analyse(read_sweep(partial), QUICK)
    for setting in ("mono", "cross", "multi"):
        whole, rest = part(kept, setting), part(found, setting)
        assert rest.interaction.value == pytest.approx(whole.interaction.value), "the corners are all there"
        assert rest.interaction.over_runs
        assert list(rest.gains) == ["small", "large"]
        assert list(rest.curves) == ["small", "base", "large"]
        assert {cell.ratio for cell in rest.draws.cells if cell.model == "base"} == {0, 0.25, 0.75, 1}
        runs = dict(zip(rest.draws.cells, rest.draws.runs_K))
        assert (runs["large", 0.25], runs["large", 0.75], runs["large", 0.0]) == (1, 2, 3)
        assert rest.draws.freedom_K[rest.draws.place("large", 0.25)] == 2 + 0 + 2 + 1 + 2


def test_a_size_without_a_repeated_seed_makes_the_contrast_one_of_these_runs(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    found = analyse(read_sweep(without(folder, *(f"large_r{ratio:g}_s1" for ratio in (0.0, 0.5, 1.0)))), QUICK)
    assert not part(found, "mono").interaction.over_runs
    assert part(found, "mono").gains["small"].over_runs


def test_paragraphs_in_place_of_questions_give_what_their_own_analysis_gives(tmp_path):
    sweep = read_sweep(write_scored_sweep(tmp_path))
    by_paragraph = analyse(sweep, replace(QUICK, cluster="paragraph"))
    assert by_paragraph.by_paragraph == {}
    assert analyse(sweep, QUICK).by_paragraph == {
        (part.benchmark, part.setting, part.measure): part.interaction for part in by_paragraph.measured
    }
