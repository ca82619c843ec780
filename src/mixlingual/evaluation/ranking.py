"""Finds the exact ranks of gold candidates in every candidate pool, by one blocked product of the embeddings.

A candidate is ahead of another if its fp32 inner product with the query is greater or, where these are equal,
if its id is: the order of trec_eval. Equal embeddings always score equally.

Shape suffixes: Q queries, B queries of a block, N candidates, C candidates of one language, M languages of the
benchmark, R slots for gold candidates, K best candidates that are kept, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingual.measures.retrieval import Rankings, gold_positions
from mixlingual.records import Benchmark

_BLOCK = 256
"""Queries scored at once: 20 MB of scores at 20,000 candidates."""

_SCORES = 1 << 26
"""Most scores that a block holds, 256 MB."""


def rank(
    benchmark: Benchmark, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32], depth: int
) -> Rankings:
    """Scores every candidate for every query, a block of queries at a time on each of PyTorch's threads.

    Args:
        benchmark: what the embeddings belong to.
        query_QD: [Q, D] embeddings in the order of `benchmark.queries`.
        candidate_ND: [N, D] embeddings in the order of `benchmark.candidates`.
        depth: K, cut to N.
    """
    gold_QR, order_N = gold_positions(benchmark), id_order([candidate.id for candidate in benchmark.candidates])
    language_N = np.array([candidate.language for candidate in benchmark.candidates])
    pools = [np.flatnonzero(language_N == language) for language in benchmark.languages]
    twins = _twins(candidate_ND)
    depth = min(depth, len(order_N))
    language_R = np.arange(gold_QR.shape[1]) % len(pools)
    block = max(1, min(_BLOCK, _SCORES // len(order_N)))

    def ranked(start: int) -> tuple[NDArray[Any], ...]:
        gold_BR = gold_QR[start : start + block]
        score_BN = query_QD[start : start + block] @ candidate_ND.T
        score_BN[:, twins[0]] = score_BN[:, twins[1]]
        by_language = [np.sort(np.take(score_BN, pool_C, axis=1), axis=1) for pool_C in pools]
        ahead, at_least = _counts(score_BN, by_language, gold_BR, pools, order_N)
        own_ahead_BR, own_last_BR = (
            np.take_along_axis(count_MBR, language_R[None, None], axis=0)[0] for count_MBR in (ahead, at_least)
        )
        best = np.concatenate([sorted_BC[:, -depth:] for sorted_BC in by_language], axis=1)
        top_BK = best_first(score_BN, order_N, best, depth)
        top_score_BK = np.take_along_axis(score_BN, top_BK, axis=1)
        return own_ahead_BR + 1, own_last_BR, ahead.sum(axis=0) + 1, at_least.sum(axis=0), top_BK, top_score_BK

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        blocks = list(threads.map(ranked, range(0, len(gold_QR), block)))
    *tables, top_QK, top_score_QK = (np.concatenate(parts) for parts in zip(*blocks))
    own_QR, own_last_QR, pooled_QR, pooled_last_QR = (np.where(gold_QR < 0, 0, rank_QR) for rank_QR in tables)
    return Rankings(own_QR, own_last_QR, pooled_QR, pooled_last_QR, top_QK, top_score_QK)


def _twins(candidate_ND: NDArray[np.float32]) -> tuple[list[int], list[int]]:
    """Finds repeated embeddings, and for each of them the position of its first occurrence.

    A matrix product may round equal columns differently at its edges, which would order ties by chance.
    """
    first: dict[bytes, int] = {}
    pairs = [(n, first.setdefault(embedding_D.tobytes(), n)) for n, embedding_D in enumerate(candidate_ND + 0)]
    return [n for n, twin in pairs if twin < n], [twin for n, twin in pairs if twin < n]


def _counts(
    score_BN: NDArray[np.float32],
    by_language: Sequence[NDArray[np.float32]],
    gold_BR: NDArray[np.int64],
    pools: Sequence[NDArray[np.int64]],
    order_N: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts, [M, B, R], candidates of each language (first axis) ahead of each gold one, and those that score as much.

    A binary search in the sorted scores of a language finds the place of each gold score. Equal scores are rare and
    looked up one by one.
    """
    gold_score_BR = np.take_along_axis(score_BN, gold_BR, axis=1)
    ahead, at_least = (np.empty((len(pools), *gold_BR.shape), dtype=np.int64) for _ in range(2))
    for m, (pool_C, sorted_BC) in enumerate(zip(pools, by_language)):
        rows = list(zip(sorted_BC, gold_score_BR))
        ahead[m] = len(pool_C) - np.array([sorted_C.searchsorted(gold_R, "right") for sorted_C, gold_R in rows])
        at_least[m] = len(pool_C) - np.array([sorted_C.searchsorted(gold_R, "left") for sorted_C, gold_R in rows])
        is_own_R = np.arange(gold_BR.shape[1]) % len(pools) == m
        for b, g in np.argwhere((at_least[m] - ahead[m] > is_own_R) & (gold_BR >= 0)):
            tied_C = pool_C[score_BN[b, pool_C] == gold_score_BR[b, g]]
            ahead[m, b, g] += np.count_nonzero(order_N[tied_C] > order_N[gold_BR[b, g]])
    return ahead, at_least


def best_first(
    score_BN: NDArray[np.float32], order_N: NDArray[np.int64], best_BX: NDArray[np.float32], k: int
) -> NDArray[np.int64]:
    """Returns positions [B, K] of the k best candidates of each row: by score, then by order, both descending.

    With the order of `id_order` this is trec_eval's list, also where the k-th score is tied.

    Args:
        score_BN: [B, N] scores without NaN.
        order_N: [N] distinct integers.
        best_BX: [B, X] scores, the k largest of each row among them.
        k: 1 to N.
    """
    row, column = np.nonzero(score_BN >= np.partition(best_BX, -k, axis=1)[:, -k, None])
    ranked = np.lexsort((-order_N[column], -score_BN[row, column], row))
    first_B1 = np.searchsorted(row, np.arange(len(score_BN)))[:, None]
    return np.asarray(column[ranked[first_B1 + np.arange(k)]])


def id_order(ids: Sequence[str]) -> NDArray[np.int64]:
    """Returns [N] place of each id among all when they ascend by code point, as trec_eval compares them."""
    order_N = np.empty(len(ids), dtype=np.int64)
    order_N[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return order_N
