"""Computes the figures of a judged benchmark from lists of passages, as trec_eval does with -c and -M 100.

Lists are cut at 100 passages before any measure. Every query counts, also one that finds nothing or that only the
qrels name: it scores 0. Shape suffixes: Q queries, K passages of a list.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixlingual.evaluation.groups import macro
from mixlingual.evaluation.judged_metrics import holds_any, tokens
from mixlingual.evaluation.protocol import BenchmarkScores
from mixlingual.evaluation.trec import Run, read_run, write_qrels, write_run
from mixlingual.measures.judged import ANSWER_DEPTHS, DEPTH
from mixlingual.measures.measure import OF_LISTS
from mixlingual.records import DataError, JudgedBenchmark, JudgedTask

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lists:
    """Holds what a search found for the queries of a task, in their order."""

    ids: list[list[str]]
    scores: list[list[float]]
    positions: NDArray[np.int64]
    """[Q, K] positions of the passages in their corpus."""


def judged_scores(benchmark: JudgedBenchmark, rows: Sequence[pd.DataFrame], how: dict[str, Any]) -> BenchmarkScores:
    """Returns a benchmark's figures from the rows of its tasks, with what is to be said about its search."""
    table = pd.concat(rows, ignore_index=True)
    metrics = {
        "fingerprint": benchmark.fingerprint,
        "languages": list(benchmark.languages),
        "complete": benchmark.complete,
        "queries": len(table),
        **how,
        **({"note": benchmark.note} if benchmark.note else {}),
        **_sections(table, benchmark.measures),
    }
    return BenchmarkScores(metrics, table.astype(dict.fromkeys(benchmark.measures, np.float32)))


def score_runs(benchmark: JudgedBenchmark, folder: Path) -> BenchmarkScores:
    """Scores another system's TREC runs: FOLDER/BENCHMARK/QUERY_LANGUAGE-PASSAGE_LANGUAGE.trec, or .trec.gz.

    A query that a run lacks scores 0, one that the benchmark lacks counts for nothing; a warning counts both.

    Raises:
        DataError: a run is missing or malformed or has none of the queries, or the benchmark looks for answers in
            passages, which runs lack.
    """
    rows = []
    for task in benchmark.tasks:
        if task.answers:
            raise DataError(f"{benchmark.name} looks for answers in passages; its runs cannot be scored without them")
        path = Path(folder, benchmark.name, f"{_name(task)}.trec")
        path = path if path.is_file() else path.with_name(f"{path.name}.gz")
        run = read_run(path)
        _compare_queries(path, run, task)
        ranked = {query: [passage for passage, _ in hits] for query, hits in run.items()}
        rows.append(_rows(benchmark, task, _judged(task, ranked, benchmark.measures)))
    return judged_scores(benchmark, rows, {"search": "runs of another system"})


def _compare_queries(path: Path, run: Run, task: JudgedTask) -> None:
    unknown = [query for query in run if query not in task.qrels]
    missing = [query for query in task.qrels if query not in run]
    if len(missing) == len(task.qrels):
        raise DataError(
            f"{path} has none of the {len(missing)} judged queries, as {missing[0]}, but {len(run)} others, as "
            f"{next(iter(run), 'none')}; see whether it is the run of this benchmark, split and language"
        )
    if missing:
        log.warning("%s lacks %d judged queries, which score 0; the first is %s", path, len(missing), missing[0])
    if unknown:
        log.warning("%s has %d queries without judgement, left out; the first is %s", path, len(unknown), unknown[0])


def task_rows(
    benchmark: JudgedBenchmark, task: JudgedTask, lists: Lists, first_answer_Q: NDArray[np.float64]
) -> pd.DataFrame:
    """Returns the per-query rows of a task from what a search found; `first_answer_Q` is from `first_answers`."""
    if task.answers:
        return _rows(benchmark, task, _answered(task, first_answer_Q))
    ranked = dict(zip((query.id for query in task.queries), lists.ids))
    return _rows(benchmark, task, _judged(task, ranked, benchmark.measures))


