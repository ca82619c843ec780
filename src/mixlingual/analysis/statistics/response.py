"""Describes the response of each size to the ratio: where it is best, and what a fixed ratio costs.

The best ratio is ill-defined on a flat curve, so it never stands alone: beside it are the measured ratios that may be
the best, and the regret of a fixed one. All three hold whatever the truth, flat or not:

- `possibly_best`: all ratios that are truly best are in the set, together, with the given probability.
- `regret`: how far a ratio stays below the best measured one lies between the bounds, which may hold 0.
- `best`: the ratios at which the fitted curve may be best, as the ends of the set.

Critical values are of the largest of several t variables with the covariance of the means, found by simulation of that
distribution (the scores themselves are not resampled).

Shape suffixes: K cells of a size by ascending ratio, A points of the ratio axis, B draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.statistics.cells import CellMeans, smoother
from mixlingual.analysis.statistics.contrasts import quantile
from mixlingual.analysis.statistics.gaps import NotPossibleError
from mixlingual.analysis.statistics.spread import Vector

AXIS_A = np.linspace(0, 1, 101)
"""Ratios at which curves are evaluated."""

_STEP = 5
"""Every so many of these the set of best ratios is looked at."""

_FEW = 2000
"""Draws behind each of the many critical values of that set."""

_TINY = 1e-12


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


def quotient(values: tuple[float, float], errors: tuple[float, float, float], critical: float) -> Interval | None:
    """One noisy number over another, with Fieller's interval (1954); None where the other is not separable from 0.

    Args:
        values: both.
        errors: their standard errors, and their covariance.
        critical: standard errors to either side of an interval.
    """
    (part, whole), (error, other, shared) = values, errors
    a = whole**2 - (critical * other) ** 2
    b = part * whole - critical**2 * shared
    c = part**2 - (critical * error) ** 2
    if a <= 0:
        return None
    half = max(0.0, b**2 - a * c) ** 0.5
    return Interval(part / whole, (b - half) / a, (b + half) / a)


@dataclass(frozen=True)
class Curve:
    """How a size responds to the ratio."""

    model: str
    ratio_K: Vector
    mean_K: Vector
    fit_A: Vector
    low_A: Vector
    high_A: Vector
    """Pointwise interval of the fit."""
    best: Interval
    """The ratio at which the fit is best, and the ends of the set of those at which it may be."""
    best_together: Interval
    """The same where the sets of all sizes hold together."""
    regret: Interval | None
    """How much better the best measured ratio is than the reference; None where that was not measured."""
    possibly_best: tuple[float, ...]
    """Measured ratios that may be the best."""


@dataclass(frozen=True)
class Draws:
    """How critical values are found."""

    level: float = 0.95
    number: int = 4000
    seed: int = 0


@dataclass(frozen=True)
class SomeCells:
    """Cells that are compared with each other, larger being better."""

    ratio_K: Vector
    mean_K: Vector
    covariance_KK: Vector
    freedom: float
    """The least behind a difference of two."""

    def noise(self, draws: Draws) -> Vector:
        """[B, K] means of experiments without any difference, as t variables."""
        generator = np.random.default_rng((draws.seed, 2))
        value, axis_KK = np.linalg.eigh(self.covariance_KK)
        normal_BK = generator.normal(size=(draws.number, len(value))) * np.sqrt(np.maximum(value, 0)) @ axis_KK.T
        freedom = min(self.freedom, 1e6)
        noise_BK: Vector = normal_BK / np.sqrt(generator.chisquare(freedom, (draws.number, 1)) / freedom)
        return noise_BK


def fit_curve(
    means: CellMeans, model: str, *, larger_is_better: bool, draws: Draws, reference: float = 0.5, sizes: int = 1
) -> Curve:
    """The curve of one size.

    Args:
        means: of all cells.
        model: the size.
        larger_is_better: whether high values are good.
        draws: how sure.
        reference: the ratio of `Curve.regret`.
        sizes: how many sizes `Curve.best_together` is to hold for.

    Raises:
        NotPossibleError: it has fewer than three ratios, or its scores are all alike.
    """
    places = sorted((cell.ratio, place) for place, cell in enumerate(means.cells) if cell.model == model)
    if len(places) < 3:
        raise NotPossibleError(f"it takes three ratios, and there are {len(places)}")
    sign = 1.0 if larger_is_better else -1.0
    size = some_cells(means, [place for _, place in places], sign)
    if np.ptp(size.mean_K) < _TINY:
        raise NotPossibleError("all ratios have the same score")
    noise_BK = size.noise(draws)
    smooth_AK = smoother(size.ratio_K, AXIS_A)
    fit_A = smooth_AK @ size.mean_K
    half_A = quantile(draws.level, size.freedom) * errors(smooth_AK, size.covariance_KK)
    together = 1 - (1 - draws.level) / sizes
    best, best_together = _where_best(smooth_AK, size, noise_BK, (draws.level, together))
    return Curve(
        model,
        size.ratio_K,
        sign * size.mean_K,
        sign * fit_A,
        sign * fit_A - half_A,
        sign * fit_A + half_A,
        best,
        best_together,
        regret(size, reference, noise_BK, draws.level),
        possibly_best(size, noise_BK, draws.level),
    )


def some_cells(means: CellMeans, places: Sequence[int], sign: float) -> SomeCells:
    """The cells at `places`; a sign of -1 turns measures around where lower is better."""
    unit_KK = np.eye(len(means.cells))
    freedoms = [means.variance(unit_KK[i] - unit_KK[j]).freedom for i, j in combinations(places, 2)]
    return SomeCells(
        np.array([means.cells[place].ratio for place in places]),
        sign * means.mean_K[list(places)],
        means.covariance[np.ix_(places, places)],
        min(freedoms),
    )


def errors(weight_AK: Vector, covariance_KK: Vector) -> Vector:
    """[A] standard errors of sums of cells."""
    error_A: Vector = np.sqrt(np.maximum(np.einsum("ak,kl,al->a", weight_AK, covariance_KK, weight_AK), _TINY**2))
    return error_A


def _differences(from_place: int, weight_AK: Vector) -> Vector:
    """[A - 1, K] weights of each row less one of them."""
    difference_AK: Vector = np.delete(weight_AK, from_place, axis=0) - weight_AK[from_place]
    return difference_AK


def regret(size: SomeCells, reference: float, noise_BK: Vector, level: float) -> Interval | None:
    """How far the ratio `reference` stays below the best measured one; never below 0.

    Each other ratio less the reference lies within as many standard errors as hold for all together (Dunnett 1955, doi
    10.1080/01621459.1955.10501294); the largest of the differences, or 0, then lies between the largest of the ends.
    """
    if reference not in size.ratio_K:
        return None
    weight_AK = _differences(int(np.flatnonzero(size.ratio_K == reference)[0]), np.eye(len(size.ratio_K)))
    error_A = errors(weight_AK, size.covariance_KK)
    critical = float(np.quantile((np.abs(noise_BK @ weight_AK.T) / error_A).max(axis=1), level))
    difference_A = weight_AK @ size.mean_K
    ends = (difference_A, difference_A - critical * error_A, difference_A + critical * error_A)
    return Interval(*(max(0.0, float(end.max())) for end in ends))


def possibly_best(size: SomeCells, noise_BK: Vector, level: float) -> tuple[float, ...]:
    """The model confidence set of the measured ratios (Hansen, Lunde & Nason 2011, doi 10.3982/ECTA5771).

    As long as some two ratios in it differ by more than the largest of all differences would by chance, the worse of
    the two furthest apart is taken out. All ratios that are truly best are in what stays, with probability `level`.
    """
    kept = list(range(len(size.ratio_K)))
    while len(kept) > 1:
        pairs = list(combinations(kept, 2))
        weight_AK = np.array([np.eye(len(size.ratio_K))[i] - np.eye(len(size.ratio_K))[j] for i, j in pairs])
        error_A = errors(weight_AK, size.covariance_KK)
        t_A = weight_AK @ size.mean_K / error_A
        furthest = int(np.abs(t_A).argmax())
        if abs(t_A[furthest]) <= np.quantile((np.abs(noise_BK @ weight_AK.T) / error_A).max(axis=1), level):
            break
        kept.remove(pairs[furthest][1] if t_A[furthest] > 0 else pairs[furthest][0])
    return tuple(float(size.ratio_K[place]) for place in kept)


def _where_best(
    smooth_AK: Vector, size: SomeCells, noise_BK: Vector, levels: tuple[float, float]
) -> tuple[Interval, Interval]:
    """(where the curve is best with the ends of where it may be, the same at the second level).

    A point may be best unless some other is above it by more standard errors than the largest such excess over it would
    be by chance (Hsu 1984, doi 10.1214/aos/1176346516). The set holds the best ratio with the given probability.
    """
    looked_AK = smooth_AK[::_STEP]
    noise_BA = (noise_BK[:_FEW] @ looked_AK.T).astype(np.float32)
    possible_2A = np.ones((2, len(looked_AK)), dtype=bool)
    for place in range(len(looked_AK)):
        weight_AK = _differences(place, looked_AK)
        error_A = errors(weight_AK, size.covariance_KK)
        chance_B = ((np.delete(noise_BA, place, axis=1) - noise_BA[:, [place]]) / error_A).max(axis=1)
        possible_2A[:, place] = (weight_AK @ size.mean_K / error_A).max() <= np.quantile(chance_B, levels)
    best = float(AXIS_A[(smooth_AK @ size.mean_K).argmax()])
    first, second = (_ends(best, possible_A) for possible_A in possible_2A)
    return first, second


def _ends(best: float, possible_A: NDArray[np.bool_]) -> Interval:
    held = [best, *AXIS_A[::_STEP][possible_A]]
    return Interval(best, float(min(held)), float(max(held)))


def slope_on_size(curves: Mapping[str, Curve], weights: Mapping[str, int]) -> Interval:
    """Change of the best ratio for ten times the weights: least squares on log10 of the size.

    The best ratios of all sizes lie within `Curve.best_together`, so that the slope lies between the least and the
    greatest that these allow.

    Args:
        curves: size -> curve, of one measure.
        weights: size -> number of weights without the embedding table.

    Raises:
        NotPossibleError: there are not two sizes.
    """
    log_S = np.log10([weights[model] for model in curves])
    if len(np.unique(log_S)) < 2:
        raise NotPossibleError("it takes curves of two sizes")
    lever_S = (log_S - log_S.mean()) / ((log_S - log_S.mean()) ** 2).sum()
    best_S, low_S, high_S = (
        np.array([getattr(curve.best_together, end) for curve in curves.values()]) for end in ("value", "low", "high")
    )
    low, high = (float(lever_S @ np.where((lever_S > 0) == up, high_S, low_S)) for up in (False, True))
    return Interval(float(lever_S @ best_S), low, high)
