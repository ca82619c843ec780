"""Scores LAReQA's retrieval tasks in three settings from one embedding of each text.

`mono`: queries of one language against the candidates of that language. `cross`: queries of one language
against the candidates of one other language, for every ordered pair. `multi`: queries of one language
against the candidates of all languages, where every language's gold candidates are relevant.

Shape suffixes: Q queries, N candidates, M languages of the benchmark, D width of the embedding, R slots for
the ranks of relevant candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixlingual.evaluation.groups import aggregate
from mixlingual.evaluation.inner_products import check_range
from mixlingual.evaluation.ranking import rank
from mixlingual.measures.registry import (
    bias_figures,
    depth_columns,
    question_columns,
    rank_columns,
    scores_of_questions,
    scores_of_ranks,
)
from mixlingual.measures.retrieval import Ranked, Rankings, Retrieval, Scores, gains
from mixlingual.records import Benchmark, DataError

POOL = "all"
"""The `candidate_language` of the multilingual pool in the per-query table."""

DEPTH = 100
"""Best candidates of the pool that are kept for the measures of whole lists."""

_KEYS = ("benchmark", "setting", "query", "paragraph", "query_language", "candidate_language")


def per_query_columns(cutoffs: Sequence[int] = ()) -> tuple[str, ...]:
    """Lists the columns of the per-query table: what a row is about, then measures of every setting and of the pool."""
    return tuple(dict.fromkeys((*_KEYS, *rank_columns(), *question_columns(), *depth_columns(cutoffs))))


@dataclass(frozen=True)
class BenchmarkScores:
    """What one encoder scores on one benchmark.

    `metrics` holds JSON types only, without NaN: a setting or measure that no query defines (`cross` of a
    single language, the rank distance of queries with one gold candidate) is left out.
    `per_query` has `per_query_columns`, one row for each query of each setting and candidate language. Rows of
    one `paragraph` are not independent, nor are those of one `query` in several languages.
    """

    metrics: dict[str, Any]
    per_query: pd.DataFrame
    top_QK: NDArray[np.int64] | None = None
    """Positions of the best candidates of the pool for each query, best first; None for judged benchmarks."""
    top_score_QK: NDArray[np.float32] | None = None
    """The scores that they were ranked by."""


def score_benchmark(
    benchmark: Benchmark,
    query_QD: NDArray[np.float32],
    candidate_ND: NDArray[np.float32],
    cutoffs: Sequence[int] = (),
) -> BenchmarkScores:
    """Ranks all candidates for every query by inner product and scores the three settings.

    `map` is LAReQA's: AP over the full ranking, equal scores as one threshold. `mrr`, `ndcg@10` and `r@k` break
    ties by candidate id, as trec_eval does. A language or pair scores the mean over its queries; the figures of a
    setting are macro means over its languages or pairs, and `micro` holds means over all its queries. `cross` also
    has macro means for each query language and each candidate language. `multi` also has the language-bias measures
    of single queries (`registry.question_columns`), averaged over the queries that define them. `bias` holds the
    others.

    Args:
        benchmark: what the embeddings belong to.
        query_QD: [Q, D] embeddings in the order of `benchmark.queries`.
        candidate_ND: [N, D] embeddings in the order of `benchmark.candidates`.
        cutoffs: further depths k of ndcg@k and r@k, which become columns as well.

    Raises:
        DataError: embeddings of the wrong number or width, not finite, or whose scores leave the range of fp32.
    """
    _check(benchmark, query_QD, candidate_ND)
    rankings = rank(benchmark, query_QD, candidate_ND, DEPTH)
    found = Retrieval(benchmark, rankings, query_QD, candidate_ND) if len(benchmark.languages) > 1 else None
    table = _per_query(benchmark, rankings, scores_of_questions(found) if found else {}, cutoffs)
    metrics = {
        "fingerprint": benchmark.fingerprint,
        "languages": list(benchmark.languages),
        "complete": benchmark.complete,
        "unit": benchmark.unit,
        "queries": len(benchmark.queries),
        "candidates": len(benchmark.candidates),
        **aggregate(table),
        **({"bias": bias_figures(found)} if found else {}),
    }
    per_query = table.astype(dict.fromkeys(table.columns[len(_KEYS) :], np.float32))
    return BenchmarkScores(metrics, per_query, rankings.top_QK, rankings.top_score_QK)


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
    check_range(benchmark.name, query_QD, candidate_ND)


def _per_query(
    benchmark: Benchmark, rankings: Rankings, bias: dict[str, Scores], cutoffs: Sequence[int]
) -> pd.DataFrame:
    """Makes the per-query table in float64: monolingual rows, cross-lingual ones, those of the pool with its bias."""
    language_Q = np.array([query.language for query in benchmark.queries])
    keys = pd.DataFrame(
        {
            "benchmark": benchmark.name,
            "query": [query.id for query in benchmark.queries],
            "paragraph": [query.paragraph for query in benchmark.queries],
            "query_language": language_Q,
        }
    )
    column = {language: position for position, language in enumerate(benchmark.languages)}
    same = [(language, language) for language in benchmark.languages]
    gain_QR = gains(benchmark)
    own = Ranked(rankings.own_QR, rankings.own_last_QR, gain_QR)
    parts = []
    for query_language, candidate_language in (*same, *permutations(benchmark.languages, 2)):
        slots = slice(column[candidate_language], None, len(column))
        chosen = np.flatnonzero((language_Q == query_language) & (own.rank_QR[:, slots] > 0).any(axis=1))
        setting = "mono" if query_language == candidate_language else "cross"
        parts.append(_rows(keys.iloc[chosen], setting, candidate_language, own.part(chosen, slots), cutoffs))
    pool = Ranked(rankings.pooled_QR, rankings.pooled_last_QR, gain_QR)
    pooled = _rows(keys, "multi", POOL, pool, cutoffs).assign(**bias)
    by_language = pooled["query_language"].map(column).argsort(kind="stable")
    table = pd.concat([rows for rows in (*parts, pooled.iloc[by_language]) if len(rows)], ignore_index=True)
    return table.reindex(columns=list(per_query_columns(cutoffs)))


def _rows(
    keys: pd.DataFrame, setting: str, candidate_language: str, ranked: Ranked, cutoffs: Sequence[int]
) -> pd.DataFrame:
    scores = scores_of_ranks(ranked, cutoffs)
    return keys.assign(setting=setting, candidate_language=candidate_language, **scores)
