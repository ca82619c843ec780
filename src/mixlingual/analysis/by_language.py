"""The effect of mixing language by language, each drawn towards what the languages have in common.

Eleven separate tests of eleven languages would find some by chance; estimates that are pooled partially do not need to
be corrected for it (Gelman, Hill & Yajima 2012, doi 10.1080/19345747.2011.618213). Method: random-effects
meta-regression, between-language variance by the method of moments (DerSimonian & Laird 1986).

Shape suffixes: G languages (or pairs), X columns of the design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.scripts import script_of


@dataclass(frozen=True)
class Pooled:
    """Effects of all languages."""

    effect_G: NDArray[np.float64]
    """Pooled partially: between a language's own estimate and what its covariates predict."""
    error_G: NDArray[np.float64]
    """Standard errors of those."""
    coefficient_X: NDArray[np.float64]
    coefficient_error_X: NDArray[np.float64]
    between: float
    """Standard deviation of the true effects of languages about their prediction."""


def covariates(languages: Sequence[str], trained: frozenset[str]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """(names, [G, X] design): ones, and those of the covariates in which the languages differ.

    Covariates are `trained`, whether training held the language, and `latin`, whether it is written in Latin script;
    each is centred, so that the first coefficient is the mean over languages. A covariate that would leave fewer
    than two languages on a side, or that repeats another, is left out.
    """
    names, columns = ["mean"], [np.ones(len(languages))]
    for name, holds in (
        ("trained", [language in trained for language in languages]),
        ("latin", [script_of(language) == "Latn" for language in languages]),
    ):
        column = np.array(holds, dtype=float)
        centred = column - column.mean()
        fresh = np.linalg.matrix_rank(np.stack([*columns, centred])) > len(columns)
        if 2 <= column.sum() <= len(languages) - 2 and fresh:
            names.append(name)
            columns.append(centred)
    return tuple(names), np.stack(columns, axis=1)


def partial_pooling(own_G: NDArray[np.float64], error_G: NDArray[np.float64], design_GX: NDArray[np.float64]) -> Pooled:
    """Shrinks each language's own estimate towards the prediction of the design.

    Args:
        own_G: estimates.
        error_G: their standard errors, above 0.
        design_GX: a column of ones, and covariates of the languages; of full rank, with fewer columns than languages.
    """
    variance_G = error_G**2
    between = _between(own_G, variance_G, design_GX)
    coefficient_X, covariance_XX = _weighted(own_G, variance_G + between, design_GX)
    predicted_G = design_GX @ coefficient_X
    kept_G = between / (between + variance_G)
    leverage_G = np.einsum("gx,xy,gy->g", design_GX, covariance_XX, design_GX)
    return Pooled(
        predicted_G + kept_G * (own_G - predicted_G),
        np.sqrt(kept_G * variance_G + (1 - kept_G) ** 2 * leverage_G),
        coefficient_X,
        np.sqrt(np.diag(covariance_XX)),
        float(np.sqrt(between)),
    )


def _between(own_G: NDArray[np.float64], variance_G: NDArray[np.float64], design_GX: NDArray[np.float64]) -> float:
    coefficient_X, covariance_XX = _weighted(own_G, variance_G, design_GX)
    weight_G = 1 / variance_G
    excess = float((weight_G * (own_G - design_GX @ coefficient_X) ** 2).sum()) - (len(own_G) - design_GX.shape[1])
    trace = float(np.trace(covariance_XX @ (design_GX.T * weight_G**2) @ design_GX))
    return max(0.0, float(excess / (weight_G.sum() - trace)))


def _weighted(
    own_G: NDArray[np.float64], variance_G: NDArray[np.float64], design_GX: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(coefficients, their covariance) of weighted least squares with known variances."""
    scaled_XG = design_GX.T / variance_G
    covariance_XX = np.linalg.inv(scaled_XG @ design_GX).astype(np.float64)
    return covariance_XX @ (scaled_XG @ own_G), covariance_XX
