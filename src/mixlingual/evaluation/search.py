"""Searches encoded shards of any number exactly, merged block by block, in a given memory.

Shape suffixes: Q queries, B queries of a pass, N passages, C passages of a block, K best passages, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mixlingual.evaluation.inner_products import PAIR_BYTES, lengths, pair_scores, slack
from mixlingual.evaluation.shards import Shards

_BLOCK_PASSAGES = 8192
"""Most passages of a block; more make no product faster."""

_CROWDED = 2
"""Scores of a block that may be kept at once, as a multiple of the results; at least 2, so that halves hold k."""

_KEPT = 2 + _CROWDED
"""Scores kept at most, as a multiple of the results: the best, as many that wait, and those of a block."""

_VALUE_BYTES = 34
"""Bytes of a value of a passage: as read, in fp32, and a correction's steps in fp64."""

_PAIRS_SHARE = 8
"""Part of the memory in which pairs are scored, 1 / this."""

_SCORE_BYTES = 5
"""Bytes of a score of a block: fp32, and whether it is kept."""

_RESULT_BYTES = 80 * _KEPT
"""Bytes for a result of a query: its kept scores, 16 each, and what sorting them takes."""


@dataclass(frozen=True)
class Hits:
    """Holds the best passages of each query, best first; with fewer than K passages K is their number."""

    score_QK: NDArray[np.float32]
    position_QK: NDArray[np.int64]
    """Positions in the shards."""


def search(query_QD: NDArray[np.float32], shards: Shards, k: int, *, memory_mib: int, device: torch.device) -> Hits:
    """Returns the k best passages of each query by inner product, ties by id descending, as trec_eval orders them.

    Blocks of passages are multiplied with the queries one after the other. Of a block only pairs that may reach a
    query's k-th best so far are kept, by `pair_scores`, so that a score depends on its pair alone: results are the same
    whatever the memory, and whoever searches a part. They are sorted when as many have come together as there are
    results. All arrays beside the queries and the results fit into `memory_mib`, whatever the corpus, down to one query
    and one passage at a time; queries that do not fit are searched for in further passes over the corpus.

    Args:
        query_QD: [Q, D] embeddings.
        shards: the corpus or a part of it, in fp16: scores are those of these values.
        k: results of a query.
        memory_mib: MiB to search in.
        device: where blocks are multiplied.
    """
    k = min(k, len(shards))
    sizes = _block_sizes(shards.dimension, k, memory_mib)
    found = [
        _one_pass(query_QD[start : start + sizes.queries], shards, k, sizes, device)
        for start in range(0, len(query_QD), sizes.queries)
    ]
    return Hits(*(np.concatenate(arrays) for arrays in zip(*((hits.score_QK, hits.position_QK) for hits in found))))


class _Sizes(NamedTuple):
    """Says how many queries a pass, passages a block, and pairs a sum takes."""

    queries: int
    passages: int
    pairs: int


