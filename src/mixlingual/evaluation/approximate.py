"""Searches by faiss: exactly, or approximately with a measured recall.

Shape suffixes: Q queries, N passages, K best passages, D width.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingual.evaluation.inner_products import lengths, pair_scores, slack
from mixlingual.evaluation.search import Hits, search, untie
from mixlingual.evaluation.shards import Shards
from mixlingual.records import MixlingualError

log = logging.getLogger(__name__)

_BLOCK_PASSAGES = 65_536
_TRAINING_PER_LIST = 64
_RECALL_QUERIES = 200
_MOST_PARTS = 64
_ASKED = 1 << 22
"""Results that faiss is asked for at once, over all queries."""
_MOST_ON_GPU = 2048
"""Results of a query that faiss gives on a GPU; where ties go on beyond, an approximate search cuts them."""


def flat_search(
    query_QD: NDArray[np.float32], shards: Shards, k: int, *, memory_mib: int, device: torch.device
) -> Hits:
    """Returns what `search.search` finds, by a faiss index of all passages in fp32, on `device` where faiss can.

    Queries whose ties go on beyond what faiss gives are searched by `search.search`, with `memory_mib` on `device`.

    Raises:
        MixlingualError: faiss is not installed.
    """
    k = min(k, len(shards))
    hits, cut = _found(query_QD, shards, k, _built(shards, "flat", probes=1, device=device))
    if cut:
        exact = search(query_QD[cut], shards, k, memory_mib=memory_mib, device=device)
        hits.score_QK[cut], hits.position_QK[cut] = exact.score_QK, exact.position_QK
    return hits


def approximate_search(
    query_QD: NDArray[np.float32],
    shards: Shards,
    k: int,
    *,
    kind: str,
    probes: int,
    memory_mib: int,
    device: torch.device,
) -> tuple[Hits, float]:
    """Returns about the k best passages of each query by inner product, and the recall of that.

    What faiss finds is scored by `pair_scores` and ordered as in an exact search. Faiss is asked for more than k where
    what it finds next may be tied with the last.

    Args:
        query_QD: [Q, D] embeddings.
        shards: the corpus.
        k: results of a query; positions of missing ones are -1.
        kind: ivf, which holds all passages in fp32, or ivf_pq, which holds D / 8 bytes of each, at most 64.
        probes: inverted lists that a query looks into, of about 4 sqrt(N).
        memory_mib: MiB for the exact search that recall is measured with.
        device: where both run; faiss built without GPUs stays on the CPU.

    Returns:
        The hits, and the mean share of the k exact results that are among them, over 200 evenly spaced queries.

    Raises:
        MixlingualError: faiss is not installed, or cannot search the corpus, as with too few passages for ivf_pq.
    """
    k = min(k, len(shards))
    try:
        hits, _ = _found(query_QD, shards, k, _built(shards, kind, probes, device))
    except RuntimeError as error:
        raise MixlingualError(
            f"faiss cannot search {len(shards)} passages by evaluation.search={kind} ({error}); set "
            f"evaluation.search={'ivf or ' if kind == 'ivf_pq' else ''}exact"
        ) from error
    rows = np.unique(np.linspace(0, len(query_QD) - 1, min(len(query_QD), _RECALL_QUERIES)).astype(int))
    exact = search(query_QD[rows], shards, k, memory_mib=memory_mib, device=device)
    shares = [len(set(a) & set(b)) / k for a, b in zip(exact.position_QK.tolist(), hits.position_QK[rows].tolist())]
    recall = float(np.mean(shares))
    log.info("%s with %d probes finds %.2f%% of the %d exact results", kind, probes, 100 * recall, k)
    return hits, recall


class _Built(NamedTuple):
    """Holds an index of a corpus."""

    index: Any
    most: int
    """Results that it can be asked for."""
    longest: float
    """Length of the longest passage."""


def _found(query_QD: NDArray[np.float32], shards: Shards, k: int, built: _Built) -> tuple[Hits, list[int]]:
    """Returns the k best of what faiss finds for each query, those that may be tied with the last one included.

    Beside them: the queries whose ties were cut, since more may be tied than faiss can be asked for.
    """
    hits = Hits(np.full((len(query_QD), k), -np.inf, np.float32), np.full((len(query_QD), k), -1, np.int64))
    slack_Q = 2 * built.longest * slack(lengths(query_QD), query_QD.shape[1])
    rows, wanted, cut = list(range(len(query_QD))), min(k + 1, built.most), []
    while rows:
        step, tied = max(1, _ASKED // wanted), []
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            for row, score_W, position_W in zip(part, *built.index.search(query_QD[part], wanted)):
                if wanted < len(shards) and position_W[-1] >= 0 and score_W[-1] >= score_W[k - 1] - slack_Q[row]:
                    if wanted < built.most:
                        tied.append(row)
                        continue
                    cut.append(row)
                score_K, position_K = _best(query_QD[row], shards, position_W[position_W >= 0], k)
                hits.score_QK[row, : len(score_K)], hits.position_QK[row, : len(score_K)] = score_K, position_K
        rows, wanted = tied, min(4 * wanted, built.most)
    return hits, cut


def _best(
    query_D: NDArray[np.float32], shards: Shards, position_W: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns scores and positions of the k best of these passages."""
    row_W, place_W = np.zeros(len(position_W), np.int64), np.arange(len(position_W))
    score_W = pair_scores(query_D[None], row_W, shards.rows(position_W), place_W, pairs=1024)
    order_W = np.lexsort((position_W, -score_W))
    score_W, position_W = score_W[order_W], position_W[order_W]
    untie(row_W, score_W, position_W, shards)
    return score_W[:k], position_W[:k]


def _built(shards: Shards, kind: str, probes: int, device: torch.device) -> _Built:
    """Returns a faiss index of the shards, on the process's GPU where it computes on one and faiss can too."""
    try:
        faiss = importlib.import_module("faiss")
    except ImportError as error:
        raise MixlingualError(
            f"evaluation.search={kind} needs faiss; install the extra cpu or gpu, or set evaluation.search=exact"
        ) from error
    if kind == "flat":
        index = faiss.IndexFlatIP(shards.dimension)
    else:
        lists = max(1, min(int(4 * len(shards) ** 0.5), len(shards) // _TRAINING_PER_LIST))
        code = "Flat" if kind == "ivf" else f"PQ{_parts(shards.dimension)}"
        index = faiss.index_factory(shards.dimension, f"IVF{lists},{code}", faiss.METRIC_INNER_PRODUCT)
        index.nprobe = probes
        step = max(1, len(shards) // (_TRAINING_PER_LIST * lists))
        sample = [np.asarray(embedding_ND[::step], np.float32) for _, embedding_ND in shards.blocks(_BLOCK_PASSAGES)]
        index.train(np.concatenate(sample))
    most, longest = len(shards), 0.0
    if device.type == "cuda" and getattr(faiss, "get_num_gpus", int)():
        index = faiss.index_cpu_to_gpus_list(index, gpus=[torch.cuda.current_device()])
        most = min(most, _MOST_ON_GPU)
    for _, embedding_ND in shards.blocks(_BLOCK_PASSAGES):
        index.add(np.asarray(embedding_ND, np.float32))
        longest = max(longest, float(lengths(embedding_ND).max()))
    return _Built(index, most, longest)


def _parts(width: int) -> int:
    """Returns how many sub-vectors a product quantiser has: one for eight dimensions where the width allows it."""
    return next(parts for parts in range(min(_MOST_PARTS, max(1, width // 8)), 0, -1) if width % parts == 0)
