"""This computes retrieval metrics of single queries, from the ranks of their relevant candidates alone.

Shape suffixes: Q queries, R slots for relevant candidates. Ranks count from 1; 0 marks an empty slot.
"""

from __future__ import annotations

import numpy as np

from mixlingual.measures.measure import Measure, at_depths, declare
from mixlingual.measures.retrieval import ABSENT, Ranked, Ranks, Scores, best_rank, relevant


def average_precision(rank_QR: Ranks) -> Scores:
    """Computes AP over the full ranking: the mean, over the relevant candidates, of the precision at their ranks.

    A relevant candidate at rank r has precision n / r, where n relevant ones are at r or better. In (0, 1]; 1
    means that all relevant candidates come first. Given the rank of the last candidate of equal score in place
    of the own one, ties are one threshold, as in scikit-learn's `average_precision_score`.

    Args:
        rank_QR: [Q, R] ranks in any order, 0 where a slot is empty; equal ranks are reached together.

    Returns:
        [Q] values.
    """
    compared_QR = np.where(rank_QR > 0, rank_QR, ABSENT)
    order_QR = compared_QR.argsort(axis=1)
    sorted_QR, place_QR = np.take_along_axis(compared_QR, order_QR, axis=1), np.arange(1, rank_QR.shape[1] + 1)
    is_last_QR = np.diff(sorted_QR, axis=1, append=0) != 0
    last_QR = np.minimum.accumulate(np.where(is_last_QR, place_QR, ABSENT)[:, ::-1], axis=1)[:, ::-1]
    reached_QR = np.take_along_axis(last_QR, order_QR.argsort(axis=1), axis=1)
    precision_QR = np.where(rank_QR > 0, reached_QR / np.maximum(rank_QR, 1), 0.0)
    return np.asarray(precision_QR.sum(axis=1) / relevant(rank_QR))


def reciprocal_rank(rank_QR: Ranks) -> Scores:
    """Computes 1 / the rank of the best relevant candidate, in (0, 1], without a cut-off; its mean is the MRR.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.

    Returns:
        [Q] values.
    """
    return np.asarray(1.0 / best_rank(rank_QR))


declare(
    Measure(
        name="map", column="ap", place=10, label="mAP", of_ranks=lambda ranked: average_precision(ranked.last_QR),
        headline=("mono", "cross", "multi"), picture="map_lines",
    ),
    Measure(name="mrr", column="rr", place=20, label="MRR", of_ranks=lambda ranked: reciprocal_rank(ranked.rank_QR)),
)  # fmt: skip


def ndcg_at_k(rank_QR: Ranks, k: int, gain_QR: Scores | None = None) -> Scores:
    """Computes nDCG@k, in [0, 1], with discount log2(1 + rank) (Jarvelin & Kekalainen 2002), as trec_eval does.

    The ideal list starts with all n relevant candidates, best first, so that 1 is reachable whatever n and k.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.
        k: length of the list that the user looks at.
        gain_QR: [Q, R] relevance of each; None: 1.

    Returns:
        [Q] values.
    """
    worth_QR = np.where(rank_QR > 0, 1.0 if gain_QR is None else gain_QR, 0.0)
    found_QR = np.where(rank_QR <= k, worth_QR / np.log2(1.0 + np.maximum(rank_QR, 1)), 0.0)
    ideal_QR = np.cumsum(-np.sort(-worth_QR, axis=1) / np.log2(2.0 + np.arange(rank_QR.shape[1])), axis=1)
    relevant(rank_QR)
    return np.asarray(found_QR.sum(axis=1) / ideal_QR[:, min(k, rank_QR.shape[1]) - 1])


@at_depths("ndcg", "nDCG", depths=(10,), place=30, second_look=10)
def _ndcg(ranked: Ranked, k: int) -> Scores:
    return ndcg_at_k(ranked.rank_QR, k, ranked.gain_QR)


def recall_at_k(rank_QR: Ranks, k: int) -> Scores:
    """Computes R@k = |top k and relevant| / |relevant|, in [0, 1].

    With n > k relevant candidates the best reachable value is k / n; with one it is 0 or 1.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.
        k: length of the list that the user looks at.

    Returns:
        [Q] values.
    """
    return np.asarray(((rank_QR > 0) & (rank_QR <= k)).sum(axis=1) / relevant(rank_QR))


@at_depths("r", "recall", depths=(1, 10, 100), place=40, second_look=10)
def _recall(ranked: Ranked, k: int) -> Scores:
    return recall_at_k(ranked.rank_QR, k)
