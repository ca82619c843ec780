"""The response of each size to the ratio, where it is best, and what the ratio of one half costs.

A curve is a cubic over the ratio, fitted to the cell means by least squares; a parabola of three ratios. (A natural
spline of as many degrees of freedom is straight at the ends and so draws the best ratio of a parabola to the middle, by
.04 from .75.) The best ratio is ill-defined on a flat curve, so it never stands alone: beside it are the regret of a
fixed ratio and the ratios that cannot be told from the best.

Shape suffixes: K cells of a size by ascending ratio, A points of the ratio axis, B draws, S sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

from mixlingual.analysis.statistics.resample import CellDraws

AXIS_A = np.linspace(0, 1, 101)
"""Ratios at which curves are evaluated."""

_DEGREE = 3


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """How a size responds to the ratio."""

    model: str
    ratio_K: NDArray[np.float64]
    mean_K: NDArray[np.float64]
    fit_A: NDArray[np.float64]
    low_A: NDArray[np.float64]
    high_A: NDArray[np.float64]
    """Pointwise interval of the fit."""
    best: Interval
    """The ratio at which the fit is best."""
    regret: Interval
    """How much the best of the fit is better than the fit at the reference ratio; never below 0."""
    unseparated: tuple[float, ...]
    """Measured ratios that cannot be told from the best one: see `not_separable`."""
    best_B: NDArray[np.float64]
    """The best ratio in each draw."""


def fit_curve(
    draws: CellDraws, model: str, *, larger_is_better: bool, level: float, reference: float = 0.5
) -> Curve | None:
    """The curve of one size; None where it has fewer than three ratios.

    Args:
        draws: cell means.
        model: the size.
        larger_is_better: whether high values are good.
        level: of the intervals.
        reference: the ratio of `Curve.regret`.
    """
    places = sorted((cell.ratio, place) for place, cell in enumerate(draws.cells) if cell.model == model)
    if len(places) < 3:
        return None
    ratio_K, place_K = np.array([ratio for ratio, _ in places]), [place for _, place in places]
    mean_K, mean_BK = draws.mean_K[place_K], draws.whole_BK[:, place_K]
    smooth_AK = smoother(ratio_K, np.append(AXIS_A, reference))
    fit_A, fit_BA = smooth_AK @ mean_K, mean_BK @ smooth_AK.T
    sign = 1.0 if larger_is_better else -1.0
    best_B, regret_B = _best(sign * fit_BA)
    best, regret = _best(sign * fit_A[None])
    tails = [(1 - level) / 2, (1 + level) / 2]
    low_A, high_A = np.quantile(fit_BA[:, :-1], tails, axis=0)
    return Curve(
        model,
        ratio_K,
        mean_K,
        fit_A[:-1],
        low_A,
        high_A,
        Interval(float(best[0]), *map(float, np.quantile(best_B, tails))),
        Interval(float(regret[0]), *map(float, np.quantile(regret_B, tails))),
        tuple(float(ratio) for ratio in ratio_K[not_separable(sign * mean_K, sign * mean_BK, level)]),
        best_B,
    )


def smoother(ratio_K: NDArray[np.float64], at_A: NDArray[np.float64]) -> NDArray[np.float64]:
    """[A, K] matrix that takes the means at `ratio_K`, all different, to the fitted curve at `at_A`."""
    degree = min(_DEGREE, len(ratio_K) - 1)
    smooth_AK: NDArray[np.float64] = legvander(2 * at_A - 1, degree) @ np.linalg.pinv(
        legvander(2 * ratio_K - 1, degree)
    )
    return smooth_AK


def _best(fit_BA: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(best ratio of each fit, how far the reference, the last column, stays below it)."""
    curve_BA, reference_B = fit_BA[:, :-1], fit_BA[:, -1]
    return AXIS_A[curve_BA.argmax(axis=1)], np.maximum(curve_BA.max(axis=1) - reference_B, 0)


def not_separable(mean_K: NDArray[np.float64], mean_BK: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
    """[K] True for the cells that may be the best one, larger being better.

    Hsu's multiple comparisons with the best (1984, doi 10.1214/aos/1176346516), with the critical value from the
    draws: a cell is told from the best if some other cell is above it by more than that many standard errors of the
    difference. With probability `level`, all cells that are truly best are in the set.

    Args:
        mean_K: cell means.
        mean_BK: their draws.
        level: of the set.
    """
    cells = len(mean_K)
    possible_K = np.ones(cells, dtype=bool)
    centred_BK = mean_BK - mean_BK.mean(axis=0)
    for cell in range(cells):
        others = np.arange(cells) != cell
        noise_BK = centred_BK[:, others] - centred_BK[:, [cell]]
        error_K = noise_BK.std(axis=0, ddof=1)
        error_K[error_K == 0] = np.finfo(float).tiny
        critical = np.quantile((noise_BK / error_K).max(axis=1), level)
        possible_K[cell] = ((mean_K[others] - mean_K[cell]) / error_K).max() <= critical
    return possible_K


def slope_on_size(curves: Mapping[str, Curve], weights: Mapping[str, int], level: float) -> Interval | None:
    """Change of the best ratio for ten times the weights: least squares on log10 of the size; None below two sizes.

    Args:
        curves: size -> curve, of one measure.
        weights: size -> number of weights without the embedding table.
        level: of the interval.
    """
    sizes = [model for model in curves if model in weights]
    log_S = np.log10([weights[model] for model in sizes])
    if len(np.unique(log_S)) < 2:
        return None
    lever_S = (log_S - log_S.mean()) / ((log_S - log_S.mean()) ** 2).sum()
    drawn_B = np.stack([curves[model].best_B for model in sizes], axis=1) @ lever_S
    value = float(np.array([curves[model].best.value for model in sizes]) @ lever_S)
    low, high = np.quantile(drawn_B.round(9), [(1 - level) / 2, (1 + level) / 2])  # a best ratio that stays gives 0
    return Interval(value, float(low), float(high))
