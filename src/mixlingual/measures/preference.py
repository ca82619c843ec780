"""Which of the parallel relevant candidates a ranking puts first, and what each is worth to it.

Shape suffixes: Q queries, M languages of the pool. `rank_QM` holds the pooled rank of the relevant candidate of each
language, 0 where there is none; `own_Q` the column of the query's own language.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.ranks import Ranks, Scores, average_precision, relevant

SPLIT = ("relevant_own", "relevant_other", "other_own", "other_other")
"""Kinds of a first result: relevant or not, in the query's language or another."""


def own_language_first(rank_QM: Ranks, own_Q: NDArray[np.int64]) -> Scores:
    """1 if the best-ranked relevant candidate is in the query's language, else 0: its mean is a preference rate.

    A ranking blind to languages gives 1 / k with k parallel relevant candidates; 1 is full preference for the own
    language, 0 for others. Source: after the language preference rate (LPR) of MLAIRE (arXiv:2605.07249), whose
    exact equation we have not seen.

    Returns:
        [Q] values, NaN where the query's language has no relevant candidate or no other has.
    """
    own_rank_Q = np.take_along_axis(rank_QM, own_Q[:, None], axis=1)[:, 0]
    others_QM = np.where(rank_QM > 0, rank_QM, np.iinfo(np.int64).max)
    return np.where(_has_both(rank_QM, own_Q), own_rank_Q <= others_QM.min(axis=1), np.nan)


def first_result_split(
    first_Q: NDArray[np.int64], gold_QM: NDArray[np.int64], language_N: NDArray[np.int64], own_Q: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[Q] positions in `SPLIT`: what the first result of each query is.

    The shares sum to 1. Chance in a pool of N: k / N relevant, and own n_l / N where n_l candidates are in the
    query's language. Source: the four-way split reported with LPR in MLAIRE (arXiv:2605.07249).

    Args:
        first_Q: [Q] positions of the first results.
        gold_QM: [Q, M] positions of the relevant candidates, -1 where there is none.
        language_N: [N] columns of the languages of all candidates.
        own_Q: [Q] columns of the languages of the queries.
    """
    irrelevant_Q = (gold_QM != first_Q[:, None]).all(axis=1)
    return np.asarray(2 * irrelevant_Q + (language_N[first_Q] != own_Q))


def target_language_recall(rank_QM: Ranks, own_Q: NDArray[np.int64], k: int) -> Scores:
    """TLR@k: the share of the relevant candidates in other languages than the query's that are in the top k.

    In [0, 1]; with n > k of them at most k / n. A random ranking of N gives k / N. Source: SHIFT (arXiv:2606.18801).

    Returns:
        [Q] values, NaN where no other language has a relevant candidate.
    """
    other_QM = rank_QM.copy()
    np.put_along_axis(other_QM, own_Q[:, None], 0, axis=1)
    found_Q, present_Q = ((other_QM > 0) & (other_QM <= k)).sum(axis=1), (other_QM > 0).sum(axis=1)
    return np.where(present_Q > 0, found_Q / np.maximum(present_Q, 1), np.nan)


def remove_one_gold(rank_QM: Ranks) -> Scores:
    """[Q, M] AP(pool) - AP(pool without that relevant candidate): how much the ranking owes to each language.

    In (-1, 1). A ranking blind to languages gives the same mean for the query's own language as for others; one
    that leans on its own language loses much with it and nothing with the rest. Source: the analysis of Roy et
    al. 2020 (LAReQA, arXiv:2004.05484) that takes one target out of the pool, made exact here.

    Returns:
        [Q, M] values, NaN where the language has no relevant candidate, or no other has.
    """
    full_Q, several_Q = average_precision(rank_QM), relevant(rank_QM) >= 2
    delta_QM = np.full(rank_QM.shape, np.nan)
    for m, removed_Q in enumerate(rank_QM.T):
        chosen = np.flatnonzero(several_Q & (removed_Q > 0))
        left_QM = rank_QM[chosen] - (rank_QM[chosen] > removed_Q[chosen, None])
        left_QM[:, m] = 0
        delta_QM[chosen, m] = full_Q[chosen] - average_precision(left_QM)
    return delta_QM


def own_and_other(value_QM: Scores, own_Q: NDArray[np.int64]) -> tuple[Scores, Scores]:
    """[Q] the value of the query's own language, and [Q] the mean of those of other languages; NaN where none is."""
    own_Q1 = own_Q[:, None]
    own_value_Q = np.take_along_axis(value_QM, own_Q1, axis=1)[:, 0]
    other_QM = value_QM.copy()
    np.put_along_axis(other_QM, own_Q1, np.nan, axis=1)
    count_Q = (~np.isnan(other_QM)).sum(axis=1)
    return own_value_Q, np.where(count_Q > 0, np.nansum(other_QM, axis=1) / np.maximum(count_Q, 1), np.nan)


def _has_both(rank_QM: Ranks, own_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
    own_rank_Q = np.take_along_axis(rank_QM, own_Q[:, None], axis=1)[:, 0]
    return (own_rank_Q > 0) & (relevant(rank_QM) >= 2)
