"""Reads Belebele (Bandarkar et al. 2024), facebook/belebele: questions in each language, and with English both ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.lines import id_of, json_lines, text_of
from mixlingual.data.sources.judged import dataset_folder, judged_benchmark, kept_languages, matching
from mixlingual.records import Candidate, Corpus, JudgedBenchmark, JudgedTask, Query, fingerprint

_ENGLISH = "eng_Latn"
_NOTE = "passages are few and parallel: comparable with mteb's pairs only in kind, since those key questions by text"


class _Reading(NamedTuple):
    """Holds one language of Belebele."""

    queries: tuple[Query, ...]
    corpus: Corpus
    passage_of: dict[str, str]
    """Question id -> id of its passage."""


def load(config: EvaluationConfig) -> JudgedBenchmark:
    """Reads it from `config.root`, or fetches it from the hub."""
    folder = dataset_folder("facebook/belebele", ["data/*.jsonl"], config.folder) / "data"
    known = [path.stem for path in matching(folder, "*.jsonl")]
    kept = kept_languages("belebele", config.languages, sorted(known))
    read = {code: _read(folder / f"{code}.jsonl", code) for code in kept}
    pairs = [(code, code) for code in kept]
    if _ENGLISH in kept:
        pairs += [pair for code in kept if code != _ENGLISH for pair in ((code, _ENGLISH), (_ENGLISH, code))]
    tasks = []
    for asked, answered in pairs:
        questions = tuple(query for query in read[asked].queries if query.id in read[answered].passage_of)
        qrels = {query.id: {read[answered].passage_of[query.id]: 1} for query in questions}
        tasks.append(JudgedTask(questions, asked, read[answered].corpus, qrels))
    return judged_benchmark("belebele", tasks, ("ndcg@10", "r@100"), complete=len(kept) == len(known), note=_NOTE)


def _read(path: Path, code: str) -> _Reading:
    """Questions are LINK#NUMBER, a passage has the id of its first question; a repeated id gets its count."""
    queries: list[Query] = []
    passage_of: dict[str, str] = {}
    texts: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for where, row in json_lines(path):
        key = f"{id_of(row, 'link', where)}#{id_of(row, 'question_number', where)}"
        seen[key] += 1
        key = key if seen[key] == 1 else f"{key}#{seen[key]}"
        passage_of[key] = texts.setdefault(text_of(row, "flores_passage", where), key)
        queries.append(Query(key, code, text_of(row, "question", where), passage_of[key]))

    def passages() -> Iterator[Candidate]:
        return (Candidate(identity, code, text) for text, identity in texts.items())

    return _Reading(tuple(queries), Corpus(f"belebele/{code}", code, passages, fingerprint(texts)), passage_of)
