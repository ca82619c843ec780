"""Benchmarks with judged passages: one search for each corpus, scored as trec_eval does with -c and -M 100.

Lists are cut at 100 passages before any measure. Every query counts, also one that finds nothing or that only the
qrels name: it scores 0. Shape suffixes: Q queries, K passages of a list, D width of the embedding.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mixlingual.config import EvaluationConfig
from mixlingual.evaluation.approximate import approximate_search
from mixlingual.evaluation.encode import Embed
from mixlingual.evaluation.groups import macro
from mixlingual.evaluation.judged_metrics import ANSWER_DEPTHS, DEPTH, MEASURES, holds_any, tokens
from mixlingual.evaluation.protocol import BenchmarkScores
from mixlingual.evaluation.search import Hits, search
from mixlingual.evaluation.shards import Shards, encode_corpus
from mixlingual.evaluation.trec import read_run, write_qrels, write_run
from mixlingual.records import DataError, JudgedBenchmark, JudgedTask


@dataclass(frozen=True)
class Lists:
    """What a search found for the queries of a task, in their order."""

    ids: list[list[str]]
    scores: list[list[float]]
    positions: NDArray[np.int64]
    """[Q, K] positions of the passages in their corpus."""


@dataclass(frozen=True)
class Share:
    """The shards that a process encodes: those whose number is `part` modulo `parts`."""

    part: int = 0
    parts: int = 1


WHOLE = Share()
"""All shards: one process alone."""


def score_judged(
    benchmark: JudgedBenchmark,
    embed: Embed,
    encoding: str,
    config: EvaluationConfig,
    device: torch.device,
    share: Share = WHOLE,
) -> BenchmarkScores | None:
    """Encode each corpus once, search it for all queries on it, and score every task.

    Args:
        benchmark: what to score.
        embed: texts, side and label to embeddings.
        encoding: names the encoder and its precision; encoded passages are reused for the same one only.
        config: the `evaluation` options.
        device: where to search.
        share: this process's part of the encoding, where several have the folder `config.embeddings`.

    Returns:
        The scores; None if another process's part is the first, which scores.

    Raises:
        DataError: passages cannot be read, or an id comes twice in a list.
        MixlingualError: `config.embeddings` holds the passages of another encoder.
    """
    rows, recalls = [], []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary if config.embeddings is None else config.embeddings)
        for name, tasks in groupby(sorted(benchmark.tasks, key=lambda t: t.corpus.name), lambda t: t.corpus.name):
            on_corpus = list(tasks)
            shards = encode_corpus(
                on_corpus[0].corpus,
                partial(embed, side="passage", label=name),
                root / encoding / name,
                encoding,
                part=share.part,
                parts=share.parts,
            )
            if shards is not None:
                found, recall = _search(on_corpus, shards, embed, config, device)
                recalls.append(recall)
                for task, lists in zip(on_corpus, found):
                    rows.append(_rows(benchmark, task, _values(benchmark, task, lists)))
                    if config.runs is not None:
                        _export(Path(config.runs, benchmark.name), task, lists)
    if not rows:
        return None
    how = {"search": config.search, "search_recall@100": float(np.mean(recalls))}
    return _scores(benchmark, pd.concat(rows, ignore_index=True), how)


def _scores(benchmark: JudgedBenchmark, table: pd.DataFrame, how: dict[str, Any]) -> BenchmarkScores:
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


def _search(
    tasks: Sequence[JudgedTask], shards: Shards, embed: Embed, config: EvaluationConfig, device: torch.device
) -> tuple[list[Lists], float]:
    """The lists of each task, from one pass over the corpus, and the recall of the search: 1 if it is exact."""
    query_QD = np.concatenate(
        [embed([query.text for query in task.queries], "query", f"{task.language} queries for") for task in tasks]
    )
    if config.search == "exact":
        hits, recall = search(query_QD, shards, DEPTH, memory_mib=config.search_memory, device=device), 1.0
    else:
        hits, recall = approximate_search(
            query_QD,
            shards,
            DEPTH,
            kind=config.search,
            probes=config.probes,
            memory_mib=config.search_memory,
            device=device,
        )
    ends = np.cumsum([len(task.queries) for task in tasks])
    lists = [_lists(task, shards, hits, slice(end - len(task.queries), end)) for task, end in zip(tasks, ends)]
    return lists, recall


def _lists(task: JudgedTask, shards: Shards, hits: Hits, rows: slice) -> Lists:
    """The lists of one task; an approximate search may leave places empty at the end."""
    ids, scores = [], []
    for query, score_K, position_K in zip(task.queries, hits.score_QK[rows], hits.position_QK[rows]):
        listed = shards.ids(position_K[position_K >= 0])
        if len(set(listed)) < len(listed):
            raise DataError(f"{task.corpus.name}: a passage id comes twice among the results of query {query.id}")
        ids.append(listed)
        scores.append(score_K[position_K >= 0].tolist())
    return Lists(ids, scores, hits.position_QK[rows])


def score_runs(benchmark: JudgedBenchmark, folder: Path) -> BenchmarkScores:
    """Scores of another system's TREC runs: FOLDER/BENCHMARK/QUERY_LANGUAGE-PASSAGE_LANGUAGE.trec, or .trec.gz.

    Raises:
        DataError: a run is missing or malformed, or the benchmark looks for answers in passages, which runs lack.
    """
    rows = []
    for task in benchmark.tasks:
        if task.answers:
            raise DataError(f"{benchmark.name} looks for answers in passages; its runs cannot be scored without them")
        path = Path(folder, benchmark.name, f"{_name(task)}.trec")
        run = read_run(path if path.is_file() else path.with_name(f"{path.name}.gz"))
        ranked = {query: [passage for passage, _ in hits] for query, hits in run.items()}
        rows.append(_rows(benchmark, task, _judged(task, ranked, benchmark.measures)))
    return _scores(benchmark, pd.concat(rows, ignore_index=True), {"search": "runs of another system"})


def _rows(benchmark: JudgedBenchmark, task: JudgedTask, values: dict[str, dict[str, float]]) -> pd.DataFrame:
    """One row for each query of the topics and of the qrels, which may name others."""
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


def _values(benchmark: JudgedBenchmark, task: JudgedTask, lists: Lists) -> dict[str, dict[str, float]]:
    """Query id -> measure -> value."""
    if task.answers:
        return _answered(task, lists)
    return _judged(task, dict(zip((query.id for query in task.queries), lists.ids)), benchmark.measures)


def _judged(
    task: JudgedTask, ranked: Mapping[str, Sequence[str]], measures: Sequence[str]
) -> dict[str, dict[str, float]]:
    return {
        query: {name: MEASURES[name](ranked.get(query, [])[:DEPTH], judged) for name in measures}
        for query, judged in task.qrels.items()
    }


def _export(folder: Path, task: JudgedTask, lists: Lists) -> None:
    """The run, and the qrels where there are any, under the published ids."""
    names = [query.id for query in task.queries]
    write_run(folder / f"{_name(task)}.trec.gz", zip(names, lists.ids, lists.scores))
    if task.qrels:
        write_qrels(folder / f"{_name(task)}.qrels.gz", task.qrels)


def _name(task: JudgedTask) -> str:
    return f"{task.language}-{task.corpus.language}"


def _answered(task: JudgedTask, lists: Lists) -> dict[str, dict[str, float]]:
    """1 where one of the first passages holds an answer, else 0; the passages found are read once more for it.

    Source: recall of RocketQA (Qu et al. 2021) and DPR, as BGE-M3 reports MKQA.
    """
    wanted = set(lists.positions.ravel().tolist())
    texts = {p: tokens(passage.text) for p, passage in enumerate(task.corpus) if p in wanted}
    values = {}
    for query, position_K in zip(task.queries, lists.positions.tolist()):
        answers = [tokens(answer) for answer in task.answers[query.id]]
        holds = (rank for rank, p in enumerate(position_K, start=1) if p >= 0 and holds_any(texts[p], answers))
        first = next(holds, math.inf)
        values[query.id] = {name: float(first <= depth) for name, depth in ANSWER_DEPTHS.items()}
    return values


def _sections(table: pd.DataFrame, measures: Sequence[str]) -> dict[str, Any]:
    """Setting -> macro means over languages or pairs, `micro` means over queries, and those of each."""
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
