"""Curves against polynomials that they must hit, and best ratios with a known truth."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import RATIOS, SIZES, cell_means

from mixlingual.analysis.statistics.cells import smoother
from mixlingual.analysis.statistics.gaps import NotPossibleError
from mixlingual.analysis.statistics.response import (
    AXIS_A,
    Draws,
    Interval,
    SomeCells,
    fit_curve,
    possibly_best,
    regret,
    slope_on_size,
)

QUICK = Draws(number=2000)


def curves(truth, *, larger_is_better=True, seed=0, **options):
    means = cell_means(seed, truth, **options)
    return {x: fit_curve(means, x, larger_is_better=larger_is_better, draws=QUICK, sizes=3) for x in SIZES}


QUIET = {"questions": 60, "between_runs": 1e-4, "question_and_cell": 1e-4, "rest": 1e-4}


def peak_at(place):
    return lambda model, ratio: 0.5 - 0.2 * (ratio - (place[model] if isinstance(place, dict) else place)) ** 2


@pytest.mark.parametrize("ratios", [[0, 0.5, 1], [0, 0.1, 0.5, 1], [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]])
def test_parabolas_are_fitted_exactly(ratios):
    ratio_K = np.array(ratios, dtype=float)
    assert smoother(ratio_K, AXIS_A) @ (2 - 3 * ratio_K**2) == pytest.approx(2 - 3 * AXIS_A**2)


def test_up_to_four_ratios_are_hit_exactly():
    ratio_K = np.array([0, 0.1, 0.4, 1])
    mean_K = np.array([0.3, 0.9, 0.2, 0.5])
    assert smoother(ratio_K, ratio_K) @ mean_K == pytest.approx(mean_K)


def test_seven_ratios_leave_three_degrees_of_freedom_beside_the_level():
    ratio_K = np.array([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1])
    hat = smoother(ratio_K, ratio_K)
    assert np.trace(hat) == pytest.approx(4)
    assert hat @ hat == pytest.approx(hat)


def test_the_best_ratio_and_the_regret_of_one_half():
    found = curves(peak_at(0.75), **QUIET)["small"]
    assert found.best.value == pytest.approx(0.75, abs=0.01)
    assert found.best.low <= 0.75 <= found.best.high
    assert found.regret.value == pytest.approx(0.2 * 0.25**2, rel=0.02)
    assert 0 < found.regret.low < found.regret.value < found.regret.high
    assert found.possibly_best == (0.75,)


def test_a_lower_is_better_measure_is_best_at_its_lowest():
    found = curves(lambda model, ratio: 100 + 50 * ratio, larger_is_better=False, **QUIET)["large"]
    assert found.best.value == 0
    assert found.regret.value == pytest.approx(25, rel=0.01)
    assert found.possibly_best == (0.0,)


def test_on_a_flat_curve_no_ratio_is_told_from_the_best():
    found = curves(lambda model, ratio: 0.5, between_runs=0.02)["middle"]
    assert found.possibly_best == RATIOS
    assert found.best.high - found.best.low > 0.5


def size(*mean, sd=0.1, freedom=1e6):
    return SomeCells(np.linspace(0, 1, len(mean)), np.array(mean), np.eye(len(mean)) * sd**2, freedom)


def test_the_set_loses_what_is_surely_worse_and_keeps_ties():
    cells = size(0.0, 1.0, 1.0)
    assert possibly_best(cells, cells.noise(QUICK), 0.95) == (0.5, 1.0)


def test_all_tied_ratios_are_in_the_set_together_with_the_given_chance():
    """Seven cells, all best; one comparison at a time would keep all of them far less often."""
    rng = np.random.default_rng(1)
    cells = size(*[0.0] * 7, freedom=12.0)
    noise = cells.noise(QUICK)
    drawn = rng.normal(0, 0.1, (1000, 7)) / np.sqrt(rng.chisquare(12, (1000, 1)) / 12)
    kept = [len(possibly_best(replace(cells, mean_K=mean), noise, 0.95)) == 7 for mean in drawn]
    assert 0.925 < np.mean(kept) < 0.975


@pytest.mark.parametrize("truth", [(0.0, 0.0, 0.0), (0.0, 0.1, 0.05), (0.3, 0.0, 0.3), (0.0, 0.3, 0.0, -0.1, 0.3)])
def test_the_bounds_of_the_regret_hold_it_flat_or_not(truth):
    rng = np.random.default_rng(2)
    cells = size(*truth)
    noise, true = cells.noise(QUICK), max(truth) - truth[len(truth) // 2]
    drawn = np.array(truth) + rng.normal(0, 0.1, (1000, len(truth)))
    found = [regret(replace(cells, mean_K=mean), 0.5, noise, 0.95) for mean in drawn]
    assert np.mean([each.low <= true <= each.high for each in found]) > 0.935


def test_a_ratio_that_was_not_measured_has_no_regret():
    cells = size(0.0, 1.0)
    assert regret(cells, 0.5, cells.noise(QUICK), 0.95) is None


def test_critical_values_hardly_move_with_the_seed():
    means = cell_means(0, peak_at(0.75))
    found = [fit_curve(means, "small", larger_is_better=True, draws=Draws(seed=seed)).regret for seed in range(3)]
    width = [each.high - each.value for each in found]
    assert np.ptp(width) < 0.1 * min(width)


def test_two_ratios_have_no_curve():
    means = cell_means(0, seeds_of={("small", ratio): 0 for ratio in (0.25, 0.5, 0.75)})
    with pytest.raises(NotPossibleError, match="it takes three ratios, and there are 2"):
        fit_curve(means, "small", larger_is_better=True, draws=QUICK)


def test_the_slope_is_that_of_the_best_ratio_on_the_logarithm_of_size():
    found = curves(peak_at({"small": 0.25, "middle": 0.5, "large": 0.75}), **QUIET)
    slope = slope_on_size(found, {"small": 10**6, "middle": 10**7, "large": 10**8})
    assert isinstance(slope, Interval)
    assert slope.value == pytest.approx(0.25, abs=0.01)
    assert slope.low <= slope.value <= slope.high
    with pytest.raises(NotPossibleError, match="two sizes"):
        slope_on_size({"small": found["small"]}, {"small": 10**6})
