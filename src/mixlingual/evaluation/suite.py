"""Zero-shot evaluation of one encoder on the configured benchmarks."""

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

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mixlingual.config.identity import to_plain
from mixlingual.config.schema import JUDGED_BENCHMARKS, EvaluationConfig, PostHocConfig
from mixlingual.data.registry import load_benchmark, load_corpus
from mixlingual.data.sources.judged import load_judged
from mixlingual.evaluation.encode import CutTexts, Embed, Embedded, encode, encoder_fingerprint
from mixlingual.evaluation.judged import AS_IS, WHOLE, Encoded, Share, score_judged
from mixlingual.evaluation.judged_scores import score_runs
from mixlingual.evaluation.parity import token_parity
from mixlingual.evaluation.post_hoc import Correction, fit_corrections
from mixlingual.evaluation.precomputed import JudgedEmbeddings, read_embeddings
from mixlingual.evaluation.protocol import BenchmarkScores, per_query_columns, score_benchmark
from mixlingual.evaluation.trec import write_qrels, write_run
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import Benchmark, DataError, JudgedBenchmark, fingerprint

log = logging.getLogger(__name__)

_LABELS: dict[Side, str] = {"query": "queries", "passage": "candidates"}


@dataclass(frozen=True)
class SuiteScores:
    """Scores of one encoder on several benchmarks, each dict keyed by benchmark."""

    benchmarks: dict[str, dict[str, Any]]
    """The metrics of `protocol.BenchmarkScores`, ready for JSON."""
    per_query: pd.DataFrame
    """One table for all benchmarks, with `protocol.per_query_columns`."""
    timings: dict[str, float]
    """evaluate/<benchmark> -> seconds to encode and score it."""
    fingerprints: dict[str, str]
    corrected: dict[str, SuiteScores] = field(default_factory=dict)
    """Post-hoc correction -> the scores with it."""


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
    """Encode and score every benchmark, as it is and with each correction of `post_hoc`.

    Of several processes each encodes and searches its `share` of large corpora, and the first scores everything.

    The encoder is moved to `device` with fp32 weights and stays there; its training or eval mode is restored.

    Raises:
        MixlingualError: the precision does not fit the device, or embeddings are not finite.
        DataError: the corpus of `post_hoc` lacks texts of a benchmark's language.
    """
    encoder.to(device).float()
    embed = partial(_embed, encoder, tokenizer, config, device)
    found: dict[str, dict[str, BenchmarkScores]] = {}
    timings = {}
    with _eval_mode(encoder):
        corrections = _corrections(benchmarks, post_hoc, embed, normalize=encoder.normalize) if share.part == 0 else {}
        for benchmark in benchmarks:
            start = time.perf_counter()
            if isinstance(benchmark, JudgedBenchmark):
                encoding = fingerprint((encoder_fingerprint(encoder, tokenizer), config.precision))
                label = "" if post_hoc is None else json.dumps(to_plain(post_hoc), sort_keys=True)
                scores = score_judged(benchmark, Encoded(embed), encoding, config, device, share, corrections, label)
            else:
                scores = _parallel(benchmark, tokenizer, embed, config, corrections) if share.part == 0 else {}
            for how, one in scores.items():
                found.setdefault(how, {})[benchmark.name] = one
            if scores:
                timings[f"evaluate/{benchmark.name}"] = time.perf_counter() - start
    every = {how: suite_scores(benchmarks, scores, timings) for how, scores in found.items()}
    return replace(every.pop(AS_IS, suite_scores(benchmarks, {}, timings)), corrected=every)


def suite_scores(
    benchmarks: Sequence[Benchmark | JudgedBenchmark],
    found: dict[str, BenchmarkScores],
    timings: dict[str, float],
) -> SuiteScores:
    """One record of the scores of all benchmarks."""
    tables = [score.per_query for score in found.values()]
    return SuiteScores(
        benchmarks={name: score.metrics for name, score in found.items()},
        per_query=pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(per_query_columns())),
        timings=timings,
        fingerprints={benchmark.name: benchmark.fingerprint for benchmark in benchmarks},
    )


