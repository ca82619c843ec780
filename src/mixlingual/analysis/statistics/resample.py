"""Draws of a sweep's cell means: new questions, and new training runs.

Two things vary from one experiment to the next. Questions: all cells are evaluated on the same ones, so one draw of
clusters serves all cells, and differences between cells keep their small variance. Training runs (seeds): each cell
has few, so a cell's own would say little about their spread; deviations from the means of the cells are pooled over
the ratios of a size, scaled up by sqrt(n / (n - 1)) for what the mean has taken from them, and drawn anew for each
cell. (Questions x seeds is a crossed design: Owen & Eckles 2012, doi 10.1214/12-AOAS547, resample both sides.)

Shape suffixes: R runs, K cells (size x ratio), C clusters, B draws.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.read.questions import QuestionScores, draw_clusters


class Cell(NamedTuple):
    """A size at a ratio."""

    model: str
    ratio: float


@dataclass(frozen=True)
class CellDraws:
    """Means of cells over their seeds, and how they would scatter."""

    cells: tuple[Cell, ...]
    mean_K: NDArray[np.float64]
    question_BK: NDArray[np.float64]
    """The means of these very runs on other questions."""
    whole_BK: NDArray[np.float64]
    """The means of other runs on other questions; those of `question_BK` where no cell of a size has two seeds."""
    runs_K: NDArray[np.int64]
    """Number of seeds."""
    seed_sd_K: NDArray[np.float64]
    """Standard deviation between seeds, pooled over the ratios of the size; NaN where nothing shows it."""
    freedom_K: NDArray[np.int64]
    """Degrees of freedom of that standard deviation."""
    part_KC: NDArray[np.float64]
    """What each cluster adds to the mean of a cell: a row sums to it."""

    def place(self, model: str, ratio: float) -> int | None:
        """Index of a cell, or None."""
        cell = Cell(model, ratio)
        return self.cells.index(cell) if cell in self.cells else None


def draw_cells(scores: QuestionScores, cell_R: Sequence[Cell], draws: int, seed: int) -> CellDraws:
    """Means of all cells and their draws.

    Args:
        scores: one measure.
        cell_R: where each run of `scores` lies.
        draws: B.
        seed: of the random numbers; all measures drawn with one seed see the same questions.
    """
    cells = tuple(dict.fromkeys(cell_R))
    member_KR = np.array([[own == cell for own in cell_R] for cell in cells], dtype=np.float64)
    runs_K = member_KR.sum(axis=1)
    average_KR = member_KR / runs_K[:, None]
    value_R = scores.macros()
    question_BK = scores.resampled(draw_clusters(len(scores.clusters), draws, seed)) @ average_KR.T
    mean_K = average_KR @ value_R
    sizes = [cell.model for cell in cells]
    deviations, freedom = _pooled(value_R - member_KR.T @ mean_K, member_KR, sizes)
    generator = np.random.default_rng((seed, 1))
    noise_BK = np.stack(
        [_mean_of_draws(deviations[size], draws, int(runs), generator) for size, runs in zip(sizes, runs_K)], axis=1
    )
    return CellDraws(
        cells,
        mean_K,
        question_BK,
        question_BK + noise_BK,
        runs_K.astype(np.int64),
        np.array([_rms(deviations[size]) for size in sizes]),
        np.array([freedom[size] for size in sizes]),
        average_KR @ scores.parts(),
    )


def _pooled(
    residual_R: NDArray[np.float64], member_KR: NDArray[np.float64], sizes: Sequence[Hashable]
) -> tuple[dict[Hashable, NDArray[np.float64]], dict[Hashable, int]]:
    """(size -> deviations of its runs, scaled to the spread between seeds; size -> degrees of freedom)."""
    deviations: dict[Hashable, list[float]] = {size: [] for size in sizes}
    freedom = dict.fromkeys(sizes, 0)
    for size, member_R in zip(sizes, member_KR):
        runs = int(member_R.sum())
        if runs > 1:
            deviations[size] += list(residual_R[member_R > 0] * np.sqrt(runs / (runs - 1)))
            freedom[size] += runs - 1
    return {size: np.array(values) for size, values in deviations.items()}, freedom


def _mean_of_draws(
    deviations: NDArray[np.float64], draws: int, runs: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """[B] means of `runs` deviations; zeros where there are none to draw from."""
    if not len(deviations):
        return np.zeros(draws)
    mean_B: NDArray[np.float64] = generator.choice(deviations, size=(draws, runs)).mean(axis=1)
    return mean_B


def _rms(deviations: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(deviations**2))) if len(deviations) else float("nan")
