"""Whether a question gets the same list in every language.

Shape suffixes: Q questions, K results of a list. Lists hold distinct positions of candidates, best first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.ranks import Scores


def rank_biased_overlap(left_QK: NDArray[np.int64], right_QK: NDArray[np.int64], persistence: float) -> Scores:
    """RBO_ext of two lists of equal length: agreement weighted to the top, in [0, 1].

    (1 - p) / p * sum over depths d of p^d X_d / d, plus p^K X_K / K, where X_d results are in both first d. 1 for
    equal lists, 0 for disjoint ones, about 1 / ((1 - p) N) for random ones from N. Source: Webber, Moffat
    & Zobel 2010, A similarity measure for indefinite rankings, equation 32.

    Args:
        left_QK: [Q, K] lists.
        right_QK: [Q, K] lists.
        persistence: p in (0, 1): the chance that the reader goes on to the next depth; 0.9 puts 86% of the weight
            on the first ten.

    Returns:
        [Q] values.
    """
    questions, depth = left_QK.shape
    row, left, right = _matches(left_QK, right_QK)
    reached = np.bincount(row * depth + np.maximum(left, right), minlength=questions * depth)
    agreement_QK = reached.reshape(questions, depth).cumsum(axis=1) / np.arange(1, depth + 1)
    weight_K = (1 - persistence) / persistence * persistence ** np.arange(1, depth + 1)
    return np.asarray(agreement_QK @ weight_K + agreement_QK[:, -1] * persistence**depth)


def list_correlation(left_QK: NDArray[np.int64], right_QK: NDArray[np.int64]) -> Scores:
    """Spearman's rank correlation over the union of two lists, in [-1, 1].

    A result that one list lacks is tied with the others that it lacks, behind its K. 1 for equal lists and -1 for
    reversed ones. Disjoint lists give -1 for K = 1 and -6/7 as K grows, and so do random ones from a large pool: the
    value tells order apart only among results that both lists hold. Source: after MRC@k of MultiEuP-v2
    (arXiv:2509.06195), which correlates the rankings of parallel queries.

    Returns:
        [Q] values.
    """
    questions, depth = left_QK.shape
    row, left, right = _matches(left_QK, right_QK)
    common_Q = np.bincount(row, minlength=questions)
    union_Q = 2 * depth - common_Q
    middle_Q = (union_Q + 1) / 2
    absent_Q = (depth + 1 + union_Q) / 2 - middle_Q
    listed_QK = np.arange(1, depth + 1) - middle_Q[:, None]
    spread_Q = (listed_QK**2).sum(axis=1) + (union_Q - depth) * absent_Q**2
    both_Q = np.bincount(row, weights=listed_QK[row, left] * listed_QK[row, right], minlength=questions)
    alone_Q = 2 * listed_QK.sum(axis=1)
    alone_Q -= np.bincount(row, weights=listed_QK[row, left] + listed_QK[row, right], minlength=questions)
    covariance_Q = both_Q + alone_Q * absent_Q
    return np.where(spread_Q > 0, covariance_Q / np.where(spread_Q > 0, spread_Q, 1), 1.0)


def _matches(left_QK: NDArray[np.int64], right_QK: NDArray[np.int64]) -> tuple[NDArray[np.intp], ...]:
    """Row, place in the left list and place in the right one of every result that both lists of a row hold."""
    both_QK = np.concatenate([left_QK, right_QK], axis=1)
    place_QK = np.argsort(both_QK, axis=1, kind="stable")
    sorted_QK = np.take_along_axis(both_QK, place_QK, axis=1)
    row, position = np.nonzero(sorted_QK[:, 1:] == sorted_QK[:, :-1])
    return row, place_QK[row, position], place_QK[row, position + 1] - left_QK.shape[1]
