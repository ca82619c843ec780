"""Which languages fill the top of a list, against what the pool or fairness would give them.

Shape suffixes: Q queries, K results of a list, M languages of the pool. `language_QK` holds the columns of the
languages of the results, best first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.evaluation.metrics import Scores


def language_counts(language_QK: NDArray[np.int64], languages: int) -> NDArray[np.int64]:
    """[Q, M] results of each language in each list."""
    row_QK = np.arange(len(language_QK))[:, None] * languages
    counts = np.bincount((row_QK + language_QK).ravel(), minlength=len(language_QK) * languages)
    return counts.reshape(len(language_QK), languages)


def own_language_lift(count_QM: NDArray[np.int64], own_Q: NDArray[np.int64], share_M: Scores) -> Scores:
    """O_k = (share of the query's language in the top k) / (its share of the pool): over-representation.

    1 is proportional, which a random ranking gives; 0 none; at most 1 / (share of the pool). It reflects content
    as well where the pool's languages hold different texts.

    Args:
        count_QM: [Q, M] results of each language in the top k.
        own_Q: [Q] columns of the languages of the queries.
        share_M: [M] each language's share of the pool, summing to 1.

    Returns:
        [Q] values.
    """
    own_count_Q = np.take_along_axis(count_QM, own_Q[:, None], axis=1)[:, 0]
    return np.asarray(own_count_Q / count_QM.sum(axis=1) / share_M[own_Q])


def log_lift(count_QM: NDArray[np.int64], own_Q: NDArray[np.int64], share_M: Scores) -> Scores:
    """[M, M] log2 of the lift of each candidate language (column) in the top k of each query language (row).

    0 is proportional, which a random ranking gives; 1 is twice as many results as the pool's share. One result more
    for each row, spread as the pool is, keeps an absent language finite. Rows without queries are 0. Source: the
    heat map of question against answer languages of LAReQA (arXiv:2004.05484), as a ratio to the pool.
    """
    total_MM = np.stack([count_QM[own_Q == row].sum(axis=0) for row in range(len(share_M))])
    return np.asarray(np.log2((total_MM + share_M) / ((total_MM.sum(axis=1, keepdims=True) + 1) * share_M)))


def diagonal_preference(lift_MM: Scores) -> float:
    """Mean log-lift of the own language minus that of other languages; 0 without bias, for at least two languages."""
    own = np.eye(len(lift_MM), dtype=bool)
    return float(lift_MM[own].mean() - lift_MM[~own].mean())


def attraction(lift_MM: Scores) -> Scores:
    """[M] mean log-lift of each candidate language over queries of other languages; 0 for its mere share.

    High for a language that fills the lists of all others, as English often does.
    """
    return np.asarray((lift_MM.sum(axis=0) - lift_MM.diagonal()) / (len(lift_MM) - 1))


def exposure_divergence(language_QK: NDArray[np.int64], target_QM: Scores) -> Scores:
    """Jensen-Shannon divergence, in bits, of the languages' exposure in a list from a target distribution.

    A result at rank i exposes its language by 1 / log2(1 + i). In [0, 1]; 0 means exposure as the target, 1 that no
    language of the target is shown. No ranking reaches 0 in general, least of all where the target has more languages
    than the list has results, and a random one has a value of its own on each benchmark, by k, pool and target:
    compare encoders on one benchmark, not benchmarks. Source: 1 - AWRF of the TREC Fair Ranking track, with languages
    as groups.

    Args:
        language_QK: [Q, K] languages of the top k.
        target_QM: [Q, M] distributions, each summing to 1.

    Returns:
        [Q] values.
    """
    weight_K = 1.0 / np.log2(2.0 + np.arange(language_QK.shape[1]))
    exposure_QM = np.stack([(language_QK == m) @ weight_K for m in range(target_QM.shape[1])], axis=1)
    exposure_QM /= weight_K.sum()
    middle_QM = (exposure_QM + target_QM) / 2
    return (_divergence(exposure_QM, middle_QM) + _divergence(target_QM, middle_QM)) / 2


def _divergence(of_QM: Scores, from_QM: Scores) -> Scores:
    """[Q] Kullback-Leibler divergences in bits."""
    ratio_QM = np.divide(of_QM, from_QM, out=np.ones_like(of_QM), where=of_QM > 0)
    return np.asarray((of_QM * np.log2(ratio_QM)).sum(axis=1))
