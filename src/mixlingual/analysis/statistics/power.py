"""How many seeds detect an effect: power of the interaction contrast, from the spreads of a pilot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mixlingual.analysis.statistics.contrasts import POWER, Interaction, satterthwaite, smallest_detectable
from mixlingual.analysis.statistics.resample import CellDraws

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Pilot:
    """What a pilot says about the error of the interaction contrast."""

    questions: int
    question_variance: float
    """Variance of the contrast over draws of questions: more seeds leave it as it is."""
    run_variances: tuple[float, float]
    """Variance of the contrast of one seed a cell, by the runs of the smaller and of the larger size."""
    ratios: tuple[int, int]
    """Cells of either size, over which the spread between runs is pooled."""

    @classmethod
    def of(cls, draws: CellDraws, contrast: Interaction) -> Pilot | None:
        """From the cells of a pilot; None if cells are missing or none of a size has two seeds."""
        weight_K = contrast.weights(draws)
        if weight_K is None:
            return None
        models = [cell.model for cell in draws.cells]
        ends = [models.index(contrast.small), models.index(contrast.large)]
        if not draws.freedom_K[ends].all():
            return None
        deviations = draws.seed_sd_K[ends]
        counts = [sum(cell.model == model for cell in draws.cells) for model in (contrast.small, contrast.large)]
        drawn_B = draws.question_BK @ weight_K
        return cls(
            draws.part_KC.shape[1],
            float(np.var(drawn_B, ddof=1)),
            (2 * float(deviations[0]) ** 2, 2 * float(deviations[1]) ** 2),
            (counts[0], counts[1]),
        )

    def error(self, seeds: int) -> tuple[float, float]:
        """(standard error, degrees of freedom) of the contrast with so many seeds in every cell, at least two."""
        variances = [self.question_variance, *(variance / seeds for variance in self.run_variances)]
        freedoms = [self.questions - 1, *(count * (seeds - 1) for count in self.ratios)]
        return float(np.sqrt(sum(variances))), satterthwaite(variances, freedoms)

    def power(self, effect: float, seeds: int, level: float) -> float:
        """Chance that the two-sided test at 1 - `level` finds a true contrast of `effect`."""
        error, freedom = self.error(seeds)
        critical = stats.t.isf((1 - level) / 2, freedom)
        shift = abs(effect) / error
        wrong_side = np.nan_to_num(stats.nct.cdf(-critical, freedom, shift))  # SciPy gives NaN for some that are near 0
        return float(stats.nct.sf(critical, freedom, shift) + wrong_side)

    def seeds_for(self, effect: float, level: float, power: float = POWER) -> int | None:
        """The fewest seeds a cell, at least two, that find `effect` with chance `power`; None if no number does."""
        counts = range(2, MOST_SEEDS + 1)
        return next((seeds for seeds in counts if self.power(effect, seeds, level) >= power), None)

    def detectable(self, seeds: int, level: float, power: float = POWER) -> float:
        """The smallest contrast that so many seeds find with chance `power`, nearly."""
        return smallest_detectable(*self.error(seeds), level, power)

    def limit(self, level: float, power: float = POWER) -> float:
        """What any number of seeds cannot get below: the questions vary too."""
        return smallest_detectable(self.question_variance**0.5, self.questions - 1.0, level, power)
