"""Zero-shot evaluation of one encoder on the configured benchmarks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mixlingual.config import EvaluationConfig
from mixlingual.data.registry import load_benchmark
from mixlingual.evaluation.encode import encode
from mixlingual.evaluation.protocol import PER_QUERY_COLUMNS, BenchmarkScores, score_benchmark
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import Benchmark

log = logging.getLogger(__name__)


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


def load_benchmarks(config: EvaluationConfig) -> list[Benchmark]:
    """The benchmarks of the config; read before training, so that a missing file costs no time.

    Raises:
        DataError: a benchmark is missing or malformed, or lacks a wanted language.
    """
    root = None if config.root is None else Path(config.root)
    return [load_benchmark(name, root, config.languages, config.unit) for name in dict.fromkeys(config.benchmarks)]


def evaluate_encoder(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    benchmarks: Sequence[Benchmark],
    config: EvaluationConfig,
    device: torch.device,
) -> SuiteScores:
    """Encode and score every benchmark.

    The encoder is moved to `device` with fp32 weights and stays there; its training or eval mode is restored.

    Raises:
        MixlingualError: the precision does not fit the device, or embeddings are not finite.
    """
    encoder.to(device).float()
    scores: dict[str, BenchmarkScores] = {}
    timings = {}
    with _eval_mode(encoder):
        for benchmark in benchmarks:
            start = time.perf_counter()
            scores[benchmark.name] = _evaluate(encoder, tokenizer, benchmark, config, device)
            timings[f"evaluate/{benchmark.name}"] = time.perf_counter() - start
    tables = [score.per_query for score in scores.values()]
    return SuiteScores(
        benchmarks={name: score.metrics for name, score in scores.items()},
        per_query=pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(PER_QUERY_COLUMNS)),
        timings=timings,
        fingerprints={benchmark.name: benchmark.fingerprint for benchmark in benchmarks},
    )


def _evaluate(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    benchmark: Benchmark,
    config: EvaluationConfig,
    device: torch.device,
) -> BenchmarkScores:
    """Metrics of one benchmark, from one encoding of each of its texts."""

    def embed(texts: list[str], side: Side, label: str) -> NDArray[np.float32]:
        return encode(
            encoder,
            tokenizer,
            texts,
            side,
            precision=config.precision,
            batch_tokens=config.batch_tokens,
            device=device,
            description=f"{benchmark.name} {label}",
        )

    query_QD = embed([query.text for query in benchmark.queries], "query", "queries")
    candidate_ND = embed([candidate.text for candidate in benchmark.candidates], "passage", "candidates")
    scores = score_benchmark(benchmark, query_QD, candidate_ND)
    settings = [setting for setting in ("mono", "cross", "multi") if setting in scores.metrics]
    maps = ", ".join(f"{setting} {scores.metrics[setting]['map']:.4f}" for setting in settings)
    log.info("%s: mAP %s", benchmark.name, maps)
    return scores


@contextmanager
def _eval_mode(encoder: DualEncoder) -> Iterator[None]:
    training = encoder.training
    encoder.eval()
    try:
        yield
    finally:
        encoder.train(training)
