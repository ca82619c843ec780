"""Estimates the effect of mixing on each language, drawn towards what the languages have in common.

Eleven separate tests of eleven languages would find some by chance; estimates that are pooled partially do not need to
be corrected for it (Gelman, Hill & Yajima 2012, doi 10.1080/19345747.2011.618213). Method: random-effects
meta-regression, between-language variance by the method of moments (DerSimonian & Laird 1986).

Shape suffixes: G languages (or pairs), X columns of the design.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.data.writing_systems import script_of


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


def covariates(
    languages: Sequence[str], trained: frozenset[str], parity: Mapping[str, float]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """(names, [G, X] design): ones, and those of the covariates in which the languages differ.

    Covariates are `trained`, whether training held the language; `latin`, whether it is written in Latin script; and
    `log2_parity`, of its tokens for each one of English: 1 where it takes twice as many. Each is centred, so that the
    first coefficient is the mean over languages. One that would leave fewer than two languages on a side, that is not
    known of every language, or that the ones before it tell already, is left out, and so is any that would leave
    fewer than two languages more than columns.

    Args:
        languages: G codes.
        trained: those that training held.
        parity: language -> tokens for each one of English, see `evaluation.parity`; empty where it is not known.
    """
    names, columns = ["mean"], [np.ones(len(languages))]
    for name, holds in (
        ("trained", [language in trained for language in languages]),
        ("latin", [script_of(language) == "Latn" for language in languages]),
    ):
        if 2 <= sum(holds) <= len(languages) - 2:
            _add(names, columns, name, np.array(holds, dtype=float))
    if all(language in parity for language in languages):
        _add(names, columns, "log2_parity", np.log2([parity[language] for language in languages]))
    return tuple(names), np.stack(columns, axis=1)


def _add(names: list[str], columns: list[NDArray[np.float64]], name: str, column_G: NDArray[np.float64]) -> None:
    """Adds a covariate, centred, unless it is told by those before it or leaves too few languages."""
    centred_G = column_G - column_G.mean()
    fresh = np.linalg.matrix_rank(np.stack([*columns, centred_G])) > len(columns)
    if fresh and len(column_G) >= len(columns) + 3:
        names.append(name)
        columns.append(centred_G)


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
