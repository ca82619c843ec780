"""Computes the mean of each cell of a sweep, sizes by ratios, and how sure it is.

Two things vary from one experiment to the next, independently: questions, which all cells share, and training runs.

- Questions. The mean of a run is, to first order, a sum over clusters (paragraphs, or questions) of what each adds to
  it beyond its share; the variance of any contrast over clusters is the sum of the squares of what each adds to the
  contrast, times C / (C - 1): the cluster sandwich (Liang & Zeger 1986, doi 10.1093/biomet/73.1.13). It needs no model
  of how languages, settings or questions of a paragraph go together.
- Runs: see `spread`.

Where runs drew another share of monolingual batches than planned, a cell's mean is moved to the planned ratio along the
curve through the means of its size, a cubic or of as many degrees as the ratios allow.

All means are sums of runs with known weights, so that variances are computed, not drawn.

Shape suffixes: R runs, K cells, C clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre

from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.spread import Spread, Vector, spread_of

DEGREE = 3
"""Of the polynomial in the ratio; lower where a size has fewer ratios."""


class Cell(NamedTuple):
    """A size at a ratio."""

    model: str
    ratio: float


class Variance(NamedTuple):
    """That of a contrast."""

    questions: float
    runs: float
    """0 where no seed is repeated."""
    freedom_questions: float
    freedom_runs: float

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(self.questions + self.runs))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the sum, by Satterthwaite's rule."""
        return satterthwaite((self.questions, self.runs), (self.freedom_questions, self.freedom_runs))


@dataclass(frozen=True)
class RunValues:
    """A number for each run, with what each cluster adds to it."""

    runs: tuple[str, ...]
    clusters: tuple[str, ...]
    """Names; none where only runs can vary, as no scores by question are kept."""
    value_R: Vector
    influence_RC: Vector
    """What each cluster adds beyond its share: a row sums to 0."""

    @classmethod
    def of(cls, scores: QuestionScores) -> RunValues:
        """Those of one measure."""
        return cls(scores.runs, scores.clusters, scores.macros(), scores.influences())

    @classmethod
    def alone(cls, values: Mapping[str, float]) -> RunValues:
        """Run -> value, about these very questions."""
        return cls(tuple(values), (), np.array([*values.values()], dtype=float), np.zeros((len(values), 0)))

    def of_runs(self, runs: Sequence[str]) -> RunValues:
        """Those of some runs."""
        places = [self.runs.index(run) for run in runs]
        return RunValues(tuple(runs), self.clusters, self.value_R[places], self.influence_RC[places])

    def over(self, clusters: Sequence[str]) -> Vector:
        """[R, C] influences of these clusters; 0 of those that it has none of."""
        place_C = {name: place for place, name in enumerate(self.clusters)}
        known = [(place, place_C[name]) for place, name in enumerate(clusters) if name in place_C]
        influence_RC = np.zeros((len(self.runs), len(clusters)))
        if known:
            to, source = map(list, zip(*known, strict=True))
            influence_RC[:, to] = self.influence_RC[:, source]
        return influence_RC

    def less(self, factor: float, other: RunValues) -> RunValues:
        """Their difference, the other times a factor, of the same runs; clusters are those that either has."""
        clusters = tuple(dict.fromkeys((*self.clusters, *other.clusters)))
        influence_RC = self.over(clusters) - factor * other.over(clusters)
        return RunValues(self.runs, clusters, self.value_R - factor * other.value_R, influence_RC)


