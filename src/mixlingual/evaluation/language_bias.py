"""Language bias as rank distance, the measure of Huang et al. 2023 (KD-SPD, arXiv:2305.09025).

A retriever that sees meaning only ranks the translations of the answer side by side in the pool of all
languages; one that prefers some languages spreads them out. Shape suffixes as in `metrics`.
"""

from __future__ import annotations

import numpy as np

from mixlingual.evaluation.metrics import Ranks, Scores


def rank_distance(rank_QR: Ranks) -> Scores:
    """Worst minus best rank of a query's parallel relevant candidates in the pooled ranking.

    From k - 1 for k candidates side by side to N - 1 in a pool of N; lower is less biased. Values of
    different pools or different k do not compare: see `normalized_rank_distance`.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.

    Returns:
        [Q] distances, NaN for queries with fewer than two relevant candidates, whose distance is undefined.
    """
    last = np.iinfo(rank_QR.dtype).max
    distance_Q = rank_QR.max(axis=1) - np.where(rank_QR > 0, rank_QR, last).min(axis=1)
    return np.where((rank_QR > 0).sum(axis=1) >= 2, distance_Q, np.nan)


def normalized_rank_distance(rank_QR: Ranks, pool: int) -> Scores:
    """The share of the possible excess distance, (rd - (k - 1)) / (N - k), in [0, 1].

    0 means side by side, 1 means first and last of the pool. 0 too if the pool holds nothing else.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty; k is the number of ranks.
        pool: N, the number of candidates that were ranked.

    Returns:
        [Q] values, NaN for queries with fewer than two relevant candidates.
    """
    relevant_Q = (rank_QR > 0).sum(axis=1)
    excess_Q = rank_distance(rank_QR) - (relevant_Q - 1)
    return np.asarray(excess_Q / np.maximum(pool - relevant_Q, 1))
