"""Tests whether the response to the ratio changes with size, by one model of all cells.

On the logit scale for scores from 0 to 1, on the log scale for ranks, the mean of size m at ratio r is

    y_mr = level_m + polynomial(r) + log10 N_m * polynomial(r) + lack of fit_mr + error_mr

with the covariance of the errors over questions and runs that `cells` gives (to first order on the scale). A mean is
over the languages of the benchmark, the same in every cell, so that how hard languages are, for each size too, is in no
comparison of its ratios. The interaction (the third term) and the lack of fit are each tested as a set of contrasts of
cell means, by an F test whose denominator's degrees of freedom are those of Fai & Cornelius (1996, doi
10.1080/00949659608811740).

Shape suffixes: K cells, Q contrasts, T terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from mixlingual.analysis.statistics.cells import DEGREE, CellMeans
from mixlingual.analysis.statistics.contrasts import quantile
from mixlingual.analysis.statistics.gaps import NotPossibleError
from mixlingual.analysis.statistics.response import Interval
from mixlingual.analysis.statistics.scales import scale_of
from mixlingual.analysis.statistics.spread import Vector


@dataclass(frozen=True)
class Test:
    """Of several contrasts at once."""

    statistic: float
    """F."""
    terms: int
    freedom: float
    p: float


@dataclass(frozen=True)
class SizeByRatio:
    """The fit and its tests."""

    scale: str
    coefficients: pd.DataFrame
    """Rows of the fixed effects: `term`, `value`, `low`, `high`; `ratio` is centred at 1/2, so that the level of a size
    is its fit there, `size` is log10 N less its mean."""
    interaction: Test
    lack_of_fit: Test | None
    """Of the form; None where it has as many terms as there are cells."""
    change: Interval
    """Of ratio 1 less ratio 0, from the smallest size to the largest."""
    reach: float
    """The least such change that a test of it alone would find four times in five."""


def fit_size_by_ratio(means: CellMeans, measure: str, weights: Mapping[str, int], level: float) -> SizeByRatio:
    """Fits the model of one measure; a cubic in the ratio, or of as many degrees as the ratios of every size allow.

    Args:
        means: of the cells.
        measure: its name, which tells the scale.
        weights: size -> number of weights without the embedding table.
        level: of the intervals of coefficients.

    Raises:
        NotPossibleError: it takes two sizes, three ratios of each, and scores that differ.
    """
    models = sorted({cell.model for cell in means.cells}, key=weights.__getitem__)
    fewest = min(sum(cell.model == model for cell in means.cells) for model in models)
    if len({weights[model] for model in models}) < 2:
        raise NotPossibleError("it takes two sizes")
    if fewest < 3:
        raise NotPossibleError(f"it takes three ratios of every size, and one has {fewest}")
    if np.ptp(means.mean_K) < 1e-12:
        raise NotPossibleError("all scores are the same")
    size_K = np.log10([weights[cell.model] for cell in means.cells])
    ratio_K = np.array([cell.ratio for cell in means.cells])
    terms = _terms(models, [cell.model for cell in means.cells], ratio_K, size_K, min(DEGREE, fewest - 1))
    design_KT = np.stack(list(terms.values()), axis=1)
    scale = scale_of(measure)
    y_K, slope_K = scale.forward(means.mean_K), scale.slope(means.mean_K)
    fit_TK = np.linalg.pinv(design_KT)
    rows = _coefficients(means, list(terms), fit_TK @ y_K, fit_TK * slope_K, level)
    tested = [place for place, term in enumerate(terms) if term.startswith("size:")]
    left_QK = _complement(design_KT)
    ends_T = np.zeros(len(terms))
    ends_T[tested] = [np.ptp(size_K) * (0.5**n - (-0.5) ** n) for n in range(1, len(tested) + 1)]
    change, variance = float(ends_T @ fit_TK @ y_K), means.variance(ends_T @ fit_TK * slope_K)
    half = quantile(level, variance.freedom) * variance.error
    return SizeByRatio(
        scale.name,
        rows,
        _test(means, fit_TK[tested] * slope_K, (fit_TK @ y_K)[tested]),
        _test(means, left_QK * slope_K, left_QK @ y_K) if len(left_QK) else None,
        Interval(change, change - half, change + half),
        half + quantile(0.6, variance.freedom) * variance.error,
    )


def _terms(models: list[str], model_K: list[str], ratio_K: Vector, size_K: Vector, degree: int) -> dict[str, Vector]:
    """Columns of the design: levels, powers of the ratio, and the same times size."""
    size_K = size_K - size_K.mean()
    powers = range(1, degree + 1)
    terms = {f"level of {model}": np.array([own == model for own in model_K], dtype=float) for model in models}
    terms |= {f"ratio ** {n}": (ratio_K - 0.5) ** n for n in powers}
    return terms | {f"size:ratio ** {n}": size_K * (ratio_K - 0.5) ** n for n in powers}


def _coefficients(means: CellMeans, names: list[str], value_T: Vector, weight_TK: Vector, level: float) -> pd.DataFrame:
    half_T = np.array([quantile(level, each.freedom) * each.error for each in map(means.variance, weight_TK)])
    return pd.DataFrame({"term": names, "value": value_T, "low": value_T - half_T, "high": value_T + half_T})


def _complement(design_KT: Vector) -> Vector:
    """[Q, K] orthonormal contrasts that no term of the design can make differ from 0."""
    rank = int(np.linalg.matrix_rank(design_KT))
    left_QK: Vector = np.linalg.svd(design_KT)[0][:, rank:].T
    return left_QK


def _test(means: CellMeans, weight_QK: Vector, value_Q: Vector) -> Test:
    variance_QQ = weight_QK @ means.covariance @ weight_QK.T
    size_Q, axis_QQ = np.linalg.eigh(variance_QQ)
    known = size_Q > 1e-10 * max(size_Q.max(), 1e-300)
    if not known.any():
        raise NotPossibleError("there is no scatter to test against")
    turned_Q = (axis_QQ.T @ value_Q)[known]
    terms = int(known.sum())
    freedoms = [means.variance(axis @ weight_QK).freedom for axis in axis_QQ.T[known]]
    statistic = float(np.sum(turned_Q**2 / size_Q[known]) / terms)
    heavy = sum(freedom / (freedom - 2) for freedom in freedoms if freedom > 2)
    freedom = 2 * heavy / (heavy - terms) if heavy > terms else 2.0
    return Test(statistic, terms, float(freedom), float(special.fdtrc(terms, freedom, statistic)))
