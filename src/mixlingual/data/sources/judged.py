"""Benchmarks with judged passages: MIRACL, its hard negatives, Mr. TyDi, Belebele and MKQA, as they are published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mixlingual.data.sources.judged_files import (
    corpus_of,
    dataset_folder,
    json_lines,
    kept_languages,
    matching,
    parquet_rows,
    read_qrels,
    read_topics,
    unique_queries,
)
from mixlingual.records import Candidate, Corpus, DataError, JudgedBenchmark, JudgedTask, Query, fingerprint

MIRACL = ("ar", "bn", "de", "en", "es", "fa", "fi", "fr", "hi", "id", "ja", "ko", "ru", "sw", "te", "th", "yo", "zh")
MR_TYDI = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ja": "japanese",
    "ko": "korean", "ru": "russian", "sw": "swahili", "te": "telugu", "th": "thai",
}  # fmt: skip
_NOTE_HARD_NEGATIVES = (
    "candidates are the pooled top 250 of BM25 and two encoders, and ar, fi and ru have 1,000 queries: not comparable "
    "with MIRACL over its whole corpora"
)
_NOTE_MKQA = "recall of answer strings in English passages, as BGE-M3 reports it: not comparable with judged passages"
_NOTE_PARALLEL = (
    "passages are few and parallel: comparable with mteb's pairs only in kind, since those key questions by text"
)


def load_judged(name: str, root: Path | None, languages: list[str] | None) -> JudgedBenchmark:
    """A judged benchmark by its name, in all its languages or in those listed.

    Args:
        name: one of `config.JUDGED_BENCHMARKS`.
        root: folder that holds the hub data sets under their names. None: fetched from the hub.
        languages: codes to keep, or None for all.

    Raises:
        DataError: files are missing or malformed, or a language is not in the benchmark.
    """
    loaders = {
        "miracl": _miracl, "miracl_hard_negatives": _miracl_hard_negatives, "mr_tydi": _mr_tydi,
        "belebele": _belebele, "mkqa": _mkqa,
    }  # fmt: skip
    return loaders[name](root, languages)


def _benchmark(
    name: str, tasks: list[JudgedTask], measures: tuple[str, ...], *, complete: bool, note: str = ""
) -> JudgedBenchmark:
    for task in tasks:
        unjudged = [query.id for query in task.queries if query.id not in task.qrels and query.id not in task.answers]
        if unjudged:
            raise DataError(
                f"{name}, {task.language}: {len(unjudged)} queries have no judgement, the first is {unjudged[0]}; "
                "topics and qrels must be of one split"
            )
    parts = [name]
    for task in tasks:
        parts += [task.corpus.name, task.corpus.fingerprint, *(part for q in task.queries for part in (q.id, q.text))]
        parts += [f"{query} {passage} {rel}" for query, row in task.qrels.items() for passage, rel in row.items()]
    return JudgedBenchmark(name, tuple(tasks), measures, fingerprint(parts), complete, note)


def _miracl(root: Path | None, languages: list[str] | None) -> JudgedBenchmark:
    """Dev topics and qrels of miracl/miracl, passages of miracl/miracl-corpus (Zhang et al. 2023)."""
    kept = kept_languages("miracl", languages, MIRACL)
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
    return _benchmark("miracl", tasks, ("ndcg@10", "r@100"), complete=len(kept) == len(MIRACL))


def _miracl_hard_negatives(root: Path | None, languages: list[str] | None) -> JudgedBenchmark:
    """The Parquet files of mteb/MIRACLRetrievalHardNegatives: CODE-corpus/, CODE-queries/ and CODE-qrels/."""
    kept = kept_languages("miracl_hard_negatives", languages, MIRACL)
    folder = dataset_folder("mteb/MIRACLRetrievalHardNegatives", [f"{code}-*/*.parquet" for code in kept], root)
    tasks = []
    for code in kept:
        qrels: dict[str, dict[str, int]] = {}
        for path in matching(folder / f"{code}-qrels", "*.parquet"):
            for row in parquet_rows(path):
                qrels.setdefault(str(row["query-id"]), {})[str(row["corpus-id"])] = int(row["score"])
        queries = [
            Query(str(row.get("_id", row.get("id"))), code, row["text"], str(row.get("_id", row.get("id"))))
            for path in matching(folder / f"{code}-queries", "*.parquet")
            for row in parquet_rows(path)
        ]
        files = matching(folder / f"{code}-corpus", "*.parquet")
        corpus = corpus_of(f"miracl_hard_negatives/{code}", code, files, parquet_rows, ["_id", "id"])
        tasks.append(JudgedTask(unique_queries(queries, folder / f"{code}-queries"), code, corpus, qrels))
    return _benchmark(
        "miracl_hard_negatives",
        tasks,
        ("ndcg@10", "r@100"),
        complete=len(kept) == len(MIRACL),
        note=_NOTE_HARD_NEGATIVES,
    )


def _mr_tydi(root: Path | None, languages: list[str] | None) -> JudgedBenchmark:
    """Test topics and qrels of castorini/mr-tydi, passages of castorini/mr-tydi-corpus (Zhang et al. 2021)."""
    kept = kept_languages("mr_tydi", languages, list(MR_TYDI))
    names = {code: f"mrtydi-v1.1-{MR_TYDI[code]}" for code in kept}
    topics = dataset_folder("castorini/mr-tydi", [f"{name}/ir-format-data/*.test.txt" for name in names.values()], root)
    passages = dataset_folder("castorini/mr-tydi-corpus", [f"{name}/*" for name in names.values()], root)
    tasks = []
    for code, name in names.items():
        files = matching(passages / name, "corpus.jsonl*")
        tasks.append(
            JudgedTask(
                read_topics(topics / name / "ir-format-data" / "topics.test.txt", code),
                code,
                corpus_of(f"mr_tydi/{code}", code, files, json_lines, ["docid"]),
                read_qrels(topics / name / "ir-format-data" / "qrels.test.txt"),
            )
        )
    return _benchmark("mr_tydi", tasks, ("mrr@100", "r@100"), complete=len(kept) == len(MR_TYDI))


class _Reading(NamedTuple):
    """One language of Belebele."""

    queries: tuple[Query, ...]
    corpus: Corpus
    passage_of: dict[str, str]
    """Question id -> id of its passage."""


def _belebele(root: Path | None, languages: list[str] | None) -> JudgedBenchmark:
    """data/CODE.jsonl of facebook/belebele (Bandarkar et al. 2024): in each language, and with English both ways."""
    folder = dataset_folder("facebook/belebele", ["data/*.jsonl"], root) / "data"
    known = [path.stem for path in matching(folder, "*.jsonl")]
    kept = kept_languages("belebele", languages, sorted(known))
    read = {code: _read_belebele(folder / f"{code}.jsonl", code) for code in kept}
    english = "eng_Latn"
    pairs = [(code, code) for code in kept]
    if english in kept:
        pairs += [pair for code in kept if code != english for pair in ((code, english), (english, code))]
    tasks = []
    for asked, answered in pairs:
        questions = tuple(query for query in read[asked].queries if query.id in read[answered].passage_of)
        qrels = {query.id: {read[answered].passage_of[query.id]: 1} for query in questions}
        tasks.append(JudgedTask(questions, asked, read[answered].corpus, qrels))
    return _benchmark("belebele", tasks, ("ndcg@10", "r@100"), complete=len(kept) == len(known), note=_NOTE_PARALLEL)


def _read_belebele(path: Path, code: str) -> _Reading:
    """Questions are LINK#NUMBER, a passage has the id of its first question; a repeated id gets its count."""
    queries: list[Query] = []
    passage_of: dict[str, str] = {}
    texts: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for number, row in enumerate(json_lines(path), start=1):
        try:
            key, text, question = f"{row['link']}#{row['question_number']}", row["flores_passage"], row["question"]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: is not a question of Belebele ({error!r})") from error
        seen[key] += 1
        key = key if seen[key] == 1 else f"{key}#{seen[key]}"
        passage_of[key] = texts.setdefault(text, key)
        queries.append(Query(key, code, question, key))

    def passages() -> Iterator[Candidate]:
        return (Candidate(identity, code, text) for text, identity in texts.items())

    clustered = tuple(Query(q.id, code, q.text, passage_of[q.id]) for q in queries)
    return _Reading(clustered, Corpus(f"belebele/{code}", code, passages, fingerprint(texts)), passage_of)


