"""Evaluates one encoder zero-shot on the configured benchmarks."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mixlingual.config.identity import to_plain
from mixlingual.config.schema import EvaluationConfig, PostHocConfig
from mixlingual.data.registry import load_corpus
from mixlingual.evaluation import judged, parallel
from mixlingual.evaluation.encode import Embed, Embedded, encode, encoder_fingerprint
from mixlingual.evaluation.post_hoc import Correction, fit_corrections
from mixlingual.evaluation.protocol import BenchmarkScores, per_query_columns
from mixlingual.evaluation.scorer import UNCORRECTED, WHOLE, Encoding, Scorer, Share
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import AnyBenchmark, fingerprint

log = logging.getLogger(__name__)

_LABELS: dict[Side, str] = {"query": "queries", "passage": "candidates"}


@dataclass(frozen=True)
class SuiteScores:
    """Holds the scores of one encoder on several benchmarks, each dict keyed by benchmark."""

    benchmarks: dict[str, dict[str, Any]]
    """The metrics of `protocol.BenchmarkScores`, ready for JSON."""
    per_query: pd.DataFrame
    """One table for all benchmarks, with `protocol.per_query_columns`."""
    timings: dict[str, float]
    """evaluate/<benchmark> -> seconds to encode and score it."""
    fingerprints: dict[str, str]
    corrected: dict[str, SuiteScores] = field(default_factory=dict)
    """Post-hoc correction -> the scores with it."""


PROTOCOLS: dict[str, Scorer] = {"parallel": parallel, "judged": judged}
"""Value of a benchmark's `protocol` -> what scores it."""


def evaluate_encoder(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    benchmarks: Sequence[AnyBenchmark],
    config: EvaluationConfig,
    device: torch.device,
    post_hoc: PostHocConfig | None = None,
    share: Share = WHOLE,
) -> SuiteScores:
    """Encodes and scores every benchmark, uncorrected and with each correction of `post_hoc`.

    Of several processes each encodes and searches its `share` of large corpora, and the first scores everything.

    The encoder is moved to `device` with fp32 weights and stays there; its training or eval mode is restored.

    Raises:
        MixlingualError: the precision does not fit the device, or embeddings are not finite.
        DataError: the corpus of `post_hoc` lacks texts of a benchmark's language.
    """
    encoder.to(device).float()
    found: dict[str, dict[str, BenchmarkScores]] = {}
    timings = {}
    with eval_mode(encoder):
        embed = partial(embed_texts, encoder, tokenizer, config, device)
        first = share.part == 0
        encoding = Encoding(
            embed,
            tokenizer,
            lambda: fingerprint((encoder_fingerprint(encoder, tokenizer), config.precision)),
            device,
            _corrections(benchmarks, post_hoc, embed, normalize=encoder.normalize) if first else {},
            "" if post_hoc is None else json.dumps(to_plain(post_hoc), sort_keys=True),
        )
        for benchmark in benchmarks:
            start = time.perf_counter()
            scores = PROTOCOLS[benchmark.protocol].score_encoder(benchmark, encoding, config, share)
            for how, one in scores.items():
                found.setdefault(how, {})[benchmark.name] = one
            if scores:
                timings[f"evaluate/{benchmark.name}"] = time.perf_counter() - start
    every = {how: suite_scores(benchmarks, scores, timings) for how, scores in found.items()}
    return replace(every.pop(UNCORRECTED, suite_scores(benchmarks, {}, timings)), corrected=every)


def score_foreign(
    benchmarks: Sequence[AnyBenchmark], config: EvaluationConfig, folder: Path, share: Share = WHOLE
) -> SuiteScores:
    """Scores what others made: embeddings, or TREC runs of judged benchmarks.

    Of several processes each searches its `share` of the embeddings of large corpora, and the first scores everything.

    Raises:
        DataError: the folder holds neither for a benchmark, which is found before any is scored, or a file of
            `precomputed` or `judged_scores.score_runs` is missing or malformed.
    """
    for benchmark in benchmarks:
        PROTOCOLS[benchmark.protocol].check_files(benchmark, folder)
    found: dict[str, BenchmarkScores] = {}
    timings = {}
    for benchmark in benchmarks:
        start = time.perf_counter()
        scores = PROTOCOLS[benchmark.protocol].score_files(benchmark, folder, config, share)
        if scores is not None:
            found[benchmark.name] = scores
            timings[f"evaluate/{benchmark.name}"] = time.perf_counter() - start
    return suite_scores(benchmarks, found, timings)


def suite_scores(
    benchmarks: Sequence[AnyBenchmark],
    found: dict[str, BenchmarkScores],
    timings: dict[str, float],
) -> SuiteScores:
    """Returns one record of the scores of all benchmarks."""
    tables = [score.per_query for score in found.values()]
    return SuiteScores(
        benchmarks={name: score.metrics for name, score in found.items()},
        per_query=pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(per_query_columns())),
        timings=timings,
        fingerprints={benchmark.name: benchmark.fingerprint for benchmark in benchmarks},
    )


def embed_texts(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    config: EvaluationConfig,
    device: torch.device,
    texts: list[str],
    side: Side,
    label: str = "training",
) -> Embedded:
    """Encodes texts as the config says, which makes an `Embed` of the first four arguments."""
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
    benchmarks: Sequence[AnyBenchmark], post_hoc: PostHocConfig | None, embed: Embed, *, normalize: bool
) -> dict[str, Correction]:
    """Returns the corrections of `post_hoc` for the languages of the benchmarks."""
    if post_hoc is None or not post_hoc.methods:
        return {}
    languages = sorted({language for benchmark in benchmarks for language in benchmark.languages})
    return fit_corrections(load_corpus(post_hoc.data), languages, post_hoc, embed, normalize=normalize)


@contextmanager
def eval_mode(encoder: DualEncoder) -> Iterator[None]:
    """Puts the encoder into eval mode in the block, and then back into the mode that it was in."""
    training = encoder.training
    encoder.eval()
    try:
        yield
    finally:
        encoder.train(training)
