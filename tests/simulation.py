"""Counts coverage and false positives of the statistics in experiments with a known truth: `make simulation`.

Each row is a kind of experiment of three sizes and five ratios. Under a flat truth no contrast is there, all ratios are
best and no ratio costs anything; under a bent one (the interior optimum) the middle is best at every size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from simulated import RATIOS, SIZES, cell_means, flat

from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import Estimate, Gain, Interaction, estimate
from mixlingual.analysis.statistics.effects import ratio_effects
from mixlingual.analysis.statistics.interaction import fit_size_by_ratio
from mixlingual.analysis.statistics.response import Draws, fit_curve

LEVEL = 0.95
WEIGHTS = {"small": 10**7, "middle": 3 * 10**7, "large": 10**8}
DRAWS = Draws(LEVEL, 1000)
MIXING = Interaction("small", "large", 0.5, larger_is_better=True)


def bent(model: str, ratio: float) -> float:
    """Best at one half, which is .02 better than the pure ratios, at every size."""
    return 0.5 + 0.02 * (1 - (2 * ratio - 1) ** 2)


_PUBLISHED = dict(zip(RATIOS, (0.84, 0.77, 1.25, 1.03, 1.0), strict=True))


def published(model: str, ratio: float) -> float:
    """The spread of each ratio as a share of the common one in docs/results."""
    return _PUBLISHED[ratio]


def by_size(model: str, ratio: float) -> float:
    """Runs of the largest size scatter four times as much as those of the smallest."""
    return {"small": 0.5, "middle": 1.0, "large": 2.0}[model]


SCENARIOS: dict[str, dict[str, Any]] = {
    "2 seeds": {"seeds": 2},
    "3 seeds": {},
    "5 seeds": {"seeds": 5},
    "runs all alike": {"between_runs": 0.0},
    "runs far apart": {"between_runs": 0.03},
    "unequal seeds": {"seeds_of": {("small", 0.0): 5, ("small", 0.25): 1, ("middle", 0.5): 2, ("large", 1.0): 2}},
    "one seed of the largest size": {"seeds_of": {"large": 1}},
    "one seed of all but one size": {"seeds_of": {"large": 1, "middle": 1}},
    "missing cells": {"seeds_of": {("middle", 0.5): 0, ("small", 0.25): 0, ("large", 0.75): 0}},
    "heavy tails": {"tails": 3},
    "shared seeds": {"shared": 0.66},
    "shared seeds, 2": {"shared": 0.66, "seeds": 2},
    "unequal spread of ratios": {"spread": published},
    "unequal spread of sizes": {"spread": by_size},
    "paragraphs": {"paragraphs": 50, "paragraph_and_cell": 0.06},
    "interior optimum": {"truth": bent},
    "interior optimum, shared": {"truth": bent, "shared": 0.66},
}


def _mean_over_sizes(means: CellMeans) -> Estimate | None:
    weight_K = np.zeros(len(means.cells))
    for model in SIZES:
        places = means.place(model, 0.5), means.place(model, 1.0)
        if places[0] is None or places[1] is None:
            return None
        weight_K[places[0]] += 1 / len(SIZES)
        weight_K[places[1]] -= 1 / len(SIZES)
    return estimate(means, weight_K, LEVEL)


def one(seed: int, truth: Callable[[str, float], float] = flat, **options: Any) -> dict[str, float]:
    """What holds in one experiment, as 0 or 1."""
    means = cell_means(seed, truth, **options)
    held: dict[str, float] = {}
    contrasts = {
        "contrast": MIXING.against(means, 1.0, LEVEL),
        "chosen": MIXING.estimate(means, LEVEL),
        "gain": Gain("small", 0.5, larger_is_better=True).estimate(means, LEVEL),
        "mean of sizes": _mean_over_sizes(means),
    }
    true_gain = truth("small", 0.5) - truth("small", 1.0)
    for name, found in contrasts.items():
        if found:
            value = true_gain if name in ("gain", "mean of sizes") else 0.0
            held[f"{name} covered"] = found.low <= value <= found.high
            if name in ("contrast", "mean of sizes"):
                held[f"{name} found"] = np.nan if value else found.p < 1 - LEVEL
    curve = fit_curve(means, "small", larger_is_better=True, draws=DRAWS)
    measured = {ratio: truth("small", ratio) for ratio in curve.ratio_K}
    best = max(measured.values())
    held["best in set"] = {r for r, value in measured.items() if value == best} <= set(curve.possibly_best)
    if curve.regret:
        held["regret covered"] = curve.regret.low <= best - measured[0.5] <= curve.regret.high
    held["best ratio covered"] = curve.best.low <= 0.5 <= curve.best.high
    (_, at, family), *_ = ratio_effects(means, SIZES, DRAWS, larger_is_better=True)
    true_effects = [truth(each.model, each.ratio) - truth(each.model, at[each.model]) for each in family]
    held["bands covered"] = all(
        each.estimate.low_all <= value <= each.estimate.high_all
        for each, value in zip(family, true_effects, strict=True)
    )
    held["interaction found"] = fit_size_by_ratio(means, "map", WEIGHTS, LEVEL).interaction.p < 1 - LEVEL
    return held


def counted(scenario: str, experiments: int, first: int = 0) -> pd.Series[float]:
    """Shares of experiments in which each holds."""
    rows = [one(first + seed, **SCENARIOS[scenario]) for seed in range(experiments)]
    return pd.DataFrame(rows).astype(float).mean()


def main() -> None:
    """Prints the table."""
    experiments = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    table = pd.DataFrame({name: counted(name, experiments) for name in SCENARIOS}).T
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / experiments)
    sys.stdout.write(f"Per cent of {experiments} experiments; the error of a share near 5 or 95 is {error:.1f}.\n\n")
    sys.stdout.write((100 * table).round(1).to_string() + "\n")


if __name__ == "__main__":
    main()
