"""Contrasts between cells: value, interval, tests, and what the experiment could have found.

Two questions are asked of a contrast, a sum of cell means with weights that add up to 0:

- Would these very encoders differ so on other questions? The sign-flip permutation test over clusters: if there is no
  difference, the part that each cluster adds to the contrast is as likely of either sign (Fisher 1935; Smucker, Allan &
  Carterette 2007, doi 10.1145/1321440.1321528, for rows that are independent: here clusters are).
- Would other training runs differ so, on other questions? A t test and interval with the standard deviation of the
  draws, in which both vary, and degrees of freedom by Satterthwaite (1946, doi 10.2307/3002019), since few runs stand
  behind the spread between runs.

Claims rest on the second; the first says whether more questions or more seeds would help.

Shape suffixes: K cells, C clusters, B draws, P permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mixlingual.analysis.statistics.resample import CellDraws

EXACT_CLUSTERS = 16
"""Up to so many clusters all sign flips are enumerated: 65,536 at most."""

POWER = 0.8

_SIGNS = 2**22
"""Signs that exist at a time."""


@dataclass(frozen=True)
class Estimate:
    """A quantity with its uncertainty for new questions and, where seeds are repeated, new training runs."""

    value: float
    low: float
    high: float
    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom behind it."""
    p: float
    """Two-sided; that of Holm's procedure once `adjusted`."""
    p_questions: float
    """Two-sided, of the sign-flip test: for new questions and these very runs; `adjusted` likewise."""
    detectable: float
    """The smallest true value that four of five such experiments would find."""
    over_runs: bool
    """Whether runs vary in it; False where no seed is repeated, and then it says nothing of other runs."""
    level: float
    """Of the interval."""


@dataclass(frozen=True)
class Options:
    """How sure, and how many random numbers."""

    level: float = 0.95
    """Of intervals."""
    permutations: int = 10_000
    """Sign flips."""
    seed: int = 0


@dataclass(frozen=True)
class Gain:
    """How much better a size is at a mixed ratio than at the better pure one, 0 or 1; positive where mixing is better.

    Better is what is better in the cell means, and in each draw what is better there, so that the choice is part of
    the uncertainty. The larger of two noisy means is too large on average where the true ones are close: by at most
    .56 standard errors of a cell, where they are equal (the mean of the larger of two standard normals, 1 / sqrt(pi)).
    `Interaction.against` has no such choice.
    """

    model: str
    ratio: float
    larger_is_better: bool

    def places(self, draws: CellDraws) -> tuple[int, int, int] | None:
        """Places of the cells at `ratio`, 0 and 1; None if one is missing."""
        mixed, cross, mono = (draws.place(self.model, ratio) for ratio in (self.ratio, 0.0, 1.0))
        return None if mixed is None or cross is None or mono is None else (mixed, cross, mono)

    def values(self, mean_BK: NDArray[np.float64], places: tuple[int, int, int]) -> NDArray[np.float64]:
        """[B] the gain in each draw."""
        mixed_B, cross_B, mono_B = (self._sign * mean_BK[:, place] for place in places)
        gain_B: NDArray[np.float64] = mixed_B - np.maximum(cross_B, mono_B)
        return gain_B

    def weights(self, mean_K: NDArray[np.float64], places: tuple[int, int, int]) -> NDArray[np.float64]:
        """[K] weights of the gain, with the pure ratio that is better in the cell means."""
        mixed, *pure = places
        weight_K = np.zeros(len(mean_K))
        weight_K[mixed] = self._sign
        weight_K[max(pure, key=lambda place: self._sign * mean_K[place])] = -self._sign
        return weight_K

    def switched(self, draws: CellDraws) -> float:
        """Share of the draws in which the other pure ratio is the better one; 0 if a cell is missing."""
        places = self.places(draws)
        if places is None:
            return 0.0
        _, cross, mono = places
        ahead = draws.mean_K[cross] > draws.mean_K[mono]
        return float(np.mean((draws.whole_BK[:, cross] > draws.whole_BK[:, mono]) != ahead))

    def estimate(self, draws: CellDraws, options: Options) -> Estimate | None:
        """The gain; None if a cell is missing."""
        places = self.places(draws)
        if places is None:
            return None
        question_B, whole_B = (self.values(mean_BK, places) for mean_BK in (draws.question_BK, draws.whole_BK))
        return estimated(draws, self.weights(draws.mean_K, places), question_B, whole_B, options)

    @property
    def _sign(self) -> float:
        return 1.0 if self.larger_is_better else -1.0


