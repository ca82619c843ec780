"""The answer of a sweep whose truth is known."""

from dataclasses import replace

import pytest
from scored_sweep import LANGUAGES, RATIOS, write_scored_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import PRIMARY, UTILITIES, analyse
from mixlingual.config.schema import AnalysisConfig

QUICK = AnalysisConfig(draws=1000)


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
    assert 0.5 in multi.curves["large"].possibly_best
    assert multi.curves["large"].regret.low == 0
    assert part(answer, "multi", "rank_distance").curves["base"].best.value == 0
    assert part(answer, "multi", "rank_distance").curves["base"].regret.low > 40
    assert multi.slope.low < multi.slope.high


def test_the_model_of_all_cells_agrees(answer):
    """That only the largest size gains is no line in log size, which is said."""
    found = part(answer, "multi").model
    assert found.interaction.p < 0.001
    assert found.lack_of_fit.p < 0.001
    assert found.coefficients.set_index("term").loc["size:ratio ** 2"].high < 0


def test_fronts_utilities_and_components_are_there(answer):
    assert [front.model for front in answer.fronts["mlqa_r"]] == ["small", "base", "large"]
    assert set(answer.utilities) == {("mlqa_r", weight) for weight in UTILITIES}
    assert part(answer, "mono").components.question == pytest.approx(0.1, rel=0.3)


def test_languages_are_pooled_by_query_language(answer):
    found = part(answer, "cross").languages["large"]
    assert found.languages == LANGUAGES
    assert found.pooled.effect_G == pytest.approx([0.075] * 4, abs=0.02)


def test_one_seed_is_estimated_without_a_word_on_other_runs(tmp_path):
    found = analyse(read_sweep(write_scored_sweep(tmp_path, seeds=1)), QUICK)
    assert not part(found, "mono").interaction.over_runs
    assert part(found, "mono").components is None
    assert any(gap.reason == "no cell has two seeds" for gap in found.gaps)


def test_two_ratios_have_neither_curves_nor_contrasts(tmp_path):
    found = analyse(read_sweep(write_scored_sweep(tmp_path, seeds=1, ratios=(0.0, 1.0))), QUICK)
    assert all(not x.curves and x.interaction is None and not x.gains for x in found.measured)


def test_declared_sizes_are_contrasted(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    declared = AnalysisConfig(sizes=["small", "base"], draws=1000)
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
        assert {cell.ratio for cell in rest.means.cells if cell.model == "base"} == {0, 0.25, 0.75, 1}


def test_a_size_without_a_repeated_seed_has_the_spread_of_the_others(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    found = analyse(read_sweep(without(folder, *(f"large_r{ratio:g}_s1" for ratio in (0.0, 0.5, 1.0)))), QUICK)
    interaction, gains = part(found, "mono").interaction, part(found, "mono").gains
    assert interaction.over_runs
    assert interaction.borrowed == ("large",)
    assert gains["small"].borrowed == ()
    assert interaction.error > max(gain.error for gain in gains.values()) * 0.99


def test_paragraphs_are_what_varies_unless_questions_are_asked_for(tmp_path):
    sweep = read_sweep(write_scored_sweep(tmp_path, seeds=1, ratios=(0.0, 0.5, 1.0)))
    means = {by: part(analyse(sweep, replace(QUICK, cluster=by)), "mono").means for by in ("paragraph", "query")}
    assert part(analyse(sweep, QUICK), "mono").means.clusters == means["paragraph"].clusters == 15
    assert means["query"].clusters == 60


def test_sizes_beyond_the_declared_ones_are_a_second_look(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    found = part(analyse(read_sweep(folder), replace(QUICK, sizes=["small", "base"])), "mono")
    ends, beyond = found.undeclared
    assert ends == ("small", "large")
    assert beyond.low < 0.1 < beyond.high
    assert part(analyse(read_sweep(folder), replace(QUICK, sizes=["small", "large"])), "mono").undeclared is None


def test_p_and_errors_do_not_depend_on_the_seed_of_the_analysis(tmp_path):
    sweep = read_sweep(write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0)))
    first, second = (part(analyse(sweep, replace(QUICK, seed=seed)), "mono") for seed in (0, 1))
    assert (first.interaction, first.gains) == (second.interaction, second.gains)