def _block_sizes(width: int, k: int, memory_mib: int) -> _Sizes:
    """Returns what fits into the memory, a quarter of it for passages at most and an eighth for pairs."""
    memory = memory_mib << 20
    passages = min(_BLOCK_PASSAGES, max(1, memory // (4 * _VALUE_BYTES * width)))
    pairs = max(1, memory // (_PAIRS_SHARE * PAIR_BYTES * width))
    left = memory - (passages * _VALUE_BYTES + pairs * PAIR_BYTES) * width
    return _Sizes(max(1, left // (passages * _SCORE_BYTES + k * _RESULT_BYTES)), passages, pairs)


def _one_pass(query_BD: NDArray[np.float32], shards: Shards, k: int, sizes: _Sizes, device: torch.device) -> Hits:
    """Returns the best of the whole corpus for the queries of a pass."""
    best = _Best(query_BD, shards, k, sizes, device)
    with tqdm(total=len(shards), desc="search", unit="passage", disable=None) as progress:
        for first, embedding_CD in shards.blocks(sizes.passages):
            best.add(first, embedding_CD)
            progress.update(len(embedding_CD))
    return best.hits()


def merged(parts: Sequence[Hits], shards: Shards, k: int) -> Hits:
    """Returns the k best of each query where parts of a corpus were searched: what `search` finds in the whole.

    Args:
        parts: the best of every part, for the same queries.
        shards: the whole corpus.
        k: results of a query.
    """
    score_QS, position_QS = (
        np.concatenate(arrays, axis=1) for arrays in zip(*((hits.score_QK, hits.position_QK) for hits in parts))
    )
    order_QS = np.lexsort((position_QS, -score_QS), axis=1)
    score_QS, position_QS = (np.take_along_axis(array, order_QS, axis=1) for array in (score_QS, position_QS))
    row = np.repeat(np.arange(len(score_QS)), score_QS.shape[1])
    untie(row, score_QS.ravel(), position_QS.reshape(-1), shards)
    return Hits(score_QS[:, :k], position_QS[:, :k])


class _Best:
    """Keeps the best passages so far of the queries of a pass, and those still to be sorted in.

    Large arrays are made once and filled again: many that come and go between small ones that stay leave holes, and a
    process that grows with the corpus.
    """

    def __init__(
        self, query_BD: NDArray[np.float32], shards: Shards, k: int, sizes: _Sizes, device: torch.device
    ) -> None:
        rows, width = query_BD.shape
        self._own_BD, self._query_BD = query_BD, torch.from_numpy(query_BD).to(device)
        self._shards, self._k, self._pairs = shards, k, sizes.pairs
        self._slack_B1 = torch.from_numpy(slack(lengths(query_BD), width)[:, None]).to(device)
        self._worst_B1 = torch.full((rows, 1), -torch.inf, device=device)
        self._scores = torch.empty(rows * sizes.passages, device=device)
        self._reaches = torch.empty(rows * sizes.passages, dtype=torch.bool, device=device)
        self._row = np.empty(_KEPT * rows * k, np.int32)
        self._score = np.empty(_KEPT * rows * k, np.float32)
        self._position = np.empty(_KEPT * rows * k, np.int64)
        self._sorted = self._filled = 0

    def add(self, first: int, passage_CD: NDArray[np.floating[Any]]) -> None:
        """Takes in a block whose first passage is at position `first`."""
        shape = len(self._query_BD), len(passage_CD)
        score_BC = self._scores[: shape[0] * shape[1]].view(shape)
        block_CD = torch.from_numpy(passage_CD).to(self._query_BD.device).float()
        torch.mm(self._query_BD, block_CD.T, out=score_BC)
        self._keep(first, score_BC, passage_CD, self._slack_B1 * block_CD.norm(dim=1).max())

    def hits(self) -> Hits:
        """Returns the best of all that were added, k or more."""
        self._merge()
        shape = len(self._query_BD), self._k
        score_BK, position_BK = (
            self._score[: self._filled].reshape(shape),
            self._position[: self._filled].reshape(shape),
        )
        return Hits(score_BK.copy(), position_BK.copy())

    def _keep(self, first: int, score_BC: Tensor, passage_CD: NDArray[np.floating[Any]], slack_B1: Tensor) -> None:
        """Lets the pairs wait that may reach the k-th best; in halves where these are many, as when most are equal.

        A query never lacks k scores that reach `_worst_B1`: halves are wider than k, and each sets it anew.
        """
        worst_B1 = self._worst_B1
        if self._sorted == 0 and self._k <= score_BC.shape[1]:
            worst_B1 = torch.maximum(worst_B1, score_BC.topk(self._k).values[:, -1:] - slack_B1)
        reaches_BC = self._reaches[: score_BC.numel()].view(score_BC.shape)
        torch.ge(score_BC, worst_B1 - slack_B1, out=reaches_BC)
        if torch.count_nonzero(reaches_BC) > _CROWDED * len(score_BC) * self._k:
            half = score_BC.shape[1] // 2
            self._keep(first, score_BC[:, :half], passage_CD[:half], slack_B1)
            self._keep(first + half, score_BC[:, half:], passage_CD[half:], slack_B1)
            return
        self._worst_B1.copy_(worst_B1)
        row, column = (place.cpu().numpy() for place in torch.nonzero(reaches_BC, as_tuple=True))
        new = slice(self._filled, self._filled + len(row))
        self._row[new], self._position[new] = row, column + first
        self._score[new] = pair_scores(self._own_BD, row, passage_CD, column, self._pairs)
        self._filled = new.stop
        if self._filled - self._sorted > len(score_BC) * self._k:
            self._merge()

    def _merge(self) -> None:
        """Sorts what waits into the best, and raises what a passage must reach."""
        row, score, position = self._row[: self._filled], self._score[: self._filled], self._position[: self._filled]
        order = np.lexsort((position, -score, row))
        row[:], score[:], position[:] = row[order], score[order], position[order]
        untie(row, score, position, self._shards)
        place = np.arange(len(row)) - np.searchsorted(row, np.arange(len(self._query_BD)))[row]
        last = place == self._k - 1
        self._worst_B1[torch.from_numpy(row[last]).long(), 0] = torch.from_numpy(score[last]).to(self._worst_B1.device)
        best = np.flatnonzero(place < self._k)
        self._sorted = self._filled = len(best)
        for kept in (row, score, position):
            kept[: len(best)] = kept[best]


def untie(
    row: NDArray[np.int32] | NDArray[np.int64], score: NDArray[np.float32], position: NDArray[np.int64], shards: Shards
) -> None:
    """Orders equal scores of a query, which stand side by side, by id, descending, in place."""
    tied = (row[1:] == row[:-1]) & (score[1:] == score[:-1])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], tied, [False]]).astype(np.int8)))
    for begin, end in zip(edges[::2], edges[1::2] + 1):
        ids = shards.ids(position[begin:end])
        place = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
        position[begin:end] = position[begin:end][place]
