"""Compares every cell with a reference of its size: the differences that the report draws, in bands that hold together.

A family is what a panel draws: one measure of one benchmark and setting, all sizes and ratios, against one reference.
Its differences share questions, seeds and the reference, so they are correlated, by R. With Z ~ N(0, R) let

    P(max |Z| > z) = 1 - level                                                                                   (1)

and each interval have the level 2 Phi(z) - 1 of Student's t with its own degrees of freedom. So the intervals hold
together as far as the t statistics have the copula of Z (Hothorn, Bretz & Westfall 2008, doi 10.1002/bimj.200810425):
exactly where they are the same, or independent; more often where they share the estimate of a spread.

Shape suffixes: K cells, J differences, B draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mixlingual.analysis.read.points import ZERO_SHOT
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.statistics.cells import Cell, CellMeans
from mixlingual.analysis.statistics.contrasts import Estimate, estimate, quantile
from mixlingual.analysis.statistics.controls import Pairs
from mixlingual.analysis.statistics.response import Draws
from mixlingual.analysis.statistics.spread import Vector

BETTER_PURE = "the better pure ratio"
UNTRAINED = "the untrained encoder"


@dataclass(frozen=True)
class Effect:
    """A cell less the reference of its size, in the unit of the measure."""

    model: str
    ratio: float
    seeds: int
    """Of the cell."""
    estimate: Estimate
    """`low_all` and `high_all` hold with all others of the panel, and p is the level at which they would not hold 0."""


@dataclass(frozen=True)
class Effects:
    """The differences of one panel."""

    benchmark: str
    setting: str
    measure: str
    reference: str
    """What it is called, as `ratio 0`, `BETTER_PURE` or `UNTRAINED`."""
    at: Mapping[str, float]
    """Size -> ratio of its reference; empty for `UNTRAINED`."""
    effects: tuple[Effect, ...]
    """By size, in the order of weights, then ratio."""


def ratio_effects(
    means: CellMeans, models: Sequence[str], draws: Draws, *, larger_is_better: bool
) -> Iterator[tuple[str, dict[str, float], tuple[Effect, ...]]]:
    """(reference, its ratio in each size, differences from it), for every reference that some size has.

    The first is ratio 0; without a run there ratio 1; without either the lowest that is measured. Then follows
    `BETTER_PURE`, where sizes have both: better is what is better in the cell means (see `contrasts.Gain`).

    Args:
        means: of one measure.
        models: sizes, in the order of weights.
        draws: how sure, and how the critical value is found.
        larger_is_better: whether high values are good.
    """
    ratios = sorted({cell.ratio for cell in means.cells})
    first = next((ratio for ratio in (0.0, 1.0) if ratio in ratios), min(ratios, default=0.0))
    sign = 1 if larger_is_better else -1
    better = {
        model: max(pure, key=lambda ratio: sign * means.mean_K[pure[ratio]])
        for model in models
        if len(pure := {ratio: place for ratio in (0.0, 1.0) if (place := means.place(model, ratio)) is not None}) == 2
    }
    alone = {model: first for model in models if means.place(model, first) is not None}
    for name, at in ((f"ratio {first:g}", alone), (BETTER_PURE, better)):
        cells = [cell for cell in _ordered(means, models) if cell.model in at and cell.ratio != at[cell.model]]
        unit_KK = np.eye(len(means.cells))
        weight_JK = [
            unit_KK[means.cells.index(cell)] - unit_KK[means.cells.index(Cell(cell.model, at[cell.model]))]
            for cell in cells
        ]
        if cells:
            yield name, at, _together(means, cells, np.array(weight_JK), draws)


def untrained_effects(scores: QuestionScores, pairs: Pairs, models: Sequence[str], draws: Draws) -> tuple[Effect, ...]:
    """What training at each ratio changes; empty without a baseline.

    Args:
        scores: one measure, also of the baselines.
        pairs: of the sweep.
        models: sizes, in the order of weights.
        draws: how sure, and how the critical value is found.
    """
    known = {*scores.runs}
    own = [pair for pair in pairs.pairs if pair.kind == ZERO_SHOT and {pair.run, pair.other} <= known]
    if not own:
        return ()
    means = CellMeans.of(scores.differences([(p.run, p.other) for p in own]), [pair.trial for pair in own])
    cells = _ordered(means, models)
    weight_JK = np.eye(len(means.cells))[[means.cells.index(cell) for cell in cells]]
    return _together(means, cells, weight_JK, draws)


def _ordered(means: CellMeans, models: Sequence[str]) -> list[Cell]:
    return sorted(means.cells, key=lambda cell: (models.index(cell.model), cell.ratio))


def _together(means: CellMeans, cells: Sequence[Cell], weight_JK: Vector, draws: Draws) -> tuple[Effect, ...]:
    """The contrasts of a family, with intervals that hold together."""
    alone = [estimate(means, weight_K, draws.level) for weight_K in weight_JK]
    largest_B = _largest(weight_JK @ means.covariance @ weight_JK.T, draws)
    level = 1 - 2 * special.ndtr(-np.quantile(largest_B, draws.level))
    seeds = [sum(Cell(trial.model, trial.ratio) == cell for trial in means.trials) for cell in cells]
    return tuple(
        Effect(*cell, count, _widened(each, level, largest_B, len(alone)))
        for cell, count, each in zip(cells, seeds, alone, strict=True)
    )


def _largest(covariance_JJ: Vector, draws: Draws) -> Vector:
    """[B] draws of max |Z| in (1)."""
    error_J = np.sqrt(np.maximum(np.diag(covariance_JJ), np.finfo(float).tiny))
    value, axis_JJ = np.linalg.eigh(covariance_JJ / np.outer(error_J, error_J))
    normal_BJ = np.random.default_rng((draws.seed, 3)).normal(size=(draws.number, len(value)))
    largest_B: Vector = np.abs(normal_BJ * np.sqrt(np.maximum(value, 0)) @ axis_JJ.T).max(axis=1)
    return largest_B


def _widened(each: Estimate, level: float, largest_B: Vector, tests: int) -> Estimate:
    """With the interval of this level; p by the draws, or Bonferroni's where that is less than draws can tell."""
    half = quantile(level, each.freedom) * each.error
    tested, by_questions = (
        min(tests * p, max(float(np.mean(largest_B >= -special.ndtri(p / 2))), 1 / len(largest_B)))
        for p in (each.p, each.p_questions)
    )
    return replace(each, p=tested, p_questions=by_questions, low_all=each.value - half, high_all=each.value + half)
