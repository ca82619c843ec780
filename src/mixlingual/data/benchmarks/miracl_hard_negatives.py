"""Reads mteb/MIRACLRetrievalHardNegatives: Parquet files in CODE-corpus/, CODE-queries/ and CODE-qrels/."""

from __future__ import annotations

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.benchmarks.miracl import LANGUAGES
from mixlingual.data.lines import id_of, text_of
from mixlingual.data.sources.judged import (
    add_judgement,
    corpus_of,
    dataset_folder,
    judged_benchmark,
    kept_languages,
    matching,
    parquet_rows,
    unique_queries,
)
from mixlingual.records import JudgedBenchmark, JudgedTask, Query

_NOTE = (
    "candidates are the pooled top 250 of BM25 and two encoders, and ar, fi and ru have 1,000 queries: not comparable "
    "with MIRACL over its whole corpora"
)


def load(config: EvaluationConfig) -> JudgedBenchmark:
    """Reads it from `config.root`, or fetches it from the hub."""
    name = "miracl_hard_negatives"
    kept = kept_languages(name, config.languages, LANGUAGES)
    patterns = [f"{code}-*/*.parquet" for code in kept]
    folder = dataset_folder("mteb/MIRACLRetrievalHardNegatives", patterns, config.folder)
    tasks = []
    for code in kept:
        qrels: dict[str, dict[str, int]] = {}
        for path in matching(folder / f"{code}-qrels", "*.parquet"):
            for where, row in parquet_rows(path):
                add_judgement(
                    qrels, id_of(row, "query-id", where), id_of(row, "corpus-id", where), row.get("score"), where
                )
        queries = []
        for path in matching(folder / f"{code}-queries", "*.parquet"):
            for where, row in parquet_rows(path):
                key = id_of(row, "_id" if "_id" in row else "id", where)
                queries.append(Query(key, code, text_of(row, "text", where), key))
        files = matching(folder / f"{code}-corpus", "*.parquet")
        corpus = corpus_of(f"{name}/{code}", code, files, parquet_rows, ["_id", "id"])
        tasks.append(JudgedTask(unique_queries(queries, folder / f"{code}-queries"), code, corpus, qrels))
    complete = len(kept) == len(LANGUAGES)
    return judged_benchmark(name, tasks, ("ndcg@10", "r@100"), complete=complete, note=_NOTE)