@dataclass(frozen=True)
class Interaction:
    """How much more one size gains from a mixed ratio than another: a difference in differences."""

    small: str
    large: str
    ratio: float
    larger_is_better: bool

    def weights(self, draws: CellDraws) -> NDArray[np.float64] | None:
        """[K] weights of the contrast, with the pure ratios that are better in the cell means; None without a cell."""
        small, large = self._sides()
        first, second = small.places(draws), large.places(draws)
        if first is None or second is None:
            return None
        return large.weights(draws.mean_K, second) - small.weights(draws.mean_K, first)

    def estimate(self, draws: CellDraws, options: Options) -> Estimate | None:
        """The gain of the larger size less that of the smaller; None if a cell is missing."""
        small, large = self._sides()
        first, second = small.places(draws), large.places(draws)
        if first is None or second is None:
            return None
        weight_K = large.weights(draws.mean_K, second) - small.weights(draws.mean_K, first)
        question_B, whole_B = (
            large.values(mean_BK, second) - small.values(mean_BK, first)
            for mean_BK in (draws.question_BK, draws.whole_BK)
        )
        return estimated(draws, weight_K, question_B, whole_B, options)

    def against(self, draws: CellDraws, pure: float, options: Options) -> Estimate | None:
        """The same with one pure ratio, 0 or 1, for both sizes, whichever is better; None if a cell is missing."""
        weight_K = np.zeros(len(draws.cells))
        for model, side in ((self.large, 1.0), (self.small, -1.0)):
            mixed, other = draws.place(model, self.ratio), draws.place(model, pure)
            if mixed is None or other is None:
                return None
            weight_K[mixed] += side
            weight_K[other] -= side
        return linear(draws, weight_K if self.larger_is_better else -weight_K, options)

    def switched(self, draws: CellDraws) -> float:
        """Share of the draws in which the better pure ratio is another, of the size where that share is larger."""
        return max(side.switched(draws) for side in self._sides())

    def _sides(self) -> tuple[Gain, Gain]:
        """The gains of the smaller and of the larger size."""
        small, large = (Gain(model, self.ratio, self.larger_is_better) for model in (self.small, self.large))
        return small, large


def linear(draws: CellDraws, weight_K: NDArray[np.float64], options: Options) -> Estimate:
    """The estimate of a contrast whose weights, [K], were chosen without looking at the scores."""
    return estimated(draws, weight_K, draws.question_BK @ weight_K, draws.whole_BK @ weight_K, options)


def estimated(
    draws: CellDraws,
    weight_K: NDArray[np.float64],
    question_B: NDArray[np.float64],
    whole_B: NDArray[np.float64],
    options: Options,
) -> Estimate:
    """An estimate from the draws of a quantity that is `weight_K` times the cell means, at least to first order.

    Args:
        draws: cell means.
        weight_K: adds up to 0.
        question_B: the quantity on new questions.
        whole_B: the same with new runs.
        options: how sure.
    """
    value = float(draws.mean_K @ weight_K)
    run_variances, run_freedoms = _run_variances(draws, weight_K)
    over_runs = bool(run_freedoms) and all(run_freedoms)
    questions = float(np.var(question_B, ddof=1))
    components, freedoms = [questions], [draws.part_KC.shape[1] - 1]
    if over_runs:
        components += run_variances
        freedoms += run_freedoms
    error = float(np.std(whole_B if over_runs else question_B, ddof=1))
    freedom = satterthwaite(components, freedoms)
    half = float(stats.t.isf((1 - options.level) / 2, freedom)) * error
    return Estimate(
        value,
        value - half,
        value + half,
        error,
        freedom,
        float(2 * stats.t.sf(abs(value) / error, freedom)) if error else float(value == 0),
        sign_flip(weight_K @ draws.part_KC, options.permutations, options.seed),
        smallest_detectable(error, freedom, options.level, POWER),
        over_runs,
        options.level,
    )


