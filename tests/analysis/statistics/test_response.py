"""Curves against polynomials that they must hit, and best ratios with a known truth."""

import numpy as np
import pytest
from simulated import RATIOS, experiment

from mixlingual.analysis.statistics.resample import draw_cells
from mixlingual.analysis.statistics.response import AXIS_A, Interval, fit_curve, not_separable, slope_on_size, smoother


def curves(truth, *, larger_is_better=True, seed=0, draws=500, **options):
    drawn = draw_cells(*experiment(seed, truth, **options), draws, seed)
    sizes = ("small", "middle", "large")
    return {x: fit_curve(drawn, x, larger_is_better=larger_is_better, level=0.95) for x in sizes}


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
    assert found.unseparated == (0.75,)


def test_a_lower_is_better_measure_is_best_at_its_lowest():
    found = curves(lambda model, ratio: 100 + 50 * ratio, larger_is_better=False, **QUIET)["large"]
    assert found.best.value == 0
    assert found.regret.value == pytest.approx(25, rel=0.01)
    assert found.unseparated == (0.0,)


def test_on_a_flat_curve_no_ratio_is_told_from_the_best():
    found = curves(lambda model, ratio: 0.5, between_runs=0.02)["middle"]
    assert found.unseparated == RATIOS
    assert found.best.high - found.best.low > 0.5


def test_cells_that_are_never_best_are_told_apart_and_ties_are_not():
    rng = np.random.default_rng(0)
    mean = np.array([0.0, 1.0, 1.0])
    drawn = mean + rng.normal(0, 0.1, (2000, 3))
    assert not_separable(mean, drawn, 0.95).tolist() == [False, True, True]
    same = np.ones((10, 2))
    assert not_separable(np.ones(2), same, 0.95).all()
    assert not_separable(np.array([1.0, 2.0]), same, 0.95).tolist() == [False, True]


def test_two_ratios_have_no_curve():
    scores, cells = experiment(0)
    kept = [place for place, cell in enumerate(cells) if cell.ratio in (0.0, 1.0)]
    part = type(scores)(
        **{**vars(scores), "runs": tuple(scores.runs[x] for x in kept), "sum_RCG": scores.sum_RCG[kept]}
    )
    drawn = draw_cells(part, [cells[place] for place in kept], 50, 0)
    assert fit_curve(drawn, "small", larger_is_better=True, level=0.95) is None


def test_the_slope_is_that_of_the_best_ratio_on_the_logarithm_of_size():
    found = curves(peak_at({"small": 0.25, "middle": 0.5, "large": 0.75}), **QUIET)
    slope = slope_on_size(found, {"small": 10**6, "middle": 10**7, "large": 10**8}, 0.95)
    assert isinstance(slope, Interval)
    assert slope.value == pytest.approx(0.25, abs=0.01)
    assert slope.low <= slope.value <= slope.high
    assert slope_on_size({"small": found["small"]}, {"small": 10**6}, 0.95) is None
