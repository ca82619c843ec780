"""Shows what one setting costs the other: the front of a size between monolingual and cross-lingual retrieval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.spread import Vector


@dataclass(frozen=True)
class Front:
    """The cells of a size by both settings. K cells."""

    model: str
    ratio_K: Vector
    mono_K: Vector
    cross_K: Vector
    beaten_K: NDArray[np.bool_]
    """Whether the mean of another ratio of the size is higher in both settings."""


def fronts(mono: CellMeans, cross: CellMeans) -> list[Front]:
    """The front of each size, over the ratios that both settings have."""
    found = []
    for model in dict.fromkeys(cell.model for cell in mono.cells):
        ratios = sorted(cell.ratio for cell in mono.cells if cell.model == model and cell in cross.cells)
        first_K, second_K = (
            np.array([side.mean_K[side.cells.index((model, ratio))] for ratio in ratios]) for side in (mono, cross)
        )
        found.append(Front(model, np.array(ratios), first_K, second_K, dominated(first_K, second_K)))
    return found


def dominated(first_K: Vector, second_K: Vector) -> NDArray[np.bool_]:
    """[K] whether some other cell is better in both."""
    some_KK = (first_K > first_K[:, None]) & (second_K > second_K[:, None])
    some_K: NDArray[np.bool_] = np.logical_or.reduce(some_KK, axis=1)
    return some_K
