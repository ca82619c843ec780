"""What one setting costs the other: the front of a size between monolingual and cross-lingual retrieval.

Shape suffixes: K cells of a size, B draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.statistics.resample import CellDraws
from mixlingual.analysis.statistics.response import Interval


@dataclass(frozen=True)
class Front:
    """The cells of a size by both settings."""

    model: str
    ratio_K: NDArray[np.float64]
    mono_K: NDArray[np.float64]
    cross_K: NDArray[np.float64]
    dominated_K: NDArray[np.float64]
    """Share of the draws in which another ratio of the size is better in both settings."""
    hypervolume: Interval
    """Area above the reference point that the ratios of the size cover together: how far out the front lies."""


def fronts(mono: CellDraws, cross: CellDraws, level: float) -> list[Front]:
    """The front of each size; the reference point is the lowest mean of either setting over all cells.

    Args:
        mono: cell means of the monolingual setting.
        cross: of the cross-lingual one; the same cells and random numbers.
        level: of the intervals.
    """
    assert mono.cells == cross.cells
    corner = mono.mean_K.min(), cross.mean_K.min()
    found = []
    for model in dict.fromkeys(cell.model for cell in mono.cells):
        place_K = sorted(
            (place for place, cell in enumerate(mono.cells) if cell.model == model), key=lambda k: mono.cells[k].ratio
        )
        first_BK, second_BK = mono.whole_BK[:, place_K], cross.whole_BK[:, place_K]
        area = hypervolume(mono.mean_K[None, place_K], cross.mean_K[None, place_K], corner)[0]
        ends = np.quantile(hypervolume(first_BK, second_BK, corner), [(1 - level) / 2, (1 + level) / 2])
        found.append(
            Front(
                model,
                np.array([mono.cells[place].ratio for place in place_K]),
                mono.mean_K[place_K],
                cross.mean_K[place_K],
                dominated(first_BK, second_BK).mean(axis=0),
                Interval(float(area), *map(float, ends)),
            )
        )
    return found


def dominated(first_BK: NDArray[np.float64], second_BK: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[B, K] whether some other cell of the draw is better in both."""
    better = (first_BK[:, None] > first_BK[:, :, None]) & (second_BK[:, None] > second_BK[:, :, None])
    some_BK: NDArray[np.bool_] = np.logical_or.reduce(better, axis=2)
    return some_BK


def hypervolume(
    first_BK: NDArray[np.float64], second_BK: NDArray[np.float64], corner: tuple[float, float]
) -> NDArray[np.float64]:
    """[B] area of the union of the rectangles from `corner` to each cell (Zitzler & Thiele 1999, two objectives)."""
    order = np.argsort(-first_BK, axis=1)
    width_BK = np.maximum(np.take_along_axis(first_BK, order, axis=1) - corner[0], 0)
    height_BK = np.maximum.accumulate(np.maximum(np.take_along_axis(second_BK, order, axis=1) - corner[1], 0), axis=1)
    area_B: NDArray[np.float64] = (width_BK * np.diff(height_BK, axis=1, prepend=0)).sum(axis=1)
    return area_B
