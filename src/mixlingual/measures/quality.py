"""This computes retrieval metrics of single queries, from the ranks of their relevant candidates alone.

Shape suffixes: Q queries, R slots for relevant candidates. Ranks count from 1; 0 marks an empty slot.
"""

from __future__ import annotations

import numpy as np

from mixlingual.measures.measure import Measure, at_depths, declare
from mixlingual.measures.retrieval import Ranks, Scores, best_rank, relevant


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
    reached_QR = ((rank_QR[:, None, :] > 0) & (rank_QR[:, None, :] <= rank_QR[:, :, None])).sum(axis=2)
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
    Measure(name="map", column="ap", place=10, label="mAP", of_ranks=lambda _, last_QR: average_precision(last_QR)),
    Measure(name="mrr", column="rr", place=20, label="MRR", of_ranks=lambda rank_QR, _: reciprocal_rank(rank_QR)),
)


@at_depths("ndcg", "nDCG", depths=(10,), place=30)
def ndcg_at_k(rank_QR: Ranks, k: int) -> Scores:
    """Computes nDCG@k, in [0, 1], with gain 1 and discount log2(1 + rank) (Jarvelin & Kekalainen 2002).

    The ideal list starts with all n relevant candidates, so that 1 is reachable whatever n and k.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.
        k: length of the list that the user looks at.

    Returns:
        [Q] values.
    """
    shown_QR = (rank_QR > 0) & (rank_QR <= k)
    gain_QR = np.where(shown_QR, 1.0 / np.log2(1.0 + np.maximum(rank_QR, 1)), 0.0)
    ideal_k = np.cumsum(1.0 / np.log2(2.0 + np.arange(k)))
    return np.asarray(gain_QR.sum(axis=1) / ideal_k[np.minimum(relevant(rank_QR), k) - 1])


@at_depths("r", "recall", depths=(1, 10, 100), place=40)
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
