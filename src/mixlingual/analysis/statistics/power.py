"""Computes how many seeds detect an effect: the power of the interaction contrast, from the spreads of a pilot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mixlingual.analysis.statistics.cells import CellMeans, Variance
from mixlingual.analysis.statistics.contrasts import Interaction

POWER = 0.8

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Pilot:
    """What a pilot says about the error of the interaction contrast."""

    questions: Variance
    """Over questions: more seeds leave it as it is."""
    one_seed: float
    """Variance of the contrast over runs, with one seed in every cell."""
    freedom_seed: float
    """Degrees of freedom that each seed after the first adds to that."""

    @classmethod
    def of(cls, means: CellMeans, contrast: Interaction) -> Pilot | None:
        """From the cells of a pilot; None if cells are missing or a size has no cell with two seeds."""
        weight_K = contrast.weights(means)
        if weight_K is None or means.spread is None or means.borrowed(weight_K):
            return None
        variance = means.variance(weight_K)
        used_K = np.flatnonzero(weight_K)
        seeds = [sum((t.model, t.ratio) == means.cells[place] for t in means.trials) for place in used_K]
        typical = float(np.sum(weight_K[used_K] ** 2) / np.sum(weight_K[used_K] ** 2 / np.array(seeds)))
        return cls(
            variance._replace(runs=0.0),
            variance.runs * typical,
            variance.freedom_runs / max(typical - 1, 0.5),
        )

    def variance(self, seeds: int) -> Variance:
        """Of the contrast with so many seeds in every cell, at least two."""
        return self.questions._replace(runs=self.one_seed / seeds, freedom_runs=self.freedom_seed * (seeds - 1))

    def power(self, effect: float, seeds: int, level: float) -> float:
        """Chance that the two-sided test at 1 - `level` finds a true contrast of `effect`."""
        variance = self.variance(seeds)
        critical = stats.t.isf((1 - level) / 2, variance.freedom)
        shift = abs(effect) / variance.error
        wrong_side = np.nan_to_num(stats.nct.cdf(-critical, variance.freedom, shift))  # SciPy: NaN for some near 0
        return float(stats.nct.sf(critical, variance.freedom, shift) + wrong_side)

    def seeds_for(self, effect: float, level: float, power: float = POWER) -> int | None:
        """The fewest seeds a cell, at least two, that find `effect` with chance `power`; None if no number does."""
        counts = range(2, MOST_SEEDS + 1)
        return next((seeds for seeds in counts if self.power(effect, seeds, level) >= power), None)

    def detectable(self, seeds: int, level: float, power: float = POWER) -> float:
        """The smallest contrast that so many seeds find with chance `power`, nearly."""
        return smallest_detectable(self.variance(seeds), level, power)

    def limit(self, level: float, power: float = POWER) -> float:
        """What any number of seeds cannot get below: the questions vary too."""
        return smallest_detectable(self.questions, level, power)


def smallest_detectable(variance: Variance, level: float, power: float) -> float:
    """The true value that a two-sided t test at 1 - `level` finds with chance `power`, nearly."""
    freedom = variance.freedom
    return float(stats.t.isf((1 - level) / 2, freedom) + stats.t.isf(1 - power, freedom)) * variance.error
