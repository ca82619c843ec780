"""Scores benchmarks with judged passages: one encoding and one search of each corpus, by any number of processes.

Shape suffixes: Q queries, K passages of a list, N passages, D width of the embedding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from mixlingual.config.schema import EvaluationConfig
from mixlingual.evaluation.approximate import approximate_search, flat_search
from mixlingual.evaluation.encode import CutTexts, Embed, Embedded
from mixlingual.evaluation.inner_products import check_range
from mixlingual.evaluation.judged_scores import (
    Lists,
    export_task,
    first_answers,
    judged_scores,
    score_runs,
    task_rows,
)
from mixlingual.evaluation.post_hoc import Correction
from mixlingual.evaluation.precomputed import JudgedEmbeddings
from mixlingual.evaluation.protocol import BenchmarkScores
from mixlingual.evaluation.scorer import UNCORRECTED, WHOLE, Encoding, Share
from mixlingual.evaluation.search import Hits, search
from mixlingual.evaluation.shards import EmbedPassages, Shards, encode_corpus, open_shards
from mixlingual.evaluation.shared_search import Meeting, Order, Orders
from mixlingual.measures.judged import DEPTH
from mixlingual.records import Candidate, Corpus, DataError, JudgedBenchmark, JudgedTask, fingerprint


class Source(Protocol):
    """Says where embeddings come from."""

    def queries(self, task: JudgedTask) -> Embedded:
        """Returns [Q, D] of the queries of a task."""
        ...

    def passages(self, corpus: Corpus) -> EmbedPassages:
        """Returns what embeds the passages of a corpus, given in its order with gaps."""
        ...


@dataclass(frozen=True)
class Encoded:
    """Is the source that encodes texts."""

    embed: Embed

    def queries(self, task: JudgedTask) -> Embedded:
        """Returns [Q, D] of the queries of a task."""
        return self.embed([query.text for query in task.queries], "query", f"{task.language} queries for")

    def passages(self, corpus: Corpus) -> EmbedPassages:
        """Returns what embeds the passages of a corpus."""

        def embed(passages: list[Candidate]) -> Embedded:
            return self.embed([passage.text for passage in passages], "passage", corpus.name)

        return embed


def score_encoder(
    benchmark: JudgedBenchmark, encoding: Encoding, config: EvaluationConfig, share: Share
) -> dict[str, BenchmarkScores]:
    """Encodes each corpus once, searches it for all queries on it, and scores every task."""
    source = Encoded(encoding.embed)
    return score_judged(
        benchmark, source, encoding.identity(), config, encoding.device, share, encoding.corrections, encoding.label
    )


def check_files(benchmark: JudgedBenchmark, folder: Path) -> None:
    """Raises DataError if the folder has neither embeddings of the benchmark nor runs."""
    if not _has_embeddings(benchmark, folder) and not any((folder / benchmark.name).glob("[!.]*.trec*")):
        raise DataError(
            f"{folder} has neither the embeddings of {benchmark.name}, which start with {benchmark.name}.queries.npy, "
            f"nor its runs, {benchmark.name}/*.trec or *.trec.gz"
        )


def score_files(
    benchmark: JudgedBenchmark, folder: Path, config: EvaluationConfig, share: Share
) -> BenchmarkScores | None:
    """Scores the embeddings in a folder, of which each process searches its share, or else the runs in it."""
    if _has_embeddings(benchmark, folder):
        source = JudgedEmbeddings(benchmark, folder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return score_judged(benchmark, source, source.encoding(), config, device, share).get(UNCORRECTED)
    return score_runs(benchmark, folder) if share.part == 0 else None


def _has_embeddings(benchmark: JudgedBenchmark, folder: Path) -> bool:
    return (folder / f"{benchmark.name}.queries.npy").is_file()


def score_judged(
    benchmark: JudgedBenchmark,
    source: Source,
    encoding: str,
    config: EvaluationConfig,
    device: torch.device,
    share: Share = WHOLE,
    corrections: Mapping[str, Correction] | None = None,
    label: str = "",
) -> dict[str, BenchmarkScores]:
    """Encodes each corpus once, searches it for all queries on it, and scores every task.

    Args:
        benchmark: what to score.
        source: of the embeddings.
        encoding: names the encoder and its precision; encoded passages are reused for the same one only.
        config: the `evaluation` options.
        device: where to search.
        share: this process's part of encoding and search, where several have the folder `config.embeddings`.
        corrections: by name, to be scored beside the uncorrected embeddings; only the first process needs them.
        label: tells these corrections from others, in every process.

    Returns:
        `UNCORRECTED` or name of a correction -> its scores; empty in all processes but the first.

    Raises:
        DataError: passages cannot be read, or an id comes twice in a corpus.
        MixlingualError: `config.embeddings` holds the passages of another encoder or is too small, or another process
            does not do its part.
    """
    rows: dict[str, list[pd.DataFrame]] = {}
    recalls: dict[str, list[float]] = {}
    cut = CutTexts()
    engine = _Engine(source, encoding, config, device, share)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary if config.embeddings is None else config.embeddings, encoding)
        for name, group in groupby(sorted(benchmark.tasks, key=lambda t: t.corpus.name), lambda t: t.corpus.name):
            tasks = list(group)
            orders = _orders(tasks, source, corrections or {}, cut) if share.part == 0 else None
            for order in (orders or {}).values():
                check_range(benchmark.name, order.query_QD)
            found = engine.find(tasks, orders, root / name, label)
            if share.part > 0:
                continue
            shards = open_shards(root / name)
            cut.add("passage", len(shards), shards.cut())
            listed = [
                (how, task, one) for how in found for task, one in zip(tasks, _lists(tasks, shards, found[how][0]))
            ]
            first = first_answers([task for _, task, _ in listed], [one for *_, one in listed])
            for (how, task, one), first_Q in zip(listed, first):
                rows.setdefault(how, []).append(task_rows(benchmark, task, one, first_Q))
                if config.runs is not None and how == UNCORRECTED:
                    export_task(Path(config.runs, benchmark.name), task, one)
            for how, (_, recall) in found.items():
                recalls.setdefault(how, []).append(recall)
    about = {"search": config.search, **cut.shares(benchmark.name)}
    return {
        how: judged_scores(benchmark, rows[how], {**about, "search_recall@100": float(np.mean(recalls[how]))})
        for how in rows
    }


def _orders(
    tasks: Sequence[JudgedTask], source: Source, corrections: Mapping[str, Correction], cut: CutTexts
) -> dict[str, Order]:
    """Returns what to search a corpus for: the queries of all tasks on it, uncorrected and corrected."""
    embedded = [source.queries(task) for task in tasks]
    for task, queries in zip(tasks, embedded):
        cut.add("query", len(task.queries), queries.cut)
    query_QD = np.concatenate([queries.embedding_ND for queries in embedded])
    languages = [task.language for task in tasks for _ in task.queries]
    orders = {UNCORRECTED: Order(query_QD)}
    for name, correct in corrections.items():
        passages = correct.of("passage", tasks[0].corpus.language, query_QD.shape[1])
        orders[name] = Order(correct(query_QD, languages, "query"), passages)
    return orders


@dataclass(frozen=True)
class _Engine:
    """Encodes and searches corpora."""

    source: Source
    encoding: str
    config: EvaluationConfig
    device: torch.device
    share: Share

    def find(
        self, tasks: Sequence[JudgedTask], orders: Orders | None, folder: Path, label: str
    ) -> dict[str, tuple[Hits, float]]:
        """Maps an order to what it finds and the recall of that; nothing in all processes but the first.

        An approximate search needs all passages in one index, which the first process builds alone.
        """
        config, share = self.config, self.share
        alone = share.parts == 1 or config.search not in ("exact", "flat")
        texts = [text for task in tasks for query in task.queries for text in (query.language, query.id, query.text)]
        name = f"search-{fingerprint((label, str(DEPTH), *texts))}"
        meeting = Meeting(folder / name, share.part, share.parts, config.wait_minutes)
        if orders is not None and not alone:
            meeting.publish(orders)
        own = encode_corpus(
            tasks[0].corpus,
            self.source.passages(tasks[0].corpus),
            folder,
            self.encoding,
            part=share.part,
            parts=share.parts,
            wait_minutes=config.wait_minutes,
        )
        if alone:
            return {how: self._search(order, open_shards(folder)) for how, order in (orders or {}).items()}
        meeting.answer(own, lambda order, shards: self._search(order, shards)[0])
        if orders is None:
            return {}
        return {how: (hits, 1.0) for how, hits in meeting.collect(orders, open_shards(folder), DEPTH).items()}

    def _search(self, order: Order, shards: Shards) -> tuple[Hits, float]:
        """Returns what an order finds, and the recall of the search: 1 if it is exact."""
        config, shards = self.config, shards.changed(order.correct)
        if config.search == "exact":
            return search(order.query_QD, shards, DEPTH, memory_mib=config.search_memory, device=self.device), 1.0
        if config.search == "flat":
            return flat_search(order.query_QD, shards, DEPTH, memory_mib=config.search_memory, device=self.device), 1.0
        return approximate_search(
            order.query_QD,
            shards,
            DEPTH,
            kind=config.search,
            probes=config.probes,
            memory_mib=config.search_memory,
            device=self.device,
        )


def _lists(tasks: Sequence[JudgedTask], shards: Shards, hits: Hits) -> Iterator[Lists]:
    """Returns the lists of each task; an approximate search may leave places empty at the end."""
    start = 0
    for task in tasks:
        rows = slice(start, start + len(task.queries))
        score_QK, position_QK = hits.score_QK[rows], hits.position_QK[rows]
        ids = [shards.ids(position_K[position_K >= 0]) for position_K in position_QK]
        scores = [score_K[position_K >= 0].tolist() for score_K, position_K in zip(score_QK, position_QK)]
        yield Lists(ids, scores, position_QK)
        start = rows.stop
