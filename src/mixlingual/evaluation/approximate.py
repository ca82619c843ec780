"""Approximate search by faiss, always with its measured recall against exact search.

Shape suffixes: Q queries, N passages, K best passages, D width.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingual.evaluation.search import Hits, search
from mixlingual.evaluation.shards import Shards
from mixlingual.records import MixlingualError

log = logging.getLogger(__name__)

_BLOCK_PASSAGES = 65_536
_TRAINING_PER_LIST = 64
_RECALL_QUERIES = 200
_MOST_PARTS = 64


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
    """About the k best passages of each query by inner product, and the recall of that.

    Args:
        query_QD: [Q, D] embeddings.
        shards: the corpus.
        k: results of a query; positions of missing ones are -1.
        kind: ivf, which holds all passages in fp32, or ivf_pq, which holds D / 8 bytes of each, at most 64.
        probes: inverted lists that a query looks into, of about 4 sqrt(N).
        memory_mib: MiB for the exact search that recall is measured with.
        device: where that runs; faiss takes every GPU that it finds.

    Returns:
        The hits, and the mean share of the k exact results that are among them, over 200 evenly spaced queries.

    Raises:
        MixlingualError: faiss is not installed, or cannot search the corpus, as with too few passages for ivf_pq.
    """
    k = min(k, len(shards))
    try:
        score_QK, position_QK = _built(shards, kind, probes).search(query_QD, k)
    except RuntimeError as error:
        raise MixlingualError(
            f"faiss cannot search {len(shards)} passages by evaluation.search={kind} ({error}); set "
            f"evaluation.search={'ivf or ' if kind == 'ivf_pq' else ''}exact"
        ) from error
    rows = np.unique(np.linspace(0, len(query_QD) - 1, min(len(query_QD), _RECALL_QUERIES)).astype(int))
    exact = search(query_QD[rows], shards, k, memory_mib=memory_mib, device=device)
    found = [len(set(a) & set(b)) / k for a, b in zip(exact.position_QK.tolist(), position_QK[rows].tolist())]
    recall = float(np.mean(found))
    log.info("%s with %d probes finds %.2f%% of the %d exact results", kind, probes, 100 * recall, k)
    return Hits(score_QK, position_QK.astype(np.int64)), recall


def _built(shards: Shards, kind: str, probes: int) -> Any:
    """A faiss index of the shards, on the GPUs where faiss has them."""
    try:
        faiss = importlib.import_module("faiss")
    except ImportError as error:
        raise MixlingualError(
            f"evaluation.search={kind} needs faiss; install the extra cpu or gpu, or set evaluation.search=exact"
        ) from error
    lists = max(1, min(int(4 * len(shards) ** 0.5), len(shards) // _TRAINING_PER_LIST))
    code = "Flat" if kind == "ivf" else f"PQ{_parts(shards.dimension)}"
    index = faiss.index_factory(shards.dimension, f"IVF{lists},{code}", faiss.METRIC_INNER_PRODUCT)
    index.nprobe = probes
    step = max(1, len(shards) // (_TRAINING_PER_LIST * lists))
    sample = [np.asarray(embedding_ND[::step], np.float32) for _, embedding_ND in shards.blocks(_BLOCK_PASSAGES)]
    index.train(np.concatenate(sample))
    if getattr(faiss, "get_num_gpus", int)():
        index = faiss.index_cpu_to_all_gpus(index)
    for _, embedding_ND in shards.blocks(_BLOCK_PASSAGES):
        index.add(np.asarray(embedding_ND, np.float32))
    return index


def _parts(width: int) -> int:
    """Sub-vectors of a product quantiser: one for eight dimensions where the width allows it, at most 64."""
    return next(parts for parts in range(min(_MOST_PARTS, max(1, width // 8)), 0, -1) if width % parts == 0)
