"""The best candidates of each row of scores, in one order whatever the ties.

Shape suffixes: B rows, N candidates, K best of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def top_k(score_BN: NDArray[np.float32], order_N: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Returns the k best candidates of each row: by score, and where these are equal by order, both descending.

    With the order of `id_order` this is trec_eval's list. Exact also where the k-th score is tied.

    Args:
        score_BN: [B, N] scores without NaN.
        order_N: [N] distinct integers.
        k: 1 to N.

    Returns:
        [B, K] positions, best first.
    """
    return best_first(score_BN, order_N, kth_best(score_BN, k), k)


def kth_best(score_BN: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Returns [B, 1] the k-th largest score of each row."""
    return np.asarray(np.partition(score_BN, -k, axis=1)[:, -k, None])


def best_first(
    score_BN: NDArray[np.float32], order_N: NDArray[np.int64], worst_B1: NDArray[np.float32], k: int
) -> NDArray[np.int64]:
    """Does as `top_k`, for rows whose k-th best score is known."""
    row, column = np.nonzero(score_BN >= worst_B1)
    ranked = np.lexsort((-order_N[column], -score_BN[row, column], row))
    first_B1 = np.searchsorted(row, np.arange(len(score_BN)))[:, None]
    return np.asarray(column[ranked[first_B1 + np.arange(k)]])


def id_order(ids: Sequence[str]) -> NDArray[np.int64]:
    """Returns [N] place of each id among all when they ascend by code point, as trec_eval compares them."""
    order_N = np.empty(len(ids), dtype=np.int64)
    order_N[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return order_N
