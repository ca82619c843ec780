"""Estimates how far runs that differ in the seed alone scatter, and how closely runs of one seed go together.

Runs of one seed share weights at the start, batches and, where a batch draws its kind, kinds, at every size and ratio.
So the deviation of a run of size m at ratio r with seed s from the mean of its cell is taken as

    e_mrs = scale_m * scale_r * (seed_s + seed x ratio_sr + seed x size_sm + run_mrs)                             (1)

with independent terms whose variances add up to 1. Seeds that only one size has are independent of all others.

- The variances of the terms are estimated by MINQUE (Rao 1971, doi 10.1016/0047-259X(71)90019-4) from products of
  deviations: of the same run, of a seed at a ratio, of a seed in a size, and of a seed. In a sweep without gaps that is
  the analysis of variance of the crossed design, so that a difference of differences has the seed x ratio x size mean
  square as its variance, and a mean over sizes that of seed x ratio.
- Scales of sizes, and of ratios, are each the group's own, drawn towards the common one as far as groups scatter no
  more than chance (Smyth 2004, doi 10.2202/1544-6115.1027; a ratio's prior counts as 4 degrees of freedom at most, so
  that its own spread always has a say). A size without a repeated seed has the common one.
- Each variance of a contrast is then a quadratic form in the deviations, e' A e, with 2 (tr A S)^2 / var(e' A e)
  degrees of freedom (Satterthwaite 1946, doi 10.2307/3002019; Box 1954), less what the scales cost.

Shape suffixes: R runs, P the four kinds of products, X groups (sizes or ratios).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import digamma, polygamma

from mixlingual.analysis.read.ratio_axis import Trial

Vector = NDArray[np.float64]

MOST_PRIOR = 4.0
"""Degrees of freedom that the common spread counts as, at most, against a ratio's own."""

_NOTHING = 1e-9


@dataclass(frozen=True)
class Spread:
    """The scatter of runs about the means of their cells."""

    scale_R: Vector
    """Standard deviation of each run; 0 where runs are all alike."""
    size_R: NDArray[np.int64]
    ratio_R: NDArray[np.int64]
    kinds_PRR: Vector
    """1 where two runs are of a kind of product."""
    solve_PP: Vector
    parts_P: Vector
    """Variances of the terms of (1), in the order of `kinds_PRR`: sums of them are unbiased, each may be below 0."""
    bounded_P: Vector
    """The same, none below 0."""
    moment_PP: Vector
    mean_P: Vector
    freedom_sizes_X: Vector
    freedom_ratios_X: Vector

    def variance(self, weight_R: Vector) -> tuple[float, float]:
        """(variance of a sum of runs with weights, degrees of freedom behind it)."""
        scaled_R = weight_R * self.scale_R
        held_P = self.kinds_PRR @ scaled_R @ scaled_R
        bounded = float(held_P @ self.bounded_P)
        variance = max(float(held_P @ self.parts_P), bounded / 2)  # gaps in a sweep may leave the unbiased one below 0
        if variance <= 0:
            return 0.0, np.inf
        form_P = self.solve_PP @ held_P
        cost = float(form_P @ self.moment_PP @ form_P) / max(float(form_P @ self.mean_P) ** 2, _NOTHING**2)
        shared_R = scaled_R * (self._joint @ scaled_R) / (bounded or 1)
        for group_R, freedom_X in ((self.size_R, self.freedom_sizes_X), (self.ratio_R, self.freedom_ratios_X)):
            share_X = np.bincount(group_R, shared_R, minlength=len(freedom_X))
            cost += float(np.sum(share_X**2 / np.maximum(freedom_X, 1)))
        return variance, 1 / max(cost, _NOTHING)

    @cached_property
    def _joint(self) -> Vector:
        """[R, R]: how runs go together, in units of their scales; no variance is below 0."""
        return np.tensordot(self.bounded_P, self.kinds_PRR, 1)

    def covariance(self) -> Vector:
        """[R, R] of the runs."""
        covariance_RR: Vector = np.tensordot(self.bounded_P, self.kinds_PRR, 1) * np.outer(self.scale_R, self.scale_R)
        return covariance_RR


