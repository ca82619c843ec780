"""Scores parallel benchmarks, by the protocol of LAReQA; see `protocol`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixlingual.config.schema import EvaluationConfig
from mixlingual.evaluation.encode import CutTexts
from mixlingual.evaluation.parity import token_parity
from mixlingual.evaluation.precomputed import read_embeddings
from mixlingual.evaluation.protocol import BenchmarkScores, score_benchmark
from mixlingual.evaluation.scorer import UNCORRECTED, Encoding, Share
from mixlingual.evaluation.trec import write_qrels, write_run
from mixlingual.records import Benchmark, DataError

log = logging.getLogger(__name__)


def score_encoder(
    benchmark: Benchmark, encoding: Encoding, config: EvaluationConfig, share: Share
) -> dict[str, BenchmarkScores]:
    """Encodes every text once and scores the embeddings, and what each correction makes of them."""
    if share.part > 0:
        return {}
    queries = encoding.embed([query.text for query in benchmark.queries], "query", benchmark.name)
    candidates = encoding.embed([candidate.text for candidate in benchmark.candidates], "passage", benchmark.name)
    cut = CutTexts()
    cut.add("query", len(benchmark.queries), queries.cut)
    cut.add("passage", len(benchmark.candidates), candidates.cut)
    about = {
        "token_parity": token_parity(benchmark, encoding.tokenizer) if encoding.tokenizer else {},
        **cut.shares(benchmark.name),
    }
    pairs = {UNCORRECTED: (queries.embedding_ND, candidates.embedding_ND)}
    for name, correct in encoding.corrections.items():
        pairs[name] = (
            correct(queries.embedding_ND, [query.language for query in benchmark.queries], "query"),
            correct(candidates.embedding_ND, [candidate.language for candidate in benchmark.candidates], "passage"),
        )
    scores = {}
    for name, pair in pairs.items():
        one = _scored(benchmark, *pair, config, "" if name == UNCORRECTED else f" with {name}")
        scores[name] = replace(one, metrics={**about, **one.metrics})
    if config.runs is not None:
        export_lists(Path(config.runs), benchmark, scores[UNCORRECTED])
    return scores


def check_files(benchmark: Benchmark, folder: Path) -> None:
    """Raises DataError if the folder lacks the embeddings of the queries."""
    if not (folder / f"{benchmark.name}.queries.npy").is_file():
        raise DataError(
            f"{folder} has no {benchmark.name}.queries.npy; {benchmark.name} is scored from embeddings, "
            "precomputed=FOLDER, and not from runs: write them, or take it out of evaluation.benchmarks"
        )


def score_files(benchmark: Benchmark, folder: Path, config: EvaluationConfig, share: Share) -> BenchmarkScores | None:
    """Scores the embeddings in a folder, which the first process reads."""
    if share.part > 0:
        return None
    scores = _scored(benchmark, *read_embeddings(benchmark, folder), config, "")
    if config.runs is not None:
        export_lists(Path(config.runs), benchmark, scores)
    return scores


def export_lists(folder: Path, benchmark: Benchmark, scores: BenchmarkScores) -> None:
    """Writes BENCHMARK.trec.gz and BENCHMARK.qrels.gz of the pool of all languages; query ids are LANGUAGE/QUESTION."""
    assert scores.top_QK is not None
    assert scores.top_score_QK is not None
    ids = [candidate.id for candidate in benchmark.candidates]
    names = [f"{query.language}/{query.id}" for query in benchmark.queries]
    listed = (
        (name, [ids[n] for n in top_K], score_K.tolist())
        for name, top_K, score_K in zip(names, scores.top_QK, scores.top_score_QK)
    )
    write_run(folder / f"{benchmark.name}.trec.gz", listed)
    qrels: dict[str, dict[str, int]] = {}
    for name, query in zip(names, benchmark.queries):
        graded = (
            (benchmark.gold.get((answer, m)), grade)
            for m in benchmark.languages
            for answer, grade in benchmark.answers_of(query.id).items()
        )
        qrels[name] = {ids[gold]: grade for gold, grade in graded if gold is not None}
    write_qrels(folder / f"{benchmark.name}.qrels.gz", qrels)


def _scored(
    benchmark: Benchmark,
    query_QD: NDArray[np.float32],
    candidate_ND: NDArray[np.float32],
    config: EvaluationConfig,
    how: str,
) -> BenchmarkScores:
    scores = score_benchmark(benchmark, query_QD, candidate_ND, config.cutoffs)
    settings = [setting for setting in ("mono", "cross", "multi") if setting in scores.metrics]
    maps = ", ".join(f"{setting} {scores.metrics[setting]['map']:.4f}" for setting in settings)
    log.info("%s%s: mAP %s", benchmark.name, how, maps)
    return scores
