"""Computes scores of pairs that depend on the pair alone, and checks that fp32 holds them.

A matrix product rounds a pair's score by the place that it has in its block. Such products say here only which pairs
may count; what counts is summed anew. Shape suffixes: P pairs, Q queries, N passages, D width of the embedding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.records import DataError

PAIR_BYTES = 28
"""Bytes of a value of a pair that is scored: both sides as gathered, and their products in fp64."""

_SMALLEST, _LARGEST = 2.0**-100, 2.0**127
"""Lengths multiplied: below, products leave the normal numbers of fp32; above, sums may overflow."""

_STORED_SMALLEST, _STORED_LARGEST = 2.0**-14, 65504.0
"""The normal numbers of fp16."""


def pair_scores(
    query_QD: NDArray[np.float32],
    query_P: NDArray[np.integer],
    passage_ND: NDArray[np.floating],
    passage_P: NDArray[np.integer],
    pairs: int,
) -> NDArray[np.float32]:
    """Returns [P] inner products, summed in fp64 in an order that D alone decides, and rounded to fp32.

    Args:
        query_QD: [Q, D] embeddings, fp32.
        query_P: rows of the queries.
        passage_ND: [N, D] embeddings, fp16 or fp32.
        passage_P: rows of the passages.
        pairs: pairs that are summed at a time, for the sake of memory.
    """
    score_P = np.empty(len(query_P), np.float32)
    for start in range(0, len(query_P), pairs):
        part = slice(start, start + pairs)
        product_PD = query_QD[query_P[part]].astype(np.float64)
        product_PD *= passage_ND[passage_P[part]]
        score_P[part] = product_PD.sum(axis=1)
    return score_P


def lengths(embedding_ND: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns [N] Euclidean lengths."""
    square_N = np.einsum("nd,nd->n", embedding_ND, embedding_ND, dtype=np.float64, casting="unsafe")
    return np.asarray(np.sqrt(square_N))


def slack(query_Q: NDArray[np.float64], width: int) -> NDArray[np.float32]:
    """Returns [Q] the most by which an fp32 product and `pair_scores` differ, for a passage of length 1.

    Source: the bound of an inner product in any order of summation, (D + 2) u |q| |p| (Higham 2002, section 3.1),
    doubled.

    Args:
        query_Q: [Q] lengths of the queries.
        width: D.
    """
    return np.asarray(2 * (width + 2) * 2.0**-24 * query_Q, np.float32)


def check_range(name: str, query_ND: NDArray[np.float32], passage_ND: NDArray[np.float32] | None = None) -> None:
    """Refuses embeddings whose scores overflow or underflow in fp32.

    Args:
        name: of the benchmark.
        query_ND: [Q, D] embeddings.
        passage_ND: [N, D] those of the passages; None: any that `stored` lets pass.

    Raises:
        DataError: naming the lengths.
    """
    query_Q = lengths(query_ND)
    extremes = _STORED_SMALLEST, _STORED_LARGEST * query_ND.shape[1] ** 0.5
    for passage_N in [lengths(passage_ND)] if passage_ND is not None else np.array(extremes)[:, None]:
        for side, own, other in (("queries", query_Q, passage_N), ("passages", passage_N, query_Q)):
            product = own[own > 0] * other.max(initial=0)
            if product.size and product.max() > 0 and not _SMALLEST <= product.min() <= product.max() <= _LARGEST:
                raise DataError(
                    f"{name}: scores leave the range of fp32, since the lengths of the {side} reach from "
                    f"{own[own > 0].min():.3g} to {own.max():.3g} and those of the others up to {other.max():.3g}. "
                    "Scale the embeddings, to length 1 where the model means cosines"
                )


def stored(name: str, embedding_ND: NDArray[np.float32]) -> NDArray[np.float16]:
    """Returns the embeddings in fp16, in which passages are kept.

    Raises:
        DataError: one is too large or too small for it.
    """
    largest_N = np.abs(embedding_ND).max(axis=1)
    bad = np.flatnonzero((largest_N > _STORED_LARGEST) | ((largest_N > 0) & (largest_N < _STORED_SMALLEST)))
    if bad.size:
        raise DataError(
            f"{name}: {bad.size} of {len(embedding_ND)} embeddings do not fit into fp16, in which passages are kept: "
            f"the largest number of one is {largest_N[bad[0]]:.3g}, and must be from {_STORED_SMALLEST:.2g} to "
            f"{_STORED_LARGEST:.0f}. Scale the embeddings, to length 1 where the model means cosines"
        )
    return embedding_ND.astype(np.float16)
