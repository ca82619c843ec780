"""Intervals and tests on experiments with a known truth, and against tests written out or taken from libraries."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats
from simulated import RATIOS, experiment, flat

from mixlingual.analysis.statistics.contrasts import (
    Gain,
    Interaction,
    Options,
    adjusted,
    linear,
    satterthwaite,
    sign_flip,
)
from mixlingual.analysis.statistics.resample import Cell, draw_cells
from mixlingual.analysis.statistics.response import fit_curve

QUICK = Options(permutations=499)
MIXING = Interaction("small", "large", 0.5, larger_is_better=True)


def drawn(seed, truth=flat, draws=400, **options):
    return draw_cells(*experiment(seed, truth, **options), draws, seed)


def step(draws, **weights):
    """Weights of cells: SIZE_RATIO=weight."""
    weight_K = np.zeros(len(draws.cells))
    for name, weight in weights.items():
        model, ratio = name.split("_")
        weight_K[draws.place(model, float(ratio) / 100)] = weight
    return weight_K


@pytest.mark.parametrize("clusters", [3, 8, 12])
def test_few_clusters_are_enumerated(clusters):
    part = np.random.default_rng(clusters).normal(0.3, 1, clusters)
    signs = np.array(list(product((1, -1), repeat=clusters)))
    expected = np.mean(np.abs(signs @ part) >= abs(part.sum()) - 1e-12)
    assert sign_flip(part, 10, seed=0) == pytest.approx(expected)


def test_random_flips_agree_with_scipy():
    part = np.random.default_rng(1).normal(0.1, 1, 60)
    theirs = stats.permutation_test((part,), np.sum, permutation_type="samples", n_resamples=20_000, rng=1).pvalue
    assert sign_flip(part, 20_000, seed=0) == pytest.approx(theirs, abs=0.015)


def test_clusters_without_a_difference_do_not_count():
    part = np.array([0.5, 0.2, -0.1])
    assert sign_flip(np.append(part, np.zeros(50)), 10, seed=0) == sign_flip(part, 10, seed=0)
    assert sign_flip(np.zeros(5), 10, seed=0) == 1.0


def test_many_flips_in_blocks_count_each_once():
    part = np.ones(3000)
    assert sign_flip(part, 5000, seed=0) == pytest.approx(1 / 5001)


def test_satterthwaite_is_welchs_of_two_samples():
    first, second = np.random.default_rng(0).normal(0, (1, 3), (9, 2)).T
    welch = stats.ttest_ind(first, second[:5], equal_var=False)
    variances = [first.var(ddof=1) / 9, second[:5].var(ddof=1) / 5]
    assert satterthwaite(variances, [8, 4]) == pytest.approx(welch.df)


def test_without_seeds_the_error_is_that_of_a_paired_t_test_over_questions():
    scores, cells = experiment(5, seeds=1)
    draws = draw_cells(scores, cells, 4000, 0)
    found = linear(draws, step(draws, large_50=1, small_50=-1), QUICK)
    own_RC = scores.sum_RCG.mean(axis=2)
    difference = own_RC[cells.index(Cell("large", 0.5))] - own_RC[cells.index(Cell("small", 0.5))]
    assert not found.over_runs
    assert found.value == pytest.approx(difference.mean(), abs=1e-6)
    assert found.error == pytest.approx(difference.std(ddof=1) / np.sqrt(len(difference)), rel=0.05)


def test_the_spread_between_runs_is_that_of_the_seeds():
    draws = drawn(3, seeds=8, between_runs=0.02, rest=0.0, draws=4000)
    assert draws.seed_sd_K == pytest.approx(np.full(len(draws.cells), 0.02), rel=0.3)
    between = np.var(draws.whole_BK, axis=0) - np.var(draws.question_BK, axis=0)
    assert between == pytest.approx(draws.seed_sd_K**2 / 8, rel=0.35)
    assert set(draws.freedom_K) == {len(RATIOS) * 7}


def test_holm_adjusts_over_all_contrasts():
    draws = drawn(0)
    found = [linear(draws, step(draws, large_50=1, **{f"small_{r}": -1}), QUICK) for r in (0, 25, 75)]
    ordered = sorted(found, key=lambda x: x.p)
    expected = [min(1.0, 3 * ordered[0].p), min(1.0, 2 * ordered[1].p), ordered[2].p]
    assert [x.p for x in adjusted(ordered)] == pytest.approx(list(np.maximum.accumulate(expected)))
    assert adjusted([]) == []
    once = adjusted([replace(ordered[0], p_questions=0.03)] * 8)
    assert once[0].p_questions == pytest.approx(0.24)
    assert once[0].detectable > ordered[0].detectable


def test_an_interaction_is_a_difference_of_gains_over_the_better_pure_ratio():
    def truth(model, ratio):
        peak = 0.05 if model == "large" else 0.02
        return 0.5 + peak * (ratio == 0.5) + 0.01 * ratio

    draws = drawn(0, truth, questions=50, between_runs=0, question_and_cell=0, rest=0)
    found = MIXING.estimate(draws, QUICK)
    assert found.value == pytest.approx(0.05 - 0.02, abs=1e-6)
    lower = Interaction("small", "large", 0.5, larger_is_better=False).estimate(draws, QUICK)
    assert lower.value == pytest.approx(-0.03, abs=1e-6)
    assert Interaction("small", "huge", 0.5, larger_is_better=True).estimate(draws, QUICK) is None


def test_against_one_pure_ratio_there_is_no_choice():
    def truth(model, ratio):
        return 0.5 + (0.05 if model == "large" else 0.02) * (ratio == 0.5) + 0.01 * ratio * (model == "large")

    draws = drawn(0, truth, questions=50, between_runs=0, question_and_cell=0, rest=0)
    assert MIXING.against(draws, 0.0, QUICK).value == pytest.approx(0.035, abs=1e-6)
    assert MIXING.against(draws, 1.0, QUICK).value == pytest.approx(0.025, abs=1e-6)
    lower = Interaction("small", "large", 0.5, larger_is_better=False)
    assert lower.against(draws, 1.0, QUICK).value == pytest.approx(-0.025, abs=1e-6)
    assert Interaction("small", "huge", 0.5, larger_is_better=True).against(draws, 1.0, QUICK) is None


def test_the_choice_changes_in_half_of_the_draws_of_equal_ratios_and_never_between_distant_ones():
    def truth(model, ratio):
        return 0.5 + ratio * (model == "large")

    draws = drawn(0, truth, questions=50, seeds=5)
    tied, apart = (Gain(model, 0.5, larger_is_better=True).switched(draws) for model in ("small", "large"))
    assert 0.01 < tied <= 0.6
    assert apart == 0
    assert MIXING.switched(draws) == tied


def test_the_larger_of_two_means_is_too_large_by_no_more_than_is_said():
    """Both pure ratios of small are equal, those of large far apart: the worst case. Without a choice there is no bias.

    A cell's error is .01 / sqrt(3) = .0058, so the bias of the small size's gain is at most .0033.
    """

    def truth(model, ratio):
        return 0.5 + ratio * (model == "large") + 0.5 * (ratio == 0.5)

    options = {"questions": 20, "question_and_cell": 0.0, "rest": 0.0, "between_runs": 0.01, "draws": 2}
    studied = [drawn(seed, truth, **options) for seed in range(300)]
    chosen = np.mean([draws.mean_K @ MIXING.weights(draws) for draws in studied])
    fixed = np.mean([MIXING.against(draws, 1.0, Options(permutations=99)).value for draws in studied])
    assert chosen - (-0.5) == pytest.approx(0.56 * 0.01 / np.sqrt(3), abs=0.0015)
    assert fixed - (-0.5) == pytest.approx(0, abs=0.0015)


def test_one_seed_says_nothing_of_other_runs():
    assert not MIXING.estimate(drawn(0, seeds=1), QUICK).over_runs
    assert MIXING.estimate(drawn(0, seeds=2), QUICK).over_runs


STUDY = 120
"""Experiments of a small study; binomial error of a share of .95: .02."""


def study(truth=flat, experiments=STUDY, **options):
    gains = {model: truth(model, 0.5) - max(truth(model, 0), truth(model, 1)) for model in ("small", "large")}
    rows = []
    for seed in range(experiments):
        draws = drawn(seed, truth, draws=300, **options)
        found = MIXING.estimate(draws, QUICK)
        curve = fit_curve(draws, "large", larger_is_better=True, level=0.95)
        best = max(RATIOS, key=lambda ratio: truth("large", ratio))
        rows.append((
            found.low <= gains["large"] - gains["small"] <= found.high,
            found.p < 0.05,
            found.p_questions < 0.05,
            best in curve.unseparated,
        ))  # fmt: skip
    return np.mean(rows, axis=0)


def test_a_small_study_of_no_interaction_keeps_level_and_coverage():
    covered, significant, by_questions, best_kept = study(between_runs=0.015)
    assert covered > 0.9
    assert significant < 0.1
    assert by_questions > significant  # other runs are no matter of questions
    assert best_kept > 0.9


def test_a_small_study_of_an_interaction_finds_it():
    def truth(model, ratio):
        return 0.5 + (0.06 if model == "large" else 0.0) * (1 - abs(2 * ratio - 1))

    covered, significant, _, best_kept = study(truth, 60)
    assert covered > 0.88
    assert significant > 0.9
    assert best_kept > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("between_runs", [0.0, 0.005, 0.02])
def test_level_and_coverage_over_seeds_and_spreads(seeds, between_runs):
    covered, significant, _, best_kept = study(experiments=600, seeds=seeds, between_runs=between_runs)
    assert covered > 0.93
    assert significant < 0.07
    assert best_kept > 0.9


def test_two_seeds_show_the_whole_spread_between_runs():
    """Two runs lie half a squared difference from their mean: without a correction half the variance would be lost."""
    found = [drawn(seed, seeds=2, between_runs=0.02, rest=0.0, questions=20, draws=2).seed_sd_K for seed in range(60)]
    assert np.mean(np.square(found)) == pytest.approx(0.02**2, rel=0.15)
