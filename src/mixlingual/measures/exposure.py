"""Which languages fill the top of a list, against what the pool or fairness would give them.

Shape suffixes: Q queries, K results of a list, M languages of the pool. `language_QK` holds the columns of the
languages of the results, best first. S sets of ranks, T distinct shares of a language.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb
from scipy.stats import hypergeom

from mixlingual.measures.ranks import Ranks, Scores


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


def own_relevant_lift(rank_QM: Ranks, own_Q: NDArray[np.int64], depth: int) -> Scores:
    """`own_language_lift` among the relevant candidates: content that differs between languages has no part in it.

    The own language's share of the relevant candidates in the top k over its share of all relevant ones. 1 is
    proportional, which a random ranking gives; at most the number of relevant candidates.

    Args:
        rank_QM: [Q, M] ranks of the relevant candidate of each language, 0 where a language has none.
        own_Q: [Q] columns of the languages of the queries.
        depth: k.

    Returns:
        [Q] values, NaN where no relevant candidate is in the top k or none is in the query's language.
    """
    shown_QM, present_QM = _shown(rank_QM, depth), rank_QM > 0
    own_Q1 = own_Q[:, None]
    own_shown_Q, has_own_Q = (np.take_along_axis(table, own_Q1, axis=1)[:, 0] for table in (shown_QM, present_QM))
    total_Q = shown_QM.sum(axis=1)
    lift_Q = own_shown_Q * present_QM.sum(axis=1) / np.maximum(total_Q, 1)
    return np.where((total_Q > 0) & has_own_Q, lift_Q, np.nan)


def relevant_log_lift(rank_QM: Ranks, own_Q: NDArray[np.int64], depth: int) -> Scores:
    """[M, M] `log_lift` among the relevant candidates: against what those shown would be in languages drawn at random.

    A query with n relevant candidates, s of them in the top k, expects s / n of each language that it has. Cells that
    expect nothing are 0.

    Args:
        rank_QM: [Q, M] ranks of the relevant candidate of each language, 0 where a language has none.
        own_Q: [Q] columns of the languages of the queries.
        depth: k.
    """
    shown_QM, present_QM = _shown(rank_QM, depth), rank_QM > 0
    expected_QM = present_QM * (shown_QM.sum(axis=1) / present_QM.sum(axis=1))[:, None]
    rows = range(rank_QM.shape[1])
    total_MM, expected_MM = (
        np.stack([table[own_Q == m].sum(axis=0) for m in rows]) for table in (shown_QM, expected_QM)
    )
    share_MM = expected_MM / np.maximum(expected_MM.sum(axis=1, keepdims=True), 1e-300)
    known_MM = expected_MM > 0
    ratio_MM = (total_MM + share_MM) / np.where(known_MM, expected_MM + share_MM, 1.0)
    return np.asarray(np.log2(np.where(known_MM, ratio_MM, 1.0)))


def _shown(rank_QM: Ranks, depth: int) -> NDArray[np.bool_]:
    return (rank_QM > 0) & (rank_QM <= depth)


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
    than the list has results; a random one gives `chance_divergence`. Source: 1 - AWRF of the TREC Fair Ranking track,
    with languages as groups.

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


def chance_divergence(target_QM: Scores, size_M: NDArray[np.int64], depth: int) -> Scores:
    """[Q] the expected `exposure_divergence` of a random ranking of the pool, exactly.

    The divergence is a sum over languages. That of one depends on the set of ranks that it holds: their number is
    hypergeometric, and all sets of a number are alike.

    Args:
        target_QM: [Q, M] distributions, each summing to 1.
        size_M: [M] candidates of each language.
        depth: k, at most the pool; all 2^k sets of ranks are counted.
    """
    rank_SK = (np.arange(1 << depth)[:, None] >> np.arange(depth)) & 1
    weight_K = 1.0 / np.log2(2.0 + np.arange(depth))
    exposure_S, held_S = rank_SK @ weight_K / weight_K.sum(), rank_SK.sum(axis=1)
    expected_QM = np.empty_like(target_QM)
    for m, size in enumerate(size_M.tolist()):
        chance_S = hypergeom.pmf(held_S, int(size_M.sum()), size, depth) / comb(depth, held_S)
        targets, of_Q = np.unique(target_QM[:, m], return_inverse=True)
        middle_ST = (exposure_S[:, None] + targets) / 2
        parts_ST = (_terms(exposure_S[:, None], middle_ST) + _terms(targets, middle_ST)) / 2
        expected_QM[:, m] = (chance_S @ parts_ST)[of_Q]
    return np.asarray(expected_QM.sum(axis=1))


def _divergence(of_QM: Scores, from_QM: Scores) -> Scores:
    """[Q] Kullback-Leibler divergences in bits."""
    return np.asarray(_terms(of_QM, from_QM).sum(axis=1))


def _terms(of: Scores, base: Scores) -> Scores:
    """Of log2(of / base), 0 where of is 0."""
    of = np.broadcast_to(of, base.shape)
    return np.asarray(of * np.log2(np.divide(of, base, out=np.ones_like(base), where=of > 0)))