def _run_variances(draws: CellDraws, weight_K: NDArray[np.float64]) -> tuple[list[float], list[int]]:
    """(variance of the contrast by the runs of each size that is in it, degrees of freedom behind each)."""
    variances: dict[str, float] = {}
    freedoms: dict[str, int] = {}
    for place in np.flatnonzero(weight_K):
        size = draws.cells[place].model
        variance = weight_K[place] ** 2 * draws.seed_sd_K[place] ** 2 / draws.runs_K[place]
        variances[size] = variances.get(size, 0.0) + float(variance)
        freedoms[size] = int(draws.freedom_K[place])
    return list(variances.values()), list(freedoms.values())


def satterthwaite(variances: Sequence[float], freedoms: Sequence[int]) -> float:
    """Degrees of freedom of a sum of independently estimated variances."""
    total = sum(variances)
    return total**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True)) if total else float(sum(freedoms))


def sign_flip(part_C: NDArray[np.float64], permutations: int, seed: int) -> float:
    """Two-sided p of the hypothesis that parts are symmetric about 0, by the size of their sum.

    All 2^C flips up to `EXACT_CLUSTERS` clusters that are not 0; else random ones, of which the observed one is
    counted too, so that p is never 0 and the test keeps its level (Phipson & Smyth 2010, doi 10.2202/1544-6115.1585).

    Args:
        part_C: what each cluster adds to the contrast.
        permutations: random flips.
        seed: of the random numbers.
    """
    moving = part_C[part_C != 0]
    observed = abs(moving.sum()) * (1 - 1e-12)
    if len(moving) <= EXACT_CLUSTERS:
        sign_PC = np.array(list(product((-1.0, 1.0), repeat=len(moving))))
        return float(np.mean(np.abs(sign_PC @ moving) >= observed))
    generator = np.random.default_rng(seed)
    extreme, block = 0, max(1, _SIGNS // len(moving))
    for start in range(0, permutations, block):
        flips_PC = generator.integers(0, 2, size=(min(block, permutations - start), len(moving)), dtype=np.int8)
        extreme += int(np.sum(np.abs((2.0 * flips_PC - 1) @ moving) >= observed))
    return (extreme + 1) / (permutations + 1)


def adjusted(estimates: Sequence[Estimate]) -> list[Estimate]:
    """The estimates with either p by Holm's procedure over all of them (Holm 1979), and what that leaves detectable.

    `detectable` is at the first step of the procedure, that of the smallest p: a level divided by their number.
    """
    if not estimates:
        return []
    for_runs = multipletests([estimate.p for estimate in estimates], method="holm")[1]
    for_questions = multipletests([estimate.p_questions for estimate in estimates], method="holm")[1]
    return [
        replace(
            estimate,
            p=float(p),
            p_questions=float(p_questions),
            detectable=smallest_detectable(
                estimate.error, estimate.freedom, corrected_level(estimate.level, len(estimates)), POWER
            ),
        )
        for estimate, p, p_questions in zip(estimates, for_runs, for_questions, strict=True)
    ]


def corrected_level(level: float, tests: int) -> float:
    """The level at which the smallest p of several tests is tested, as 1 - .05 / 8."""
    return 1 - (1 - level) / tests


def smallest_detectable(error: float, freedom: float, level: float, power: float) -> float:
    """The true value that a two-sided t test at 1 - `level` finds with chance `power`, nearly.

    Args:
        error: standard error of the estimate.
        freedom: degrees of freedom behind it.
        level: as .95.
        power: as .8.
    """
    return float(stats.t.isf((1 - level) / 2, freedom) + stats.t.isf(1 - power, freedom)) * error