def _embed(
    encoder: DualEncoder,
    tokenizer: TextTokenizer,
    config: EvaluationConfig,
    device: torch.device,
    texts: list[str],
    side: Side,
    label: str = "training",
) -> Embedded:
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
    """The corrections of `post_hoc` for the languages of the benchmarks."""
    if post_hoc is None or not post_hoc.methods:
        return {}
    languages = sorted({language for benchmark in benchmarks for language in benchmark.languages})
    return fit_corrections(load_corpus(post_hoc.data), languages, post_hoc, embed, normalize=normalize)


def _parallel(
    benchmark: Benchmark,
    tokenizer: TextTokenizer,
    embed: Embed,
    config: EvaluationConfig,
    corrections: dict[str, Correction],
) -> dict[str, BenchmarkScores]:
    """`AS_IS` or name of a correction -> its scores."""
    queries = embed([query.text for query in benchmark.queries], "query", benchmark.name)
    candidates = embed([candidate.text for candidate in benchmark.candidates], "passage", benchmark.name)
    cut = CutTexts()
    cut.add("query", len(benchmark.queries), queries.cut)
    cut.add("passage", len(benchmark.candidates), candidates.cut)
    about = {"token_parity": token_parity(benchmark, tokenizer), **cut.shares(benchmark.name)}
    pairs = {AS_IS: (queries.embedding_ND, candidates.embedding_ND)}
    for name, correct in corrections.items():
        pairs[name] = (
            correct(queries.embedding_ND, [query.language for query in benchmark.queries], "query"),
            correct(candidates.embedding_ND, [candidate.language for candidate in benchmark.candidates], "passage"),
        )
    scores = {}
    for name, pair in pairs.items():
        one = _scored(benchmark, *pair, config, "" if name == AS_IS else f" with {name}")
        scores[name] = replace(one, metrics={**about, **one.metrics})
    if config.runs is not None:
        export_lists(Path(config.runs), benchmark, scores[AS_IS])
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
    benchmarks: Sequence[Benchmark | JudgedBenchmark], config: EvaluationConfig, folder: Path, share: Share = WHOLE
) -> SuiteScores:
    """Score what others made: embeddings, or TREC runs of judged benchmarks.

    Of several processes each searches its `share` of the embeddings of large corpora, and the first scores everything.

    Raises:
        DataError: the folder holds neither for a benchmark, or a file of `precomputed` or `judged_scores.score_runs` is
            missing or malformed.
    """
    found: dict[str, BenchmarkScores] = {}
    timings = {}
    for benchmark in benchmarks:
        start = time.perf_counter()
        if isinstance(benchmark, JudgedBenchmark):
            scores = _foreign_judged(benchmark, config, folder, share)
        else:
            scores = _foreign_parallel(benchmark, config, folder) if share.part == 0 else None
        if scores is not None:
            found[benchmark.name] = scores
            timings[f"evaluate/{benchmark.name}"] = time.perf_counter() - start
    return suite_scores(benchmarks, found, timings)


def _foreign_parallel(benchmark: Benchmark, config: EvaluationConfig, folder: Path) -> BenchmarkScores:
    scores = _scored(benchmark, *read_embeddings(benchmark, folder), config, "")
    if config.runs is not None:
        export_lists(Path(config.runs), benchmark, scores)
    return scores


def _foreign_judged(
    benchmark: JudgedBenchmark, config: EvaluationConfig, folder: Path, share: Share
) -> BenchmarkScores | None:
    """Nothing in all processes but the first."""
    if (folder / f"{benchmark.name}.queries.npy").is_file():
        source = JudgedEmbeddings(benchmark, folder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return score_judged(benchmark, source, source.encoding(), config, device, share).get(AS_IS)
    if not any((folder / benchmark.name).glob("*.trec*")):
        raise DataError(
            f"{folder} has neither the embeddings of {benchmark.name}, which start with {benchmark.name}.queries.npy, "
            f"nor its runs, {benchmark.name}/*.trec or *.trec.gz"
        )
    return score_runs(benchmark, folder) if share.part == 0 else None


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


@contextmanager
def _eval_mode(encoder: DualEncoder) -> Iterator[None]:
    training = encoder.training
    encoder.eval()
    try:
        yield
    finally:
        encoder.train(training)
