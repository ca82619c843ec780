"""Reads MIRACL (Zhang et al. 2023): dev topics and judgements of miracl/miracl, passages of miracl/miracl-corpus."""

from __future__ import annotations

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.sources.judged import dataset_folder, judged_benchmark, judged_task, kept_languages, matching
from mixlingual.records import JudgedBenchmark

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
        asked, judged = (topics / split / kind / f"{kind}.{split}-dev.tsv" for kind in ("topics", "qrels"))
        tasks.append(judged_task(f"miracl/{code}", code, asked, judged, files))
    return judged_benchmark("miracl", tasks, ("ndcg@10", "r@100"), complete=len(kept) == len(LANGUAGES))