def _mkqa(root: Path | None, languages: list[str] | None) -> JudgedBenchmark:
    """MKQA in BGE-M3's form: CODE.jsonl of {id, question, answers} in mkqa/, the English passages of BeIR/nq.

    The questions come in a zip file of Shitao/bge-m3-data, hence from a folder only.
    """
    if root is None or not (root / "mkqa").is_dir():
        raise DataError(
            "mkqa needs evaluation.root=FOLDER with the unpacked MKQA_test-data.zip of the hub data set "
            "Shitao/bge-m3-data as FOLDER/mkqa and the data set BeIR/nq as FOLDER/nq"
        )
    known = sorted(path.stem for path in matching(root / "mkqa", "*.jsonl"))
    kept = kept_languages("mkqa", languages, known)
    corpus = corpus_of("mkqa/en", "en", matching(root / "nq", "corpus.jsonl*"), json_lines, ["_id"])
    tasks = []
    for code in kept:
        path = root / "mkqa" / f"{code}.jsonl"
        rows = list(json_lines(path))
        if any(not isinstance(row, dict) or not {"id", "question", "answers"} <= row.keys() for row in rows):
            raise DataError(f"{path}: every line needs id, question and answers; put the published file there")
        if flat := [row["id"] for row in rows if not isinstance(row["answers"], list)]:
            raise DataError(f"{path}: the answers of question {flat[0]} are no list; put the published file there")
        queries = [Query(str(row["id"]), code, row["question"], str(row["id"])) for row in rows]
        answers = {str(row["id"]): tuple(row["answers"]) for row in rows}
        tasks.append(JudgedTask(unique_queries(queries, path), code, corpus, {}, answers))
    return _benchmark(
        "mkqa", tasks, ("answer_recall@20", "answer_recall@100"), complete=len(kept) == len(known), note=_NOTE_MKQA
    )
