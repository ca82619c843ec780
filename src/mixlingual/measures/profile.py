"""Every language-bias measure of one benchmark, from its rankings and embeddings.

Measures of single queries become columns of the per-query table; those of whole lists, languages or embeddings are
figures of the benchmark. Shape suffixes as in `ranking`.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingual.evaluation.ranking import Rankings, gold_positions
from mixlingual.measures import consistency, exposure, fairness, geometry, preference, spread
from mixlingual.measures.ranks import Scores
from mixlingual.records import Benchmark

SHORT_LIST = 10
"""Results that a user looks at: the k of exposure, lift, target-language recall and list correlation."""

PERSISTENCE = 0.9
"""Chance that the reader of `rank_biased_overlap` goes on to the next depth."""

QUERY_COLUMNS = (
    "rank_distance", "rank_distance_normalized", "rank_distance_log", "max_rank", "completion@10", "completion@100",
    "own_first", "tlr@10", "delta_ap_own", "delta_ap_other", "own_lift@10", "own_relevant_lift@10",
    "exposure_divergence@10",
)  # fmt: skip


class Profile:
    """What all measures of a benchmark share: columns of languages, gold candidates and lists.

    Args:
        benchmark: with at least two languages.
        rankings: of its queries.
    """

    def __init__(self, benchmark: Benchmark, rankings: Rankings) -> None:
        self.benchmark = benchmark
        self.rankings = rankings
        column = {language: position for position, language in enumerate(benchmark.languages)}
        self.own_Q = np.array([column[query.language] for query in benchmark.queries])
        self.language_N = np.array([column[candidate.language] for candidate in benchmark.candidates])
        self.gold_QM = gold_positions(benchmark)
        self.share_M = np.bincount(self.language_N, minlength=len(column)) / len(self.language_N)
        self.language_QK = self.language_N[rankings.top_QK]

    def of_queries(self) -> dict[str, Scores]:
        """`QUERY_COLUMNS` -> [Q] values, NaN where a measure is undefined. Every query has a gold candidate."""
        rank_QM, pool = self.rankings.pooled_QM, len(self.language_N)
        delta_own_Q, delta_other_Q = preference.own_and_other(preference.remove_one_gold(rank_QM), self.own_Q)
        short_QK = self.language_QK[:, :SHORT_LIST]
        values = (
            spread.rank_distance(rank_QM),
            spread.normalized_rank_distance(rank_QM, pool),
            spread.log_rank_distance(rank_QM),
            spread.max_rank(rank_QM),
            spread.completion_at_k(rank_QM, 10),
            spread.completion_at_k(rank_QM, 100),
            preference.own_language_first(rank_QM, self.own_Q),
            preference.target_language_recall(rank_QM, self.own_Q, SHORT_LIST),
            delta_own_Q,
            delta_other_Q,
            exposure.own_language_lift(self._counts(), self.own_Q, self.share_M),
            exposure.own_relevant_lift(rank_QM, self.own_Q, SHORT_LIST),
            exposure.exposure_divergence(short_QK, self._wanted()),
        )
        return dict(zip(QUERY_COLUMNS, values, strict=True))

    def of_benchmark(self, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32]) -> dict[str, Any]:
        """The other measures, as JSON types without NaN; each language weighs alike in their means."""
        return {
            "first_result": self._first_result(),
            "lift@10": self._lift(exposure.log_lift(self._counts(), self.own_Q, self.share_M)),
            "relevant_lift@10": self._lift(exposure.relevant_log_lift(self.rankings.pooled_QM, self.own_Q, SHORT_LIST)),
            "exposure_divergence@10": {"chance": self._macro(self._chance_divergence())},
            "consistency": self._consistency(),
            "concordance": self._concordance(),
            "peer@100": self._peer(),
            "geometry": self._geometry(query_QD, candidate_ND),
        }

    def _counts(self) -> NDArray[np.int64]:
        return exposure.language_counts(self.language_QK[:, :SHORT_LIST], len(self.share_M))

    def _macro(self, value_Q: NDArray[Any]) -> float:
        """Mean over queries, then over query languages."""
        return float(np.mean([value_Q[self.own_Q == m].mean() for m in np.unique(self.own_Q)]))

    def _first_result(self) -> dict[str, float]:
        """Shares of the kinds of `preference.first_result_split`."""
        first_Q = self.rankings.top_QK[:, 0]
        kind_Q = preference.first_result_split(first_Q, self.gold_QM, self.language_N, self.own_Q)
        return {kind: self._macro(kind_Q == position) for position, kind in enumerate(preference.SPLIT)}

    def _wanted(self) -> Scores:
        """[Q, M] the languages that have a gold candidate, alike: what a fair list shows."""
        present_QM = self.gold_QM >= 0
        return np.asarray(present_QM / present_QM.sum(axis=1, keepdims=True))

    def _chance_divergence(self) -> Scores:
        size_M = np.bincount(self.language_N, minlength=len(self.share_M))
        return exposure.chance_divergence(self._wanted(), size_M, min(SHORT_LIST, len(self.language_N)))

    def _lift(self, lift_MM: Scores) -> dict[str, Any]:
        """A log-lift matrix, query language -> candidate language, and its summaries."""
        languages = self.benchmark.languages
        return {
            "diagonal_preference": exposure.diagonal_preference(lift_MM),
            "attraction": dict(zip(languages, exposure.attraction(lift_MM).tolist())),
            "log2": {row: dict(zip(languages, values)) for row, values in zip(languages, lift_MM.tolist())},
        }

    def _consistency(self) -> dict[str, Any]:
        """Agreement of the lists of one question in two languages: means over questions, then over pairs."""
        rows: dict[str, dict[str, int]] = {language: {} for language in self.benchmark.languages}
        for row, query in enumerate(self.benchmark.queries):
            rows[query.language][query.id] = row
        pairs: dict[str, dict[str, float]] = {}
        for left, right in combinations(self.benchmark.languages, 2):
            shared = [question for question in rows[left] if question in rows[right]]
            if shared:
                lists = [self.rankings.top_QK[[rows[side][question] for question in shared]] for side in (left, right)]
                pairs[f"{left}-{right}"] = _agreement(*lists)
        if not pairs:
            return {}
        means = {name: float(np.mean([pair[name] for pair in pairs.values()])) for name in ("rbo", "spearman@10")}
        return {**means, "pairs": pairs}

    def _concordance(self) -> dict[str, Any]:
        """Kendall's W of the ranks of the gold candidates' languages, for each query language."""
        tests = {
            language: fairness.concordance(self.rankings.pooled_QM[self.own_Q == m])
            for m, language in enumerate(self.benchmark.languages)
        }
        found = {language: test for language, test in tests.items() if test is not None}
        if not found:
            return {}
        return {
            "w": float(np.mean([test.w for test in found.values()])),
            "chance": float(np.mean([test.chance for test in found.values()])),
            "languages": {language: {"w": test.w, "p_value": test.p_value} for language, test in found.items()},
        }

    def _peer(self) -> dict[str, float]:
        """PEER's level of results that are not relevant; that of relevant ones is a constant, one in each language."""
        top_QK = self.rankings.top_QK
        relevant_QK = (top_QK[:, :, None] == self.gold_QM[:, None, :]).any(axis=2)
        rank_QK = np.where(relevant_QK, 0, np.arange(1, top_QK.shape[1] + 1))
        test = fairness.equal_ranks(rank_QK, self.language_QK, len(self.share_M))
        return {"non_relevant": self._macro(test.p_Q), "untested": self._macro(test.untested_Q)}

    def _geometry(self, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32]) -> dict[str, float]:
        """Of the gold candidates and their questions; uniformity of one gold candidate per paragraph and language."""
        query_QD, candidate_ND = geometry.unit(query_QD), geometry.unit(candidate_ND)
        paragraphs = {name: number for number, name in enumerate(sorted({q.paragraph for q in self.benchmark.queries}))}
        cluster_Q = np.array([paragraphs[query.paragraph] for query in self.benchmark.queries])
        row, language_E = np.nonzero(self.gold_QM >= 0)
        position_E, cluster_E = self.gold_QM[row, language_E], cluster_Q[row]
        each = np.unique(position_E, return_index=True)[1]
        first = np.unique(cluster_E * len(self.share_M) + language_E, return_index=True)[1]
        language_G, gold_GD = language_E[each], candidate_ND[position_E[each]]
        within, across = geometry.uniformity(candidate_ND[position_E[first]], language_E[first], cluster_E[first])
        values = {
            "centroid_variance_share": geometry.centroid_variance_share(gold_GD, language_G),
            "language_probe": geometry.language_probe(gold_GD, language_G, cluster_E[each]),
            "uniformity_within": within,
            "uniformity_across": across,
            **self._alignment(query_QD, candidate_ND),
        }
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _alignment(self, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32]) -> dict[str, float]:
        """Of questions with gold candidates of their own and of other languages, and of gold translations."""
        own_QM = self.own_Q[:, None] == np.arange(len(self.share_M))
        other_QM = ~own_QM & (self.gold_QM >= 0)
        home_QD = candidate_ND[self.gold_QM[own_QM]]
        golds = [candidate_ND[gold_Q] for gold_Q in self.gold_QM.T]
        answer_QM = np.stack([geometry.squared_distances(query_QD, gold_QD) for gold_QD in golds], axis=1)
        translation_QM = np.stack([geometry.squared_distances(home_QD, gold_QD) for gold_QD in golds], axis=1)
        return {
            "alignment_mono": geometry.mean(answer_QM[own_QM]),
            "alignment_cross": geometry.mean(answer_QM[other_QM]),
            "alignment_translations": geometry.mean(translation_QM[other_QM]),
        }


def _agreement(left_QK: NDArray[np.int64], right_QK: NDArray[np.int64]) -> dict[str, float]:
    return {
        "rbo": float(consistency.rank_biased_overlap(left_QK, right_QK, PERSISTENCE).mean()),
        "spearman@10": float(consistency.list_correlation(left_QK[:, :SHORT_LIST], right_QK[:, :SHORT_LIST]).mean()),
    }