@dataclass(frozen=True)
class CellMeans:
    """Means of cells over their seeds."""

    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    mean_K: Vector
    weight_KR: Vector
    """Of the runs in each mean."""
    influence_KC: Vector
    """What each cluster adds to the mean of a cell beyond its share: a row sums to 0."""
    names: tuple[str, ...]
    """C names of the clusters."""
    spread: Spread | None
    """Of runs; None where no seed is repeated."""

    @classmethod
    def of(cls, scores: QuestionScores, trials: Sequence[Trial]) -> CellMeans:
        """Those of one measure.

        Args:
            scores: one measure.
            trials: where each of its runs lies.
        """
        return cls.of_values(RunValues.of(scores), trials)

    @classmethod
    def of_values(cls, values: RunValues, trials: Sequence[Trial]) -> CellMeans:
        """Those of a number for each run.

        Args:
            values: of the runs.
            trials: where each of the runs lies.
        """
        cells = tuple(dict.fromkeys(Cell(trial.model, trial.ratio) for trial in trials))
        place_R = np.array([cells.index(Cell(trial.model, trial.ratio)) for trial in trials])
        own_KR = (place_R == np.arange(len(cells))[:, None]).astype(np.float64)
        average_KR = own_KR / own_KR.sum(axis=1, keepdims=True)
        shift_R = np.array([trial.shift for trial in trials])
        slope_KK = _slopes(cells)
        weight_KR = average_KR - (average_KR @ shift_R)[:, None] * (slope_KK @ average_KR)
        value_R = values.value_R
        moved_R = value_R - shift_R * (slope_KK @ average_KR @ value_R)[place_R]
        return cls(
            cells,
            tuple(trials),
            weight_KR @ value_R,
            weight_KR,
            weight_KR @ values.influence_RC,
            values.clusters,
            spread_of(moved_R, trials),
        )

    @property
    def clusters(self) -> int:
        """C."""
        return int(self.influence_KC.shape[1])

    def place(self, model: str, ratio: float) -> int | None:
        """Index of a cell, or None."""
        cell = Cell(model, ratio)
        return self.cells.index(cell) if cell in self.cells else None

    def variance(self, weight_K: Vector) -> Variance:
        """Of a contrast with these weights."""
        each_C = weight_K @ self.influence_KC
        runs, freedom = self.spread.variance(weight_K @ self.weight_KR) if self.spread else (0.0, np.inf)
        questions = float(each_C @ each_C) * self._few
        return Variance(questions, runs, max(1, self.clusters - 1) if self.clusters else np.inf, freedom)

    @cached_property
    def covariance(self) -> Vector:
        """Of the means, over questions and runs."""
        questions_KK = self.influence_KC @ self.influence_KC.T * self._few
        runs_KK = self.weight_KR @ self.spread.covariance() @ self.weight_KR.T if self.spread else 0
        covariance_KK: Vector = questions_KK + runs_KK
        return covariance_KK

    @property
    def _few(self) -> float:
        return self.clusters / max(1, self.clusters - 1)

    @cached_property
    def unrepeated(self) -> frozenset[str]:
        """Sizes that have no cell with two seeds."""
        cells = [Cell(trial.model, trial.ratio) for trial in self.trials]
        repeated = {cell.model for cell in cells if cells.count(cell) > 1}
        return frozenset(cell.model for cell in self.cells) - repeated

    def borrowed(self, weight_K: Vector) -> tuple[str, ...]:
        """Sizes of a contrast whose spread between runs is that of other sizes."""
        held = dict.fromkeys(self.cells[place].model for place in np.flatnonzero(weight_K))
        return tuple(model for model in held if model in self.unrepeated)


def satterthwaite(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independently estimated variances."""
    total = sum(variances)
    cost = sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    return total**2 / cost if cost else float(max(freedoms))


def smoother(ratio_K: Vector, at_A: Vector, slope: int = 0) -> Vector:
    """[A, K] matrix that takes the means at `ratio_K`, all different, to the fitted curve at `at_A`, or its slope.

    The curve is a cubic, fitted by least squares; a parabola of three ratios. (A natural spline of as many degrees of
    freedom is straight at the ends and so draws the best ratio of a parabola to the middle, by .04 from .75.)
    """
    degree = min(DEGREE, len(ratio_K) - 1)
    base = legendre.legvander(2 * at_A - 1, degree)
    if slope:
        steps = [legendre.legval(2 * at_A - 1, legendre.legder(row)) * 2 for row in np.eye(degree + 1)]
        base = np.stack(np.broadcast_arrays(*steps), axis=1)
    smooth_AK: Vector = base @ np.linalg.pinv(legendre.legvander(2 * ratio_K - 1, degree))
    return smooth_AK


def _slopes(cells: Sequence[Cell]) -> Vector:
    """[K, K] matrix that takes the means of cells to the slopes of the curve of their size; 0 with one ratio."""
    slope_KK = np.zeros((len(cells), len(cells)))
    for model in dict.fromkeys(cell.model for cell in cells):
        own = [place for place, cell in enumerate(cells) if cell.model == model]
        ratio_K = np.array([cells[place].ratio for place in own])
        if len(own) > 1:
            slope_KK[np.ix_(own, own)] = smoother(ratio_K, ratio_K, slope=1)
    return slope_KK
