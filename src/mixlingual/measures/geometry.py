"""This holds what the measures of embeddings share.

Shape suffixes: N embeddings, D width. Embeddings are float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.retrieval import Retrieval, Scores


@dataclass(frozen=True)
class Texts:
    """Unit embeddings of gold candidates, with columns of their languages and numbers of their paragraphs."""

    unit_ND: NDArray[np.float32]
    language_N: NDArray[np.int64]
    cluster_N: NDArray[np.int64]


def units(found: Retrieval) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scales the embeddings of queries and of candidates to length 1."""
    return unit(found.query_QD), unit(found.candidate_ND)


def golds(found: Retrieval) -> tuple[Texts, Texts]:
    """Lists all gold candidates, each once, and then one for each paragraph and language."""
    numbers = {name: number for number, name in enumerate(sorted({q.paragraph for q in found.benchmark.queries}))}
    cluster_Q = np.array([numbers[query.paragraph] for query in found.benchmark.queries])
    row_E, language_E = np.nonzero(found.gold_AM >= 0)
    position_E, cluster_E = found.gold_AM[row_E, language_E], cluster_Q[found.query_A[row_E]]
    each = np.unique(position_E, return_index=True)[1]
    first = np.unique(cluster_E * len(found.languages) + language_E, return_index=True)[1]
    unit_ND = found.once(units)[1]
    every, one = (Texts(unit_ND[position_E[kept]], language_E[kept], cluster_E[kept]) for kept in (each, first))
    return every, one


def unit(embedding_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales the embeddings to length 1; a zero vector stays."""
    length_N = np.sqrt(np.einsum("nd,nd->n", embedding_ND, embedding_ND))
    squares_fail_N = ~((length_N > 1e-15) & (length_N < 1e15))
    length_N[squares_fail_N] = np.linalg.norm(embedding_ND[squares_fail_N].astype(np.float64), axis=1)
    return np.asarray(embedding_ND / np.where(length_N > 0, length_N, 1)[:, None])


def mean(value: Scores) -> float:
    """Takes the mean, which is NaN where there is no value."""
    return float(value.mean()) if value.size else float("nan")
