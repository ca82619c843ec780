"""LAReQA's retrieval tasks, scored in three settings from one embedding of each text.

`mono`: queries of one language against the candidates of that language. `cross`: queries of one language
against the candidates of one other language, for every ordered pair. `multi`: queries of one language
against the candidates of all languages, where every language's gold candidate is relevant.

Shape suffixes: Q queries, N candidates, M languages of the benchmark, D width of the embedding, R slots for
the ranks of relevant candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixlingual.evaluation.language_bias import normalized_rank_distance, rank_distance
from mixlingual.evaluation.metrics import Ranks, average_precision, recall_at_k
from mixlingual.evaluation.ranking import gold_ranks
from mixlingual.records import Benchmark, DataError

POOL = "all"
"""The `candidate_language` of the multilingual pool in the per-query table."""

_METRIC_COLUMNS = ("ap", "r@1", "r@10", "rank_distance", "rank_distance_normalized")

PER_QUERY_COLUMNS = (
    *("benchmark", "setting", "query", "paragraph", "query_language", "candidate_language"),
    *_METRIC_COLUMNS,
)


@dataclass(frozen=True)
class BenchmarkScores:
    """Scores of one encoder on one benchmark.

    `metrics` holds JSON types only, without NaN: a setting or measure that no query defines (`cross` of a
    single language, the rank distance of queries with one gold candidate) is left out.
    `per_query` has `PER_QUERY_COLUMNS`, one row for each query of each setting and candidate language.
    """

    metrics: dict[str, Any]
    per_query: pd.DataFrame


def score_benchmark(
    benchmark: Benchmark, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32]
) -> BenchmarkScores:
    """Rank all candidates for every query by inner product and score the three settings.

    A language or pair scores the mean over its queries; `map`, `r@1` and `r@10` of a setting are macro
    means over its languages or pairs. The rank distance of `multi` is averaged likewise, over the queries with
    gold candidates in at least two languages; `rank_distance_median` is the macro mean of the languages'
    medians, which single far-off translations do not drive.

    Args:
        benchmark: what the embeddings belong to.
        query_QD: [Q, D] embeddings in the order of `benchmark.queries`.
        candidate_ND: [N, D] embeddings in the order of `benchmark.candidates`.

    Raises:
        DataError: embeddings of the wrong number or width, or not finite.
    """
    _check(benchmark, query_QD, candidate_ND)
    own_QM, pooled_QM = gold_ranks(benchmark, query_QD, candidate_ND)
    table = _per_query(benchmark, own_QM, pooled_QM)
    metrics = {
        "fingerprint": benchmark.fingerprint,
        "languages": list(benchmark.languages),
        "complete": benchmark.complete,
        "queries": len(benchmark.queries),
        "candidates": len(benchmark.candidates),
        **_aggregate(table),
    }
    return BenchmarkScores(metrics, table.astype(dict.fromkeys(_METRIC_COLUMNS, np.float32)))


def _check(benchmark: Benchmark, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32]) -> None:
    assert query_QD.dtype == candidate_ND.dtype == np.float32
    for side, embedding, records in (
        ("query", query_QD, benchmark.queries),
        ("candidate", candidate_ND, benchmark.candidates),
    ):
        if embedding.ndim != 2 or len(embedding) != len(records) or embedding.shape[1] != query_QD.shape[-1]:
            raise DataError(
                f"{benchmark.name}: got {side} embeddings of shape {list(embedding.shape)}; expected one row for each "
                f"of its {len(records)} texts, as wide as the query embeddings ({query_QD.shape[-1]})"
            )
        bad = np.flatnonzero(~np.isfinite(embedding).all(axis=1))
        if bad.size:
            raise DataError(
                f"{benchmark.name}: {bad.size} of {len(records)} {side} embeddings hold NaN or infinity, first that of "
                f"{records[bad[0]].id} ({records[bad[0]].language}). Look for a diverged training loss, or set "
                "evaluation.precision=fp32"
            )


def _per_query(benchmark: Benchmark, own_QM: Ranks, pooled_QM: Ranks) -> pd.DataFrame:
    """The per-query table in float64: monolingual rows, then cross-lingual, then of the pool."""
    language_Q = np.array([query.language for query in benchmark.queries])
    column = {language: position for position, language in enumerate(benchmark.languages)}
    same = [(language, language) for language in benchmark.languages]
    parts = []
    for query_language, candidate_language in (*same, *permutations(benchmark.languages, 2)):
        rank_Q = own_QM[:, column[candidate_language]]
        chosen = np.flatnonzero((language_Q == query_language) & (rank_Q > 0))
        setting = "mono" if query_language == candidate_language else "cross"
        parts.append(_rows(benchmark, setting, candidate_language, chosen, rank_Q[chosen, None]))
    for query_language in benchmark.languages:
        chosen = np.flatnonzero((language_Q == query_language) & (pooled_QM > 0).any(axis=1))
        rows = _rows(benchmark, "multi", POOL, chosen, pooled_QM[chosen])
        rows["rank_distance"] = rank_distance(pooled_QM[chosen])
        rows["rank_distance_normalized"] = normalized_rank_distance(pooled_QM[chosen], len(benchmark.candidates))
        parts.append(rows)
    return pd.concat([rows for rows in parts if len(rows)], ignore_index=True)


def _rows(
    benchmark: Benchmark, setting: str, candidate_language: str, chosen: NDArray[np.int64], rank_QR: Ranks
) -> pd.DataFrame:
    queries = [benchmark.queries[q] for q in chosen]
    return pd.DataFrame(
        {
            "benchmark": benchmark.name,
            "setting": setting,
            "query": [query.id for query in queries],
            "paragraph": [query.paragraph for query in queries],
            "query_language": [query.language for query in queries],
            "candidate_language": candidate_language,
            "ap": average_precision(rank_QR),
            "r@1": recall_at_k(rank_QR, 1),
            "r@10": recall_at_k(rank_QR, 10),
            "rank_distance": np.nan,
            "rank_distance_normalized": np.nan,
        }
    )


def _aggregate(table: pd.DataFrame) -> dict[str, Any]:
    """Setting -> macro means, and the means of each of its languages or pairs."""
    pair = table["query_language"] + "-" + table["candidate_language"]
    sections: dict[str, Any] = {}
    for setting, label, key in (
        ("mono", "languages", table["query_language"]),
        ("cross", "pairs", pair),
        ("multi", "languages", table["query_language"]),
    ):
        chosen = table["setting"] == setting
        if chosen.any():
            means = {str(name): _means(rows) for name, rows in table[chosen].groupby(key[chosen], sort=False)}
            measures = dict.fromkeys(measure for part in means.values() for measure in part if measure != "queries")
            macro = {m: float(np.mean([part[m] for part in means.values() if m in part])) for m in measures}
            sections[setting] = {**macro, label: means}
    return sections


def _means(rows: pd.DataFrame) -> dict[str, float | int]:
    """Means over the queries of one language or pair."""
    means: dict[str, float | int] = {"map": float(rows["ap"].mean())}
    means |= {measure: float(rows[measure].mean()) for measure in ("r@1", "r@10")}
    if rows["rank_distance"].notna().any():
        means["rank_distance"] = float(rows["rank_distance"].mean())
        means["rank_distance_normalized"] = float(rows["rank_distance_normalized"].mean())
        means["rank_distance_median"] = float(rows["rank_distance"].median())
    return {**means, "queries": len(rows)}
