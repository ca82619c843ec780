"""Measures the way from embeddings to all figures of MLQA-R and XQuAD-R: ours, ranx and sentence-transformers.

Ours is `score_benchmark`: three settings, all metrics, all bias measures. A peer gets the same embeddings and
evaluates one (query language, candidate language) at a time, and the pool for one query language at a time, over the
full ranking, which LAReQA's mAP needs. Peers are timed on some of these tasks and in proportion to the scores of all.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rows import Row
from mixlingual.data.sources.lareqa import load_lareqa
from mixlingual.evaluation.protocol import POOL, score_benchmark
from mixlingual.records import Benchmark

WIDTH, SEED = 384, 1
GOAL_SECONDS, GOAL_RATIO = 10.0, 20.0

Embeddings = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Task:
    """Holds one query language against one pool: positions of queries and candidates, and ids of the relevant."""

    name: str
    queries: NDArray[np.int64]
    candidates: NDArray[np.int64]
    relevant: dict[str, set[str]]

    @property
    def scores(self) -> int:
        """Returns the number of (query, candidate) scores."""
        return len(self.queries) * len(self.candidates)


def tasks(benchmark: Benchmark) -> Iterator[Task]:
    """Yields every pair of languages, and every query language against the pool."""
    query_language = np.array([query.language for query in benchmark.queries])
    candidate_language = np.array([candidate.language for candidate in benchmark.candidates])
    for left in benchmark.languages:
        for right in (*benchmark.languages, POOL):
            golds = benchmark.languages if right == POOL else (right,)
            relevant = {}
            rows = []
            for row in np.flatnonzero(query_language == left):
                question = benchmark.queries[row].id
                found = [benchmark.gold[question, m] for m in golds if (question, m) in benchmark.gold]
                if found:
                    rows.append(row)
                    relevant[question] = {benchmark.candidates[n].id for n in found}
            pool = np.flatnonzero((candidate_language == right) | (right == POOL))
            yield Task(f"{left}-{right}", np.array(rows), pool, relevant)


def made_embeddings(benchmark: Benchmark) -> Embeddings:
    """Makes a direction for each question, which its gold candidates share, with noise and an offset by language."""
    rng = np.random.default_rng(SEED)
    offset = dict(zip(benchmark.languages, rng.standard_normal((len(benchmark.languages), WIDTH))))
    meaning: dict[str, NDArray[np.float64]] = {}
    for query in benchmark.queries:
        meaning.setdefault(query.id, rng.standard_normal(WIDTH))
    query_QD = np.array([meaning[query.id] + 0.5 * offset[query.language] for query in benchmark.queries])
    candidate_ND = np.array([0.5 * offset[candidate.language] for candidate in benchmark.candidates])
    for (question, _), position in benchmark.gold.items():
        candidate_ND[position] += meaning[question]
    return _noisy(query_QD, rng), _noisy(candidate_ND, rng)


def _noisy(vector_ND: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    vector_ND = vector_ND + 2 * rng.standard_normal(vector_ND.shape)
    return (vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)).astype(np.float32)


def sentence_transformers_map(benchmark: Benchmark, embeddings: Embeddings, task: Task) -> float:
    """Returns the mAP of a task by InformationRetrievalEvaluator, which computes our other metrics with it."""
    evaluation = importlib.import_module("sentence_transformers.sentence_transformer.evaluation")
    query_QD, candidate_ND = (
        torch.from_numpy(side[rows]) for side, rows in zip(embeddings, (task.queries, task.candidates))
    )
    depth = len(task.candidates)
    evaluator = evaluation.InformationRetrievalEvaluator(
        {benchmark.queries[row].id: "" for row in task.queries},
        {benchmark.candidates[n].id: "" for n in task.candidates},
        task.relevant,
        mrr_at_k=[depth],
        ndcg_at_k=[10],
        accuracy_at_k=[1],
        precision_recall_at_k=[1, 10, 100],
        map_at_k=[depth],
        write_csv=False,
        score_functions={"dot": lambda left, right: left @ right.T},
    )
    metrics = evaluator.compute_metrices(_Encoded(query_QD), corpus_embeddings=candidate_ND)
    return float(metrics["dot"]["map@k"][depth])


class _Encoded:
    """Is a model for InformationRetrievalEvaluator that has encoded the queries already."""

    def __init__(self, query_QD: torch.Tensor) -> None:
        self._query_QD = query_QD

    def encode_query(self, texts: list[str], **_: object) -> torch.Tensor:
        """Returns the given embeddings; the evaluator passes its encoding options."""
        return self._query_QD


def ranx_map(benchmark: Benchmark, embeddings: Embeddings, task: Task) -> float:
    """Returns the mAP of a task by ranx, which computes our other metrics with it, from scores sorted by torch."""
    ranx = importlib.import_module("ranx")
    query_QD, candidate_ND = embeddings[0][task.queries], embeddings[1][task.candidates]
    score, place = torch.sort(torch.from_numpy(query_QD @ candidate_ND.T), dim=1, descending=True)
    ids = [benchmark.candidates[n].id for n in task.candidates]
    names = [benchmark.queries[row].id for row in task.queries]
    run = ranx.Run(
        {
            name: dict(zip([ids[n] for n in places], scores))
            for name, places, scores in zip(names, place.tolist(), score.tolist())
        }
    )
    qrels = ranx.Qrels({name: dict.fromkeys(found, 1) for name, found in task.relevant.items()})
    metrics = ["map", "mrr", "ndcg@10", "recall@1", "recall@10", "recall@100"]
    return float(ranx.evaluate(qrels, run, metrics)["map"])


PEERS: dict[str, tuple[str, Callable[[Benchmark, Embeddings, Task], float]]] = {
    "sentence-transformers, an evaluator for each pair": ("sentence_transformers", sentence_transformers_map),
    "ranx, for each pair": ("ranx", ranx_map),
}


def compare(root: Path, repeats: int, pairs: int) -> list[Row]:
    """Returns medians of `repeats` rounds over both benchmarks; prints what was measured and how far mAPs differ."""
    rows = []
    for name in ("mlqa_r", "xquad_r"):
        benchmark = load_lareqa(name, root, None)
        embeddings = made_embeddings(benchmark)
        every = list(tasks(benchmark))
        sample = _sample(every, pairs)
        print(f"{name}: peers on {len(sample)} of {len(every)} tasks, {', '.join(task.name for task in sample)}")
        rounds = [_round(benchmark, embeddings, every, sample) for _ in range(repeats)]
        ours = median(seconds for seconds, _ in rounds)
        for peer in PEERS:
            known = [costs[peer] for _, costs in rounds if peer in costs]
            rows.append(Row(f"{name}, {peer}", "s", ours, median(known) if known else None))
    return rows


def _sample(every: list[Task], pairs: int) -> list[Task]:
    """Chooses one pool and some pairs, evenly spaced."""
    chosen = [task for task in every if not task.name.endswith(POOL)]
    return [*chosen[:: max(1, len(chosen) // pairs)][:pairs], next(task for task in every if task.name.endswith(POOL))]


def _round(
    benchmark: Benchmark, embeddings: Embeddings, every: list[Task], sample: list[Task]
) -> tuple[float, dict[str, float]]:
    """Returns our seconds for the suite, and those of each installed peer, in turn."""
    start = time.perf_counter()
    metrics: dict[str, Any] = score_benchmark(benchmark, *embeddings).metrics
    ours = time.perf_counter() - start
    share = sum(task.scores for task in sample) / sum(task.scores for task in every)
    costs = {}
    for peer, (module, evaluate) in PEERS.items():
        if find_spec(module) is None:
            continue
        evaluate(benchmark, embeddings, min(every, key=lambda task: task.scores))
        start = time.perf_counter()
        maps = [evaluate(benchmark, embeddings, task) for task in sample]
        costs[peer] = (time.perf_counter() - start) / share
        gap = max(abs(value - _our_map(metrics, task)) for value, task in zip(maps, sample))
        print(f"  ours {ours:.2f} s, {peer} {costs[peer]:.0f} s in proportion; mAPs differ by at most {gap:.1e}")
    return ours, costs


def _our_map(metrics: dict[str, Any], task: Task) -> float:
    left, _, right = task.name.partition("-")
    if right == POOL:
        return float(metrics["multi"]["languages"][left]["map"])
    section = metrics["mono"]["languages"][left] if left == right else metrics["cross"]["pairs"][task.name]
    return float(section["map"])


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Says in one line for each goal whether it is met."""
    seconds = max(row.ours for row in rows if row.name.startswith("xquad_r"))
    met = "met" if seconds < GOAL_SECONDS else "NOT MET"
    yield f"goal XQuAD-R under {GOAL_SECONDS:.0f} s: {met}, {seconds:.1f} s"
    for row in rows:
        if row.ratio is not None:
            met = "met" if row.ratio <= 1 / GOAL_RATIO else "NOT MET"
            yield f"goal {GOAL_RATIO:.0f} times as fast, {row.name}: {met}, {1 / row.ratio:.0f} times"
