"""Error against size as a power law with one exponent for all ratios, and whether it predicts a size left out.

    1 - score = E(ratio) + A(ratio) * N ** -gamma

after Fang et al. 2024 (arXiv 2403.18684), who find such laws for the contrastive entropy of dense retrievers; here the
error is one of mAP, so the law is a description of the sizes measured, not more. Nothing is predicted beyond ten times
the largest size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.statistics.resample import CellDraws

FURTHEST = 10.0
"""Largest size that is predicted, as a multiple of the largest one measured."""

_GAMMAS = np.geomspace(0.02, 2, 200)


@dataclass(frozen=True)
class PowerLaw:
    """The law of one measure."""

    gamma: float
    floor: dict[float, float]
    """Ratio -> E."""
    scale: dict[float, float]
    """Ratio -> A, at the smallest size as unit of N."""
    unit: float
    """Weights of the smallest size."""
    largest: float
    left_out: float | None
    """Root mean square error of predictions of each size from the others; None below four sizes."""
    left_out_flat: float | None
    """The same of predicting each ratio by its mean over the other sizes: what the law must beat."""

    def score(self, weights: float, ratio: float) -> float:
        """The predicted score.

        Raises:
            ValueError: the size is beyond `FURTHEST` times the largest measured.
        """
        if weights > FURTHEST * self.largest:
            raise ValueError(f"{weights:g} weights are more than {FURTHEST:g} times the largest size measured")
        return 1 - self.floor[ratio] - self.scale[ratio] * float((weights / self.unit) ** -self.gamma)


def fit_power_law(draws: CellDraws, weights: Mapping[str, int]) -> PowerLaw | None:
    """The law of a score from 0 to 1, over the ratios that all sizes have; None below three sizes or without one.

    Args:
        draws: cell means.
        weights: size -> number of weights without the embedding table.
    """
    models = sorted({cell.model for cell in draws.cells}, key=weights.__getitem__)
    ratios = sorted(
        {r for r in (cell.ratio for cell in draws.cells) if all(draws.place(m, r) is not None for m in models)}
    )
    if len(models) < 3 or not ratios:
        return None
    error_NA = 1 - np.array([[draws.mean_K[draws.place(model, ratio)] for ratio in ratios] for model in models])
    size_N = np.array([weights[model] for model in models], dtype=float)
    gamma, floor_A, scale_A = _fit(size_N / size_N[0], error_NA)
    misses, flat = _left_out(size_N / size_N[0], error_NA)
    return PowerLaw(
        gamma,
        dict(zip(ratios, map(float, floor_A), strict=True)),
        dict(zip(ratios, map(float, scale_A), strict=True)),
        float(size_N[0]),
        float(size_N[-1]),
        misses,
        flat,
    )


def _fit(
    size_N: NDArray[np.float64], error_NA: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """(gamma, E, A) of least squares; for a given gamma the law is a straight line in size ** -gamma."""
    best = (np.inf, 0.0, error_NA[0], error_NA[0])
    for gamma in _GAMMAS:
        design_N2 = np.stack([np.ones_like(size_N), size_N**-gamma], axis=1)
        coefficient_2A = np.linalg.lstsq(design_N2, error_NA, rcond=None)[0]
        miss = float(((design_N2 @ coefficient_2A - error_NA) ** 2).sum())
        best = min(best, (miss, float(gamma), *coefficient_2A), key=lambda fit: fit[0])
    return best[1], best[2], best[3]


def _left_out(size_N: NDArray[np.float64], error_NA: NDArray[np.float64]) -> tuple[float | None, float | None]:
    if len(size_N) < 4:
        return None, None
    law, flat = [], []
    for place in range(len(size_N)):
        others = np.arange(len(size_N)) != place
        gamma, floor_A, scale_A = _fit(size_N[others], error_NA[others])
        law.append(floor_A + scale_A * size_N[place] ** -gamma - error_NA[place])
        flat.append(error_NA[others].mean(axis=0) - error_NA[place])
    return float(np.sqrt(np.mean(np.square(law)))), float(np.sqrt(np.mean(np.square(flat))))
