"""Reads MKQA in BGE-M3's form: CODE.jsonl of {id, question, answers} in mkqa/, the English passages of BeIR/nq.

The questions come in a zip file of Shitao/bge-m3-data, hence from a folder only.
"""

from __future__ import annotations

from pathlib import Path

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.lines import Row, described, id_of, json_lines, text_of
from mixlingual.data.sources.judged import corpus_of, judged_benchmark, kept_languages, matching, unique_queries
from mixlingual.records import Corpus, DataError, JudgedBenchmark, JudgedTask, Query

_NOTE = "recall of answer strings in English passages, as BGE-M3 reports it: not comparable with judged passages"


def load(config: EvaluationConfig) -> JudgedBenchmark:
    """Reads it from `config.root`."""
    root = config.folder
    if root is None or not (root / "mkqa").is_dir():
        raise DataError(
            "mkqa needs evaluation.root=FOLDER with the unpacked MKQA_test-data.zip of the hub data set "
            "Shitao/bge-m3-data as FOLDER/mkqa and the data set BeIR/nq as FOLDER/nq"
        )
    known = sorted(path.stem for path in matching(root / "mkqa", "*.jsonl"))
    kept = kept_languages("mkqa", config.languages, known)
    corpus = corpus_of("mkqa/en", "en", matching(root / "nq", "corpus.jsonl*"), json_lines, ["_id"])
    tasks = [_task(root / "mkqa" / f"{code}.jsonl", code, corpus) for code in kept]
    measures = ("answer_recall@20", "answer_recall@100")
    return judged_benchmark("mkqa", tasks, measures, complete=len(kept) == len(known), note=_NOTE)


def _task(path: Path, code: str, corpus: Corpus) -> JudgedTask:
    queries, answers = [], {}
    for where, row in json_lines(path):
        key = id_of(row, "id", where)
        queries.append(Query(key, code, text_of(row, "question", where), key))
        answers[key] = _answers(row, where)
    return JudgedTask(unique_queries(queries, path), code, corpus, {}, answers)


def _answers(row: Row, where: str) -> tuple[str, ...]:
    answers = row.get("answers")
    if not isinstance(answers, list):
        raise DataError(f"{where}: answers is {described(answers)}, no list; put the published file there")
    for number, answer in enumerate(answers):
        if not isinstance(answer, str):
            raise DataError(f"{where}: answers[{number}] is {described(answer)}; every answer must be a text")
    return tuple(answers)
