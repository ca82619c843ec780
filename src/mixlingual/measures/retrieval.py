"""This holds what an encoder found on a benchmark: all that a measure may look at.

Shape suffixes: Q queries, R slots for relevant candidates, N candidates, M languages of the benchmark, K best
candidates that are kept, D width of the embedding. Ranks count from 1; 0 marks an empty slot, so that queries with
fewer relevant candidates fit the same table. Every query has at least one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixlingual.records import Benchmark

Ranks = NDArray[np.int64]
Scores = NDArray[np.float64]
Value = TypeVar("Value")

ABSENT = np.iinfo(np.int64).max
"""Stands for the rank of an empty slot where ranks are compared."""

SHORT_LIST = 10
"""Results that a user looks at: the k of exposure, lift and target-language recall."""


def relevant(rank_QR: Ranks) -> Ranks:
    """Counts, [Q], the relevant candidates of queries, each of which has one."""
    relevant_Q = (rank_QR > 0).sum(axis=1)
    assert relevant_Q.all(), "a query without relevant candidates has no metrics"
    return np.asarray(relevant_Q)


def best_rank(rank_QR: Ranks) -> Ranks:
    """Finds, [Q], the ranks of the best relevant candidates."""
    relevant(rank_QR)
    return np.asarray(np.where(rank_QR > 0, rank_QR, ABSENT).min(axis=1))


@dataclass(frozen=True)
class Rankings:
    """How the gold candidates of every query rank, and which candidates of its pool are best.

    Column m of the four tables is the gold candidate in the benchmark's m-th language; 0 marks that the question
    has none there.
    """

    own_QM: Ranks
    """Rank among the candidates of the gold candidate's own language."""
    own_last_QM: Ranks
    """The same, but the last rank of the candidates that score alike: see `average_precision`."""
    pooled_QM: Ranks
    """Rank among the candidates of all languages."""
    pooled_last_QM: Ranks
    """The same, but the last rank of the candidates that score alike."""
    top_QK: NDArray[np.int64]
    """Positions of the best candidates of all languages, best first."""
    top_score_QK: NDArray[np.float32]
    """Their scores, as they were ranked by: another product of the embeddings may round otherwise."""


def gold_positions(benchmark: Benchmark) -> NDArray[np.int64]:
    """Finds, [Q, M], the positions of the gold candidates; -1 says that a language has none."""
    languages, gold = benchmark.languages, benchmark.gold
    return np.array([[gold.get((query.id, language), -1) for language in languages] for query in benchmark.queries])


class Retrieval:
    """What one encoder found on a benchmark, with its rankings and embeddings.

    Args:
        benchmark: with at least two languages.
        rankings: of its queries.
        query_QD: [Q, D] embeddings in the order of `benchmark.queries`.
        candidate_ND: [N, D] embeddings in the order of `benchmark.candidates`.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        rankings: Rankings,
        query_QD: NDArray[np.float32],
        candidate_ND: NDArray[np.float32],
    ) -> None:
        self.benchmark = benchmark
        self.languages = benchmark.languages
        self.query_QD = query_QD
        self.candidate_ND = candidate_ND
        self.top_QK = rankings.top_QK
        self.rank_QM = rankings.pooled_QM
        """Ranks of the gold candidates in the pool of all languages."""
        self.gold_QM = gold_positions(benchmark)
        column = {language: position for position, language in enumerate(benchmark.languages)}
        self.own_Q = np.array([column[query.language] for query in benchmark.queries])
        """Columns of the languages of the queries."""
        self.language_N = np.array([column[candidate.language] for candidate in benchmark.candidates])
        self.size_M = np.bincount(self.language_N, minlength=len(column))
        """Candidates of each language."""
        self.share_M = self.size_M / len(self.language_N)
        self.language_QK = self.language_N[rankings.top_QK]
        self._computed: dict[Any, Any] = {}

    def once(self, compute: Callable[[Retrieval], Value]) -> Value:
        """Gives what `compute` makes of this, computed at the first call only: for measures that share it."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        return self._computed[compute]  # type: ignore[no-any-return]

    def macro(self, value_Q: NDArray[Any]) -> float:
        """Takes the mean over the queries of each language, then over languages."""
        return float(np.mean([value_Q[self.own_Q == m].mean() for m in np.unique(self.own_Q)]))
