"""Zero-shot evaluation of one encoder on the configured benchmarks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mixlingual.config import JUDGED_BENCHMARKS, EvaluationConfig, PostHocConfig
from mixlingual.data.registry import load_benchmark, load_corpus
from mixlingual.data.sources.judged import load_judged
from mixlingual.evaluation.encode import Embed, encode, encoder_fingerprint
from mixlingual.evaluation.judged import WHOLE, Share, score_judged, score_runs
from mixlingual.evaluation.post_hoc import Correction, fit_corrections
from mixlingual.evaluation.precomputed import read_embeddings
from mixlingual.evaluation.protocol import PER_QUERY_COLUMNS, BenchmarkScores, score_benchmark
from mixlingual.evaluation.trec import write_qrels, write_run
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import Benchmark, JudgedBenchmark, fingerprint

log = logging.getLogger(__name__)

_LABELS: dict[Side, str] = {"query": "queries", "passage": "candidates"}


@dataclass(frozen=True)
class SuiteScores:
    """Scores of one encoder on several benchmarks, each dict keyed by benchmark."""

    benchmarks: dict[str, dict[str, Any]]
    """The metrics of `protocol.BenchmarkScores`, ready for JSON."""
    per_query: pd.DataFrame
    """One table for all benchmarks, with `protocol.PER_QUERY_COLUMNS`."""
    timings: dict[str, float]
    """evaluate/<benchmark> -> seconds to encode and score it."""
    fingerprints: dict[str, str]
    corrected: dict[str, dict[str, dict[str, Any]]]
    """Post-hoc correction -> benchmark -> metrics."""


def load_benchmarks(config: EvaluationConfig) -> list[Benchmark | JudgedBenchmark]:
    """The benchmarks of the config; read before training, so that a missing file costs no time.

    Raises:
        DataError: a benchmark is missing or malformed, or lacks a wanted language.
    """
    root = None if config.root is None else Path(config.root)
    return [
        load_judged(name, root, config.languages)
        if name in JUDGED_BENCHMARKS
        else load_benchmark(name, root, config.languages, config.unit)
        for name in dict.fromkeys(config.benchmarks)
    ]


def evaluate_encoder(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    benchmarks: Sequence[Benchmark | JudgedBenchmark],
    config: EvaluationConfig,
    device: torch.device,
    post_hoc: PostHocConfig | None = None,
    share: Share = WHOLE,
) -> SuiteScores:
    """Encode and score every benchmark, as it is and with each correction of `post_hoc`; judged ones as it is only.

    Of several processes each encodes its `share` of large corpora, and the first scores everything.

    The encoder is moved to `device` with fp32 weights and stays there; its training or eval mode is restored.

    Raises:
        MixlingualError: the precision does not fit the device, or embeddings are not finite.
        DataError: the corpus of `post_hoc` lacks texts of a benchmark's language.
    """
    encoder.to(device).float()
    embed = partial(_embed, encoder, tokenizer, config, device)
    found: dict[str, BenchmarkScores] = {}
    corrected: dict[str, dict[str, dict[str, Any]]] = {}
    timings = {}
    with _eval_mode(encoder):
        corrections = _corrections(benchmarks, post_hoc, embed, normalize=encoder.normalize) if share.part == 0 else {}
        for benchmark in benchmarks:
            start = time.perf_counter()
            if isinstance(benchmark, JudgedBenchmark):
                encoding = fingerprint((encoder_fingerprint(encoder, tokenizer), config.precision))
                scores = score_judged(benchmark, embed, encoding, config, device, share)
            else:
                scores = _parallel(benchmark, embed, config, corrections, corrected) if share.part == 0 else None
            if scores is not None:
                found[benchmark.name] = scores
                timings[f"evaluate/{benchmark.name}"] = time.perf_counter() - start
    return suite_scores(benchmarks, found, timings, corrected)


def suite_scores(
    benchmarks: Sequence[Benchmark | JudgedBenchmark],
    found: dict[str, BenchmarkScores],
    timings: dict[str, float],
    corrected: dict[str, dict[str, dict[str, Any]]],
) -> SuiteScores:
    """One record of the scores of all benchmarks."""
    tables = [score.per_query for score in found.values()]
    return SuiteScores(
        benchmarks={name: score.metrics for name, score in found.items()},
        per_query=pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(PER_QUERY_COLUMNS)),
        timings=timings,
        fingerprints={benchmark.name: benchmark.fingerprint for benchmark in benchmarks},
        corrected=corrected,
    )


def _embed(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    config: EvaluationConfig,
    device: torch.device,
    texts: list[str],
    side: Side,
    label: str = "training",
) -> NDArray[np.float32]:
    return encode(
        encoder,
        tokenizer,
        texts,
        side,
        precision=config.precision,
        batch_tokens=config.batch_tokens,
        device=device,
        description=f"{label} {_LABELS[side]}",
    )


def _corrections(
    benchmarks: Sequence[Benchmark | JudgedBenchmark], post_hoc: PostHocConfig | None, embed: Embed, *, normalize: bool
) -> dict[str, Correction]:
    """The corrections of `post_hoc` for the languages of the parallel benchmarks."""
    if post_hoc is None or not post_hoc.methods:
        return {}
    parallel = [benchmark for benchmark in benchmarks if isinstance(benchmark, Benchmark)]
    languages = sorted({language for benchmark in parallel for language in benchmark.languages})
    return fit_corrections(load_corpus(post_hoc.data), languages, post_hoc, embed, normalize=normalize)


def _parallel(
    benchmark: Benchmark,
    embed: Embed,
    config: EvaluationConfig,
    corrections: dict[str, Correction],
    corrected: dict[str, dict[str, dict[str, Any]]],
) -> BenchmarkScores:
    """Scores of the encoder as it is; those with each correction go to `corrected`."""
    query_QD = embed([query.text for query in benchmark.queries], "query", benchmark.name)
    candidate_ND = embed([candidate.text for candidate in benchmark.candidates], "passage", benchmark.name)
    for name, correct in corrections.items():
        left_QD = correct(query_QD, [query.language for query in benchmark.queries], "query")
        right_ND = correct(candidate_ND, [candidate.language for candidate in benchmark.candidates], "passage")
        metrics = _scored(benchmark, left_QD, right_ND, f" with {name}").metrics
        corrected.setdefault(name, {})[benchmark.name] = metrics
    scores = _scored(benchmark, query_QD, candidate_ND, "")
    if config.runs is not None:
        export_lists(Path(config.runs), benchmark, scores)
    return scores


def export_lists(folder: Path, benchmark: Benchmark, scores: BenchmarkScores) -> None:
    """BENCHMARK.trec.gz and BENCHMARK.qrels.gz of the pool of all languages; query ids are LANGUAGE/QUESTION."""
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
        golds = (benchmark.gold.get((query.id, language)) for language in benchmark.languages)
        qrels[name] = {ids[gold]: 1 for gold in golds if gold is not None}
    write_qrels(folder / f"{benchmark.name}.qrels.gz", qrels)


def score_foreign(
    benchmarks: Sequence[Benchmark | JudgedBenchmark], config: EvaluationConfig, folder: Path
) -> SuiteScores:
    """Score what others made: embeddings for parallel benchmarks, TREC runs for judged ones.

    Raises:
        DataError: a file of `precomputed.read_embeddings` or `judged.score_runs` is missing or malformed.
    """
    found: dict[str, BenchmarkScores] = {}
    timings = {}
    for benchmark in benchmarks:
        start = time.perf_counter()
        if isinstance(benchmark, JudgedBenchmark):
            found[benchmark.name] = score_runs(benchmark, folder)
        else:
            embeddings = read_embeddings(benchmark, folder)
            found[benchmark.name] = _scored(benchmark, *embeddings, "")
            if config.runs is not None:
                export_lists(Path(config.runs), benchmark, found[benchmark.name])
        timings[f"evaluate/{benchmark.name}"] = time.perf_counter() - start
    return suite_scores(benchmarks, found, timings, {})


def _scored(
    benchmark: Benchmark, query_QD: NDArray[np.float32], candidate_ND: NDArray[np.float32], how: str
) -> BenchmarkScores:
    scores = score_benchmark(benchmark, query_QD, candidate_ND)
    settings = [setting for setting in ("mono", "cross", "multi") if setting in scores.metrics]
    maps = ", ".join(f"{setting} {scores.metrics[setting]['map']:.4f}" for setting in settings)
    log.info("%s%s: mAP %s", benchmark.name, how, maps)
    return scores


@contextmanager
def _eval_mode(encoder: DualEncoder) -> Iterator[None]:
    training = encoder.training
    encoder.eval()
    try:
        yield
    finally:
        encoder.train(training)
