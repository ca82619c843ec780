"""Exact ranks of gold candidates in every candidate pool, from one blocked product of the embeddings.

Only the number of candidates ahead of each gold candidate is needed, so nothing is sorted or stored.

Shape suffixes: Q queries, B queries of a block, N candidates, U distinct candidate embeddings, C candidates
of one language, M languages of the benchmark, D width of the embedding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.evaluation.metrics import Ranks
from mixlingual.records import Benchmark

_BLOCK = 256
"""Queries scored at once: 20 MB of scores at 20,000 candidates."""


def gold_ranks(
    benchmark: Benchmark, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32]
) -> tuple[Ranks, Ranks]:
    """Ranks, from 1, of each query's gold candidate of every language.

    A candidate is ahead of another if its fp32 inner product with the query is greater or, where these are
    equal, if its id is: the order of trec_eval. Equal embeddings always score equally.

    Args:
        benchmark: what the embeddings belong to.
        query_QD: [Q, D] embeddings in the order of `benchmark.queries`.
        candidate_ND: [N, D] embeddings in the order of `benchmark.candidates`.

    Returns:
        [Q, M] ranks among the candidates of the gold candidate's own language, and [Q, M] ranks among those of
        all languages; 0 where the question has no gold candidate in that language.
    """
    gold_QM, order_N = _gold(benchmark), _id_order(benchmark)
    distinct_UD, column_N = _distinct(candidate_ND)
    language_N = np.array([candidate.language for candidate in benchmark.candidates])
    pools = [np.flatnonzero(language_N == language) for language in benchmark.languages]
    own_QM, pooled_QM = np.ones_like(gold_QM), np.ones_like(gold_QM)
    for start in range(0, len(gold_QM), _BLOCK):
        block = slice(start, start + _BLOCK)
        score_BU = query_QD[block] @ distinct_UD.T
        gold_score_BM = np.take_along_axis(score_BU, column_N[gold_QM[block]], axis=1)
        gold_key_BM = _sort_key(gold_score_BM, order_N[gold_QM[block]])
        for language, pool_C in enumerate(pools):
            key_BC = _sort_key(np.take(score_BU, column_N[pool_C], axis=1), order_N[pool_C])
            ahead_BM = np.stack([np.count_nonzero(key_BC > key_B1, axis=1) for key_B1 in gold_key_BM.T[..., None]], 1)
            own_QM[block, language] += ahead_BM[:, language]
            pooled_QM[block] += ahead_BM
    return np.where(gold_QM < 0, 0, own_QM), np.where(gold_QM < 0, 0, pooled_QM)


def _gold(benchmark: Benchmark) -> NDArray[np.int64]:
    """[Q, M] positions of the gold candidates, -1 where a language has none."""
    languages, gold = benchmark.languages, benchmark.gold
    return np.array([[gold.get((query.id, language), -1) for language in languages] for query in benchmark.queries])


def _id_order(benchmark: Benchmark) -> NDArray[np.int64]:
    """[N] place of each candidate among all when their ids ascend."""
    ids = [candidate.id for candidate in benchmark.candidates]
    order_N = np.empty(len(ids), dtype=np.int64)
    order_N[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return order_N


def _distinct(embedding_ND: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """[U, D] embeddings without repetition, and [N] the row of each among them.

    A matrix product may round equal columns differently at its edges, which would order ties by chance.
    """
    rows: dict[bytes, int] = {}
    column_N = np.array([rows.setdefault(embedding_D.tobytes(), len(rows)) for embedding_D in embedding_ND])
    first_U = np.unique(column_N, return_index=True)[1]
    return embedding_ND[first_U], column_N


def _sort_key(score: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers that compare as the pairs (score, order) do.

    The upper half holds the bits of the fp32 score, which ascend with a positive score and are mirrored for a
    negative one; the lower half holds the order. Adding 0 turns -0 into 0, which scores the same.
    """
    bits = (score + np.float32(0)).view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return (bits.astype(np.int64) << 32) | order
