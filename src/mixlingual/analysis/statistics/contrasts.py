"""Compares cells: each contrast has a value, an interval, a test and a verdict.

A contrast is a sum of cell means with weights that add up to 0, or nearly one. Its variance is that over questions and
over runs (`cells`), its interval and test those of Student's t with the degrees of freedom behind that variance. Where
no seed is repeated, runs cannot vary and the contrast is about these very runs.

Shape suffixes: K cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from mixlingual.analysis.statistics.cells import CellMeans, Variance
from mixlingual.analysis.statistics.spread import Vector

LARGEST = 1e12
"""Degrees of freedom from which on Student's t is the normal distribution."""

Verdict = Literal["better", "worse", "as good", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """A quantity with its uncertainty for new questions and, where seeds are repeated, new training runs."""

    value: float
    low: float
    high: float
    """Ends of the interval of this estimate alone."""
    low_all: float
    high_all: float
    """Ends of the interval that holds with all others of its family; those of `low` and `high` until `adjusted`."""
    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom behind it."""
    p: float
    """Two-sided; that of Holm's procedure once `adjusted`."""
    p_questions: float
    """The same for new questions and these very runs."""
    over_runs: bool
    """Whether runs vary in it; False where no seed is repeated, and then it says nothing of other runs."""
    borrowed: tuple[str, ...]
    """Sizes in it without a repeated seed: their spread between runs is taken from the other sizes."""
    level: float
    """Of the intervals."""

    def verdict(self, smallest: float | None, *, larger_is_better: bool = True) -> Verdict:
        """What is known, in a word.

        As good: the interval that holds with all others lies inside `smallest` on either side (Schuirmann 1987, doi
        10.1007/BF01068419). Better or worse: p is below one minus the level. Else undecided.

        Args:
            smallest: the smallest difference that matters; None where none was declared.
            larger_is_better: whether a value above 0 is good.
        """
        if smallest is not None and max(abs(self.low_all), abs(self.high_all)) < smallest:
            return "as good"
        if self.p >= 1 - self.level:
            return "undecided"
        return "better" if (self.value > 0) == larger_is_better else "worse"


def estimate(means: CellMeans, weight_K: Vector, level: float, value: float | None = None) -> Estimate:
    """The estimate of a contrast.

    Args:
        means: of the cells.
        weight_K: of the cells; the gradient, where the contrast is no sum of cell means.
        level: of the interval.
        value: of the contrast; None: that sum.
    """
    value = float(weight_K @ means.mean_K) if value is None else value
    variance = means.variance(weight_K)
    half = quantile(level, variance.freedom) * variance.error
    alone = Variance(variance.questions, 0.0, variance.freedom_questions, np.inf)
    return Estimate(
        value,
        value - half,
        value + half,
        value - half,
        value + half,
        variance.error,
        variance.freedom,
        two_sided(value, variance.error, variance.freedom),
        two_sided(value, alone.error, alone.freedom),
        means.spread is not None,
        means.borrowed(weight_K) if means.spread else (),
        level,
    )


def quantile(level: float, freedom: float) -> float:
    """Standard errors to either side of an interval."""
    return float(-special.stdtrit(min(freedom, LARGEST), (1 - level) / 2))


def two_sided(value: float, error: float, freedom: float) -> float:
    """The p of Student's t test; without an error that of what was seen, 1 or 0."""
    return float(2 * special.stdtr(min(freedom, LARGEST), -abs(value) / error)) if error else float(abs(value) < 1e-12)


def adjusted(estimates: Sequence[Estimate]) -> list[Estimate]:
    """The estimates as one family: p by Holm's procedure (1979), and intervals that hold together.

    Intervals are at the level divided by their number (Bonferroni); where Holm's procedure, which finds more, tells a
    value from 0, its interval ends there (Strassburger & Bretz 2008, doi 10.1002/sim.3338).
    """
    if not estimates:
        return []
    tested, by_questions = (holm([getattr(each, name) for each in estimates]) for name in ("p", "p_questions"))
    return [
        _together(replace(each, p=float(p), p_questions=float(q)), len(estimates))
        for each, p, q in zip(estimates, tested, by_questions, strict=True)
    ]


def holm(p: Sequence[float]) -> Vector:
    """Each p by Holm's procedure: what the level must at least be for it to be found beside the others."""
    order = np.argsort(p)
    steps = np.array(p)[order] * np.arange(len(p), 0, -1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found


def _together(each: Estimate, tests: int) -> Estimate:
    half = quantile(corrected_level(each.level, tests), each.freedom) * each.error
    low, high = each.value - half, each.value + half
    if each.p < 1 - each.level:
        low, high = (max(low, 0.0), high) if each.value > 0 else (low, min(high, 0.0))
    return replace(each, low_all=low, high_all=high)


def corrected_level(level: float, tests: int) -> float:
    """The level of each of several intervals that hold together, as 1 - .05 / 8."""
    return 1 - (1 - level) / tests


@dataclass(frozen=True)
class Gain:
    """How much better a size is at a mixed ratio than at the better pure one, 0 or 1; positive where mixing is better.

    Better is what is better in the cell means. The larger of two noisy means is too large on average where the true
    ones are close, so that the gain is too small: by at most .56 standard errors of a cell, where they are equal (the
    mean of the larger of two standard normals, 1 / sqrt(pi)). `Interaction.against` has no such choice.
    """

    model: str
    ratio: float
    larger_is_better: bool

    def places(self, means: CellMeans) -> tuple[int, int, int] | None:
        """Places of the cell at `ratio`, and of the pure ones, the better first; None if one is missing."""
        mixed, *pure = (means.place(self.model, ratio) for ratio in (self.ratio, 0.0, 1.0))
        known = [place for place in pure if place is not None]
        if mixed is None or len(known) < 2:
            return None
        first, second = sorted(known, key=lambda place: -self.sign * means.mean_K[place])
        return mixed, first, second

    def weights(self, means: CellMeans) -> Vector | None:
        """[K] weights of the gain, with the pure ratio that is better in the cell means; None if a cell is missing."""
        places = self.places(means)
        return None if places is None else _difference(means, places[0], places[1], self.sign)

    def estimate(self, means: CellMeans, level: float) -> Estimate | None:
        """The gain; None if a cell is missing."""
        weight_K = self.weights(means)
        return None if weight_K is None else estimate(means, weight_K, level)

    def choice_in_doubt(self, means: CellMeans, level: float) -> bool:
        """Whether the two pure ratios cannot be told apart, so that the better one may be the other."""
        places = self.places(means)
        return places is not None and estimate(means, _difference(means, *places[1:], 1.0), level).p >= 1 - level

    @property
    def sign(self) -> float:
        """1 where larger values are better, else -1."""
        return 1.0 if self.larger_is_better else -1.0


@dataclass(frozen=True)
class Interaction:
    """How much more one size gains from a mixed ratio than another: a difference in differences."""

    small: str
    large: str
    ratio: float
    larger_is_better: bool

    def sides(self) -> tuple[Gain, Gain]:
        """The gains of the smaller and of the larger size."""
        small, large = (Gain(model, self.ratio, self.larger_is_better) for model in (self.small, self.large))
        return small, large

    def weights(self, means: CellMeans) -> Vector | None:
        """[K] weights of the contrast, with the pure ratios that are better in the cell means; None without a cell."""
        small, large = (side.weights(means) for side in self.sides())
        return None if small is None or large is None else large - small

    def estimate(self, means: CellMeans, level: float) -> Estimate | None:
        """The gain of the larger size less that of the smaller; None if a cell is missing."""
        weight_K = self.weights(means)
        return None if weight_K is None else estimate(means, weight_K, level)

    def against(self, means: CellMeans, pure: float, level: float) -> Estimate | None:
        """The same with one pure ratio, 0 or 1, for both sizes, whichever is better; None if a cell is missing."""
        weight_K = np.zeros(len(means.cells))
        for side, sign in zip(self.sides(), (-1.0, 1.0), strict=True):
            mixed, other = means.place(side.model, self.ratio), means.place(side.model, pure)
            if mixed is None or other is None:
                return None
            weight_K += _difference(means, mixed, other, sign * side.sign)
        return estimate(means, weight_K, level)

    def choice_in_doubt(self, means: CellMeans, level: float) -> bool:
        """Whether the better pure ratio of a size may be the other."""
        return any(side.choice_in_doubt(means, level) for side in self.sides())


def _difference(means: CellMeans, first: int, second: int, sign: float) -> Vector:
    weight_K = np.zeros(len(means.cells))
    weight_K[first] += sign
    weight_K[second] -= sign
    return weight_K
