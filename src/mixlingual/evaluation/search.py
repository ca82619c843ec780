"""Exact search over encoded shards of any number, merged block by block, in a given memory.

Shape suffixes: Q queries, B queries of a chunk, N passages, C passages of a block, K best passages, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mixlingual.evaluation.shards import Shards

_BLOCK_PASSAGES = 8192
_CROWDED = 4
"""Scores of a block that may wait at once, as a multiple of the results; at least 2, so that halves hold k."""


@dataclass(frozen=True)
class Hits:
    """The best passages of each query, best first; with fewer than K passages K is their number."""

    score_QK: NDArray[np.float32]
    position_QK: NDArray[np.int64]
    """Positions in the shards."""


def search(query_QD: NDArray[np.float32], shards: Shards, k: int, *, memory_mib: int, device: torch.device) -> Hits:
    """The k best passages of each query by fp32 inner product, ties by id descending, as trec_eval orders them.

    Blocks are scored one after the other. Of a block only scores that reach a query's k-th best so far are kept, and
    sorted in when as many have come together as there are results; scores of a block and what is kept take about
    `memory_mib`, whatever the corpus.

    Args:
        query_QD: [Q, D] embeddings.
        shards: the corpus or a part of it, in fp16: scores are exact for these values.
        k: results of a query.
        memory_mib: MiB for scores.
        device: where they are computed.
    """
    k = min(k, len(shards))
    chunk = max(1, memory_mib * (1 << 20) // (2 * 4 * _BLOCK_PASSAGES))
    parts = [
        _Best(torch.from_numpy(query_QD[start : start + chunk]).to(device), shards, k)
        for start in range(0, len(query_QD), chunk)
    ]
    with tqdm(total=len(shards), desc="search", unit="passage", disable=None) as progress:
        for first, embedding_CD in shards.blocks(_BLOCK_PASSAGES):
            passage_CD = torch.from_numpy(embedding_CD).to(device).float()
            for part in parts:
                part.add(first, passage_CD)
            progress.update(len(embedding_CD))
    for part in parts:
        part.merge()
    return Hits(*(np.concatenate(arrays) for arrays in zip(*((part.score_BK, part.position_BK) for part in parts))))


def merged(parts: Sequence[Hits], shards: Shards, k: int) -> Hits:
    """The k best of each query of a corpus whose parts were searched one by one: what `search` finds in the whole.

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
    _untie(row, score_QS.ravel(), position_QS.reshape(-1), shards)
    return Hits(score_QS[:, :k], position_QS[:, :k])


class _Best:
    """The best passages so far of a chunk of queries, and those still to be sorted in."""

    def __init__(self, query_BD: Tensor, shards: Shards, k: int) -> None:
        self._query_BD, self._shards, self._k = query_BD, shards, k
        rows = len(query_BD)
        self._worst_B1 = torch.full((rows, 1), -torch.inf, device=query_BD.device)
        self._kept: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]] = []
        self._waiting = 0
        self.score_BK = np.empty((rows, 0), np.float32)
        self.position_BK = np.empty((rows, 0), np.int64)

    def add(self, first: int, passage_CD: Tensor) -> None:
        """Score a block whose first passage is at position `first`."""
        self._keep(first, self._query_BD @ passage_CD.T)

    def _keep(self, first: int, score_BC: Tensor) -> None:
        """Let the scores wait that reach the k-th best; in halves where these are many, as when most are equal.

        A query never lacks k scores that reach `_worst_B1`: halves are wider than k, and each sets it anew.
        """
        worst_B1 = self._worst_B1
        if self.score_BK.shape[1] < self._k <= score_BC.shape[1]:
            worst_B1 = torch.maximum(worst_B1, score_BC.topk(self._k).values[:, -1:])
        reaches_BC = score_BC >= worst_B1
        if torch.count_nonzero(reaches_BC) > _CROWDED * len(score_BC) * self._k:
            half = score_BC.shape[1] // 2
            self._keep(first, score_BC[:, :half])
            self._keep(first + half, score_BC[:, half:])
            return
        self._worst_B1 = worst_B1
        row, column = torch.nonzero(reaches_BC, as_tuple=True)
        self._kept.append((row.cpu().numpy(), score_BC[row, column].cpu().numpy(), column.cpu().numpy() + first))
        self._waiting += len(row)
        if self._waiting > len(score_BC) * self._k:
            self.merge()

    def merge(self) -> None:
        """Sort what waits into the best, and raise what a passage must reach."""
        rows, held = self.score_BK.shape
        old = np.repeat(np.arange(rows), held), self.score_BK.ravel(), self.position_BK.ravel()
        row, score, position = (np.concatenate(arrays) for arrays in zip(old, *self._kept))
        order = np.lexsort((position, -score, row))
        row, score, position = row[order], score[order], position[order]
        _untie(row, score, position, self._shards)
        start_B = np.searchsorted(row, np.arange(rows))
        kept = start_B[:, None] + np.arange(min(self._k, np.bincount(row, minlength=rows).min()))
        self.score_BK, self.position_BK = score[kept], position[kept]
        if self.score_BK.shape[1] == self._k:
            self._worst_B1 = torch.from_numpy(self.score_BK[:, -1:]).to(self._query_BD.device)
        self._kept, self._waiting = [], 0


def _untie(row: NDArray[np.int64], score: NDArray[np.float32], position: NDArray[np.int64], shards: Shards) -> None:
    """Order equal scores of a query by id, descending, in place."""
    tied = (row[1:] == row[:-1]) & (score[1:] == score[:-1])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], tied, [False]]).astype(np.int8)))
    for begin, end in zip(edges[::2], edges[1::2] + 1):
        ids = shards.ids(position[begin:end])
        place = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
        position[begin:end] = position[begin:end][place]