def first_answers(tasks: Sequence[JudgedTask], lists: Sequence[Lists]) -> list[NDArray[np.float64]]:
    """Returns [Q] for each task: the rank of the first passage that holds an answer, infinity if none does.

    The corpus, which all tasks share, is read once for all of them, and not at all where none looks for answers. One
    passage is held at a time.

    Args:
        tasks: one may come several times, with other lists.
        lists: of each task, all of one length.
    """
    answers = [[tokens(answer) for answer in task.answers.get(q.id, ())] for task in tasks for q in task.queries]
    first_Q = np.full(len(answers), np.inf)
    if any(answers):
        position_L = np.concatenate([one.positions for one in lists]).ravel()
        order_L = np.argsort(position_L, kind="stable")
        depth, position_L = lists[0].positions.shape[1], position_L[order_L]
        for position, passage in enumerate(tasks[0].corpus):
            low, high = np.searchsorted(position_L, (position, position + 1)).tolist()
            text = tokens(passage.text) if low < high else ""
            for query, place in (divmod(n, depth) for n in order_L[low:high].tolist()):
                if place + 1 < first_Q[query] and holds_any(text, answers[query]):
                    first_Q[query] = place + 1
    return np.split(first_Q, np.cumsum([len(task.queries) for task in tasks])[:-1])


def _rows(benchmark: JudgedBenchmark, task: JudgedTask, values: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Returns one row for each query of the topics and of the qrels, which may name others."""
    paragraph = {query.id: query.paragraph for query in task.queries}
    return pd.DataFrame(
        {
            "benchmark": benchmark.name,
            "setting": "mono" if task.language == task.corpus.language else "cross",
            "query": list(values),
            "paragraph": [paragraph.get(query, query) for query in values],
            "query_language": task.language,
            "candidate_language": task.corpus.language,
            **{name: [row[name] for row in values.values()] for name in benchmark.measures},
        }
    )


def _judged(
    task: JudgedTask, ranked: Mapping[str, Sequence[str]], measures: Sequence[str]
) -> dict[str, dict[str, float]]:
    return {
        query: {name: OF_LISTS[name](ranked.get(query, [])[:DEPTH], judged) for name in measures}
        for query, judged in task.qrels.items()
    }


def export_task(folder: Path, task: JudgedTask, lists: Lists) -> None:
    """Writes the run, and the qrels where there are any, under the published ids."""
    names = [query.id for query in task.queries]
    write_run(folder / f"{_name(task)}.trec.gz", zip(names, lists.ids, lists.scores))
    if task.qrels:
        write_qrels(folder / f"{_name(task)}.qrels.gz", task.qrels)


def _name(task: JudgedTask) -> str:
    return f"{task.language}-{task.corpus.language}"


def _answered(task: JudgedTask, first_answer_Q: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Returns 1 where one of the first passages holds an answer, else 0.

    Source: recall of RocketQA (Qu et al. 2021) and DPR, as BGE-M3 reports MKQA.
    """
    return {
        query.id: {name: float(first <= depth) for name, depth in ANSWER_DEPTHS.items()}
        for query, first in zip(task.queries, first_answer_Q.tolist())
    }


def _sections(table: pd.DataFrame, measures: Sequence[str]) -> dict[str, Any]:
    """Maps a setting to macro means over languages or pairs, `micro` means over queries, and those of each."""
    sections = {}
    for setting, rows in table.groupby("setting", sort=False):
        language = rows["query_language"]
        key = language if setting == "mono" else language + "-" + rows["candidate_language"]
        means = {str(name): _means(part, measures) for name, part in rows.groupby(key, sort=False)}
        label = "languages" if setting == "mono" else "pairs"
        sections[str(setting)] = {**macro(list(means.values())), "micro": _means(rows, measures), label: means}
    return sections


def _means(rows: pd.DataFrame, measures: Sequence[str]) -> dict[str, float | int]:
    return {**{name: float(rows[name].mean()) for name in measures}, "queries": len(rows)}