def spread_of(value_R: Vector, trials: Sequence[Trial]) -> Spread | None:
    """The spread of runs with these scores; None where no cell has two.

    Args:
        value_R: scores.
        trials: where each run lies.
    """
    cell_R = _numbered([(trial.model, trial.ratio) for trial in trials])
    same_RR = cell_R[:, None] == cell_R
    centre_RR = np.eye(len(trials)) - same_RR / same_RR.sum(axis=1)
    if not np.diag(centre_RR).any():
        return None
    size_R, ratio_R = _numbered([t.model for t in trials]), _numbered([t.ratio for t in trials])
    fit = _Fit(centre_RR, centre_RR @ value_R, size_R, ratio_R, _kinds(trials, size_R, ratio_R))
    return fit.spread()


def _numbered(labels: Sequence[object]) -> NDArray[np.int64]:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.array([numbers[label] for label in labels])


def _kinds(trials: Sequence[Trial], size_R: NDArray[np.int64], ratio_R: NDArray[np.int64]) -> Vector:
    """[P, R, R] products of the same run; of a seed at one ratio, in one size, and in neither."""
    seed_R = np.array([trial.seed for trial in trials])
    seed_RR, size_RR, ratio_RR = (group_R[:, None] == group_R for group_R in (seed_R, size_R, ratio_R))
    pairs = (seed_RR & ratio_RR & ~size_RR, seed_RR & size_RR & ~ratio_RR, seed_RR & ~size_RR & ~ratio_RR)
    return np.stack([np.eye(len(trials)), *pairs]).astype(np.float64)


@dataclass(frozen=True)
class _Fit:
    centre_RR: Vector
    residual_R: Vector
    size_R: NDArray[np.int64]
    ratio_R: NDArray[np.int64]
    kinds_PRR: Vector

    def spread(self) -> Spread:
        """Scales from independent runs first, then once more knowing how runs go together."""
        runs = len(self.residual_R)
        spread = None
        scale_R, joint_RR = np.ones(runs), np.eye(runs)
        for _ in range(2):
            scale_R, freedoms = self._scales(scale_R, joint_RR)
            spread = self._parts(scale_R, *freedoms)
            joint_RR = np.tensordot(spread.bounded_P, self.kinds_PRR, 1)
        assert spread is not None
        return replace(spread, scale_R=spread.scale_R * self._kept(spread))

    def _kept(self, spread: Spread) -> float:
        """Factor with which the fit expects the sum of squares that was seen: drawing scales together loses some."""
        units_R = np.where(spread.scale_R > 0, spread.scale_R, 1)
        covariance_RR = np.tensordot(spread.parts_P, self.kinds_PRR, 1) * np.outer(spread.scale_R, spread.scale_R)
        weight_R = 1 / np.array([np.mean(units_R[self.size_R == size] ** 2) for size in self.size_R])
        expected = float(weight_R @ np.diag(self.centre_RR @ covariance_RR @ self.centre_RR))
        return float(np.sqrt(weight_R @ self.residual_R**2 / expected)) if expected > 0 else 1.0

    def _scales(self, scale_R: Vector, joint_RR: Vector) -> tuple[Vector, tuple[Vector, Vector]]:
        """(standard deviation of each run, degrees of freedom behind the scale of each size, and of each ratio)."""
        whiten_RR = self._whitened(scale_R)
        joint_RR = whiten_RR @ joint_RR @ whiten_RR.T
        square_R = self.residual_R**2
        sizes_X, of_sizes = _moderated(self._pooled(square_R, self.size_R), _freedoms(joint_RR, self.size_R), np.inf)
        square_R = square_R / np.where(sizes_X > 0, sizes_X, 1)[self.size_R]
        ratios_X, of_ratios = _moderated(
            self._pooled(square_R, self.ratio_R), _freedoms(joint_RR, self.ratio_R), MOST_PRIOR
        )
        return np.sqrt(sizes_X[self.size_R] * ratios_X[self.ratio_R]), (of_sizes, of_ratios)

    def _pooled(self, square_R: Vector, group_R: NDArray[np.int64]) -> Vector:
        left_X = np.bincount(group_R, np.diag(self.centre_RR))
        pooled_X: Vector = np.bincount(group_R, square_R) / np.maximum(left_X, _NOTHING)
        return pooled_X

    def _whitened(self, scale_R: Vector) -> Vector:
        """What centring does to runs in units of their scales."""
        units_R = np.where(scale_R > 0, scale_R, 1)
        return self.centre_RR / units_R[:, None] * units_R

    def _parts(self, scale_R: Vector, of_sizes: Vector, of_ratios: Vector) -> Spread:
        whiten_RR = self._whitened(scale_R)
        kept_PRR = whiten_RR @ self.kinds_PRR @ whiten_RR.T
        normal_PP = np.tensordot(kept_PRR, kept_PRR, ((1, 2), (1, 2)))
        unit_R = self.residual_R / np.where(scale_R > 0, scale_R, 1)
        product_P = kept_PRR @ unit_R @ unit_R
        solve_PP = np.asarray(np.linalg.pinv(normal_PP, rcond=1e-8, hermitian=True), float)
        size_P, axis_PP = np.linalg.eigh(normal_PP)
        known = size_P > 1e-8 * max(size_P.max(), _NOTHING)
        root_PP = axis_PP[:, known] * np.sqrt(size_P[known])
        target_P = (axis_PP[:, known] / np.sqrt(size_P[known])).T @ product_P
        bounded_P = nnls(root_PP.T, target_P)[0]
        joint_RR = whiten_RR @ np.tensordot(bounded_P, self.kinds_PRR, 1) @ whiten_RR.T
        moved_PRR = kept_PRR @ joint_RR
        moment_PP = np.tensordot(moved_PRR, moved_PRR, ((1, 2), (2, 1)))
        return Spread(
            scale_R, self.size_R, self.ratio_R, self.kinds_PRR, solve_PP, solve_PP @ product_P, bounded_P,
            moment_PP, np.einsum("prr->p", moved_PRR), of_sizes, of_ratios,
        )  # fmt: skip


