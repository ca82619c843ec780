"""MIRACL (Zhang et al. 2023): dev topics and judgements of miracl/miracl, passages of miracl/miracl-corpus."""

from __future__ import annotations

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.lines import json_lines
from mixlingual.data.sources.judged import (
    corpus_of,
    dataset_folder,
    judged_benchmark,
    kept_languages,
    matching,
    read_qrels,
    read_topics,
)
from mixlingual.records import JudgedBenchmark, JudgedTask

LANGUAGES = ("ar", "bn", "de", "en", "es", "fa", "fi", "fr", "hi", "id", "ja", "ko", "ru", "sw", "te", "th", "yo", "zh")


def load(config: EvaluationConfig) -> JudgedBenchmark:
    """Reads it from `config.root`, or fetches it from the hub."""
    kept, root = kept_languages("miracl", config.languages, LANGUAGES), config.folder
    topics = dataset_folder("miracl/miracl", [f"miracl-v1.0-{code}/*/*-dev.tsv" for code in kept], root)
    passages = dataset_folder("miracl/miracl-corpus", [f"miracl-corpus-v1.0-{code}/*" for code in kept], root)
    tasks = []
    for code in kept:
        split = f"miracl-v1.0-{code}"
        files = matching(passages / f"miracl-corpus-v1.0-{code}", "docs-*.jsonl*")
        tasks.append(
            JudgedTask(
                read_topics(topics / split / "topics" / f"topics.{split}-dev.tsv", code),
                code,
                corpus_of(f"miracl/{code}", code, files, json_lines, ["docid"]),
                read_qrels(topics / split / "qrels" / f"qrels.{split}-dev.tsv"),
            )
        )
    return judged_benchmark("miracl", tasks, ("ndcg@10", "r@100"), complete=len(kept) == len(LANGUAGES))
