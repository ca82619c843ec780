"""Reads Mr. TyDi (Zhang et al. 2021): test topics of castorini/mr-tydi, passages of castorini/mr-tydi-corpus."""

from __future__ import annotations

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.sources.judged import dataset_folder, judged_benchmark, judged_task, kept_languages, matching
from mixlingual.records import JudgedBenchmark

LANGUAGES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ja": "japanese",
    "ko": "korean", "ru": "russian", "sw": "swahili", "te": "telugu", "th": "thai",
}  # fmt: skip


def load(config: EvaluationConfig) -> JudgedBenchmark:
    """Reads it from `config.root`, or fetches it from the hub."""
    kept, root = kept_languages("mr_tydi", config.languages, list(LANGUAGES)), config.folder
    names = {code: f"mrtydi-v1.1-{LANGUAGES[code]}" for code in kept}
    topics = dataset_folder("castorini/mr-tydi", [f"{name}/ir-format-data/*.test.txt" for name in names.values()], root)
    passages = dataset_folder("castorini/mr-tydi-corpus", [f"{name}/*" for name in names.values()], root)
    tasks = []
    for code, name in names.items():
        asked, judged = (topics / name / "ir-format-data" / f"{kind}.test.txt" for kind in ("topics", "qrels"))
        files = matching(passages / name, "corpus.jsonl*")
        tasks.append(judged_task(f"mr_tydi/{code}", code, asked, judged, files))
    return judged_benchmark("mr_tydi", tasks, ("mrr@100", "r@100"), complete=len(kept) == len(LANGUAGES))