def _freedoms(joint_RR: Vector, group_R: NDArray[np.int64]) -> Vector:
    """[X] degrees of freedom of the pooled square of each group, whose deviations are correlated as `joint_RR`."""
    found = []
    for group in range(int(group_R.max()) + 1):
        own_RR = joint_RR[np.ix_(group_R == group, group_R == group)]
        found.append(np.trace(own_RR) ** 2 / np.sum(own_RR**2) if np.trace(own_RR) > _NOTHING else 0.0)
    return np.array(found)


def _moderated(variance_X: Vector, freedom_X: Vector, most: float) -> tuple[Vector, Vector]:
    """(variances drawn towards the common one, degrees of freedom behind each; infinite where they are common)."""
    known = (freedom_X > 0) & (variance_X > 0)
    if not known.any():
        return np.zeros(len(variance_X)), np.full(len(variance_X), np.inf)
    own, freedom = variance_X[known], freedom_X[known]
    common, prior = float(own @ freedom / freedom.sum()), np.inf
    if known.sum() > 1:
        log = np.log(own) - digamma(freedom / 2) + np.log(freedom / 2)
        excess = float(np.var(log, ddof=1) - np.mean(polygamma(1, freedom / 2)))
        if excess > 0:
            prior = 2 * _trigamma_inverse(excess)
            common = float(np.exp(log.mean() + digamma(prior / 2) - np.log(prior / 2)))
    prior = min(prior, most)
    if np.isinf(prior):
        return np.full(len(variance_X), common), np.full(len(variance_X), np.inf)
    return (prior * common + freedom_X * variance_X) / (prior + freedom_X), prior + freedom_X


def _trigamma_inverse(value: float) -> float:
    """By Newton's method, which converges from this start (Smyth 2004, appendix)."""
    found = 0.5 + 1 / value
    for _ in range(50):
        at = polygamma(1, found)
        step = at * (1 - at / value) / polygamma(2, found)
        found += step
        if abs(step) < 1e-9 * found:
            break
    return float(found)
