"""This holds what an encoder found on a benchmark: all that a measure may look at.

Shape suffixes: Q queries, R slots for relevant candidates, N candidates, M languages of the benchmark, A answers of all
queries, K best candidates that are kept, D width of the embedding. Ranks count from 1; 0 marks an empty slot, so that
queries with fewer relevant candidates fit the same table. Every query has at least one.
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
class Ranked:
    """Where the relevant candidates of queries stand in one pool: what measures of quality are computed from."""

    rank_QR: Ranks
    """Distinct ranks in any order, 0 where a slot is empty."""
    last_QR: Ranks
    """The same, but the last rank of the candidates that score alike: see `average_precision`."""
    gain_QR: Scores | None = None
    """Relevance of each; None: 1 throughout."""

    def part(self, rows: NDArray[np.intp], slots: slice) -> Ranked:
        """Returns these queries and slots."""
        gain_QR = None if self.gain_QR is None else self.gain_QR[rows, slots]
        return Ranked(self.rank_QR[rows, slots], self.last_QR[rows, slots], gain_QR)


@dataclass(frozen=True)
class Rankings:
    """How the gold candidates of every query rank, and which candidates of its pool are best.

    Slots of the four tables are those of `gold_positions`.
    """

    own_QR: Ranks
    """Rank among the candidates of the gold candidate's own language."""
    own_last_QR: Ranks
    """The same, but the last rank of the candidates that score alike: see `average_precision`."""
    pooled_QR: Ranks
    """Rank among the candidates of all languages."""
    pooled_last_QR: Ranks
    """The same, but the last rank of the candidates that score alike."""
    top_QK: NDArray[np.int64]
    """Positions of the best candidates of all languages, best first."""
    top_score_QK: NDArray[np.float32]
    """Their scores, as they were ranked by: another product of the embeddings may round otherwise."""


def gold_positions(benchmark: Benchmark) -> NDArray[np.int64]:
    """Finds, [Q, R], the positions of the gold candidates; -1 says that a slot is empty.

    Slot a * M + m is for the a-th answer of the query in the benchmark's m-th language.
    """
    languages, gold = benchmark.languages, benchmark.gold
    answers = [list(benchmark.answers_of(query.id)) for query in benchmark.queries]
    position_QR = np.full((len(answers), max(map(len, answers)) * len(languages)), -1, dtype=np.int64)
    for position_R, of_query in zip(position_QR, answers):
        found = [gold.get((answer, language), -1) for answer in of_query for language in languages]
        position_R[: len(found)] = found
    return position_QR


def gains(benchmark: Benchmark) -> Scores | None:
    """Gives, [Q, R], the relevance of what is in the slots of `gold_positions`; None where it is 1 throughout."""
    grades = [list(benchmark.answers_of(query.id).values()) for query in benchmark.queries]
    if all(grade == 1 for of_query in grades for grade in of_query):
        return None
    gain_QA = np.zeros((len(grades), max(map(len, grades))))
    for gain_A, of_query in zip(gain_QA, grades):
        gain_A[: len(of_query)] = of_query
    return gain_QA.repeat(len(benchmark.languages), axis=1)


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
        self.gold_QR = gold_positions(benchmark)
        """Positions of all gold candidates; -1 marks an empty slot."""
        column = {language: position for position, language in enumerate(benchmark.languages)}
        self.own_Q = np.array([column[query.language] for query in benchmark.queries])
        """Columns of the languages of the queries."""
        self.language_N = np.array([column[candidate.language] for candidate in benchmark.candidates])
        self.size_M = np.bincount(self.language_N, minlength=len(column))
        """Candidates of each language."""
        self.share_M = self.size_M / len(self.language_N)
        self.language_QK = self.language_N[rankings.top_QK]
        slots = (len(self.gold_QR), -1, len(column))
        self.answer_QM = (self.gold_QR >= 0).reshape(slots).any(axis=1)
        """Whether the query has an answer in each language."""
        held_QA = np.asarray((self.gold_QR >= 0).reshape(slots).any(axis=2))
        self.query_A = np.nonzero(held_QA)[0]
        """The query of each answer: the rows of `gold_AM`, `rank_AM`, `own_A` and `pool_A`."""
        self.own_A = self.own_Q[self.query_A]
        self.gold_AM = self.gold_QR.reshape(slots)[held_QA]
        """Positions of the translations of one answer; -1 says that a language has none."""
        self.rank_AM = rankings.pooled_QR.reshape(slots)[held_QA]
        """Ranks of the translations of one answer in the pool without the other answers of its query, 0 for none."""
        self.pool_A = np.full(len(self.query_A), len(self.language_N))
        """How many candidates were ranked there."""
        if len(self.query_A) > len(held_QA):
            self._leave_out_other_answers(rankings.pooled_QR, slots, held_QA)
        self._computed: dict[Any, Any] = {}

    def _leave_out_other_answers(self, rank_QR: Ranks, slots: tuple[int, ...], held_QA: NDArray[np.bool_]) -> None:
        """Ranks of one answer are lowered by the candidates of the query's other answers that are ahead."""
        ahead_QR = np.where(rank_QR > 0, rank_QR, ABSENT).argsort(axis=1).argsort(axis=1)
        own_AM = np.where(self.rank_AM > 0, self.rank_AM, ABSENT).argsort(axis=1).argsort(axis=1)
        other_AM = ahead_QR.reshape(slots)[held_QA] - own_AM
        self.rank_AM = np.where(self.rank_AM > 0, self.rank_AM - other_AM, 0)
        self.pool_A = self.pool_A - (relevant(rank_QR)[self.query_A] - relevant(self.rank_AM))

    def over_answers(self, value_A: Scores) -> Scores:
        """Takes, [Q], the mean over the answers of a query that define the value; NaN where none does."""
        if len(value_A) == len(self.own_Q):
            return value_A
        known_A = ~np.isnan(value_A)
        total_Q, count_Q = (
            np.bincount(self.query_A, weights, len(self.own_Q))
            for weights in (np.where(known_A, value_A, 0.0), known_A)
        )
        return np.where(count_Q > 0, total_Q / np.maximum(count_Q, 1), np.nan)

    def once(self, compute: Callable[[Retrieval], Value]) -> Value:
        """Gives what `compute` makes of this, computed at the first call only: for measures that share it."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        return self._computed[compute]  # type: ignore[no-any-return]

    def macro(self, value_Q: NDArray[Any]) -> float:
        """Takes the mean over the queries of each language, then over languages."""
        return float(np.mean([value_Q[self.own_Q == m].mean() for m in np.unique(self.own_Q)]))
