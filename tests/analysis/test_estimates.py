"""The answer of a sweep whose truth is known."""

import pytest
from scored_sweep import LANGUAGES, RATIOS, write_scored_sweep

from mixlingual.analysis.collect import read_sweep
from mixlingual.analysis.estimates import PRIMARY, UTILITIES, analyse
from mixlingual.config import AnalysisConfig

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
    assert part(answer, "multi").mixed.p < 0.01


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
    assert "cannot be read" in found.left_out["small_r0_s0"]
