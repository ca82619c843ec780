"""Retrieval metrics of single queries, from the ranks of their relevant candidates alone.

Shape suffixes: Q queries, R slots for relevant candidates. Ranks count from 1; 0 marks an empty slot, so
that queries with fewer relevant candidates fit the same table. Every query has at least one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]
Scores = NDArray[np.float64]


def average_precision(rank_QR: Ranks) -> Scores:
    """AP over the full ranking: the mean, over the relevant candidates, of the precision at their ranks.

    The i-th best relevant candidate at rank r_i has precision i / r_i. In (0, 1]; 1 means that all
    relevant candidates come first.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.

    Returns:
        [Q] values.
    """
    last = np.iinfo(rank_QR.dtype).max
    sorted_QR = np.sort(np.where(rank_QR > 0, rank_QR, last), axis=1)
    found_R = np.arange(1, rank_QR.shape[1] + 1)
    precision_QR = np.where(sorted_QR < last, found_R / sorted_QR, 0.0)
    return np.asarray(precision_QR.sum(axis=1) / _relevant(rank_QR))


def recall_at_k(rank_QR: Ranks, k: int) -> Scores:
    """R@k = |top k and relevant| / |relevant|, in [0, 1].

    With n > k relevant candidates the best reachable value is k / n; with one it is 0 or 1.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.
        k: length of the list that the user looks at.

    Returns:
        [Q] values.
    """
    return np.asarray(((rank_QR > 0) & (rank_QR <= k)).sum(axis=1) / _relevant(rank_QR))


def _relevant(rank_QR: Ranks) -> Ranks:
    relevant_Q = (rank_QR > 0).sum(axis=1)
    assert relevant_Q.all(), "a query without relevant candidates has no metrics"
    return np.asarray(relevant_Q)
