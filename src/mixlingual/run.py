"""One grid point, start to end: data -> batches -> model -> training -> evaluation -> result."""

from __future__ import annotations

import importlib.metadata
import itertools
import logging
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch

from mixlingual.attempt import Attempt
from mixlingual.batches.datamodule import HybridDataModule, StepBatches
from mixlingual.batches.pools import make_sampler
from mixlingual.batches.sampler import HybridBatchSampler, exposure
from mixlingual.batches.tokens import TokenStore
from mixlingual.config import TrainConfig, config_hash, to_plain
from mixlingual.data.registry import load_corpus
from mixlingual.evaluation.suite import evaluate_encoder, load_benchmarks
from mixlingual.model.encoder import parameter_counts
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.records import ParallelCorpus, RunResult
from mixlingual.training.device import check_precision, check_processes, device_of
from mixlingual.training.fit import Trained, fit
from mixlingual.training.preemption import Signals
from mixlingual.training.progress import write_progress
from mixlingual.training.schedule import budget_steps
from mixlingual.training.tracking import Tracker

log = logging.getLogger(__name__)

PACKAGES = ("mixlingual", "torch", "pytorch-lightning", "transformers", "tokenizers", "numpy", "babel")


def run(
    config: TrainConfig, folder: Path, signals: Signals, save: Callable[[Attempt, RunResult, pd.DataFrame], None]
) -> None:
    """Trains and evaluates one grid point. Of several processes only the first evaluates.

    Args:
        config: the run.
        folder: receives the training curve and, if wanted, the trained encoder.
        signals: what may end the run early, and the attempt that owns the folder.
        save: called with the attempt, the result and the scores of every query (columns: see `evaluation.protocol`),
            before W&B is, whose last uploads may take a minute.

    Raises:
        MixlingualError: data, checkpoint or training failed in a way that the user can mend.
    """
    attempt = signals.attempt
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    check_processes(config.trainer)
    device = device_of(config.trainer.accelerator)
    check_precision(config.evaluation, device)
    corpus = load_corpus(config.data)
    benchmarks = load_benchmarks(config.evaluation)
    steps = budget_steps(config.trainer.steps, config.trainer.pairs, config.batching.batch_size)
    accumulate = config.trainer.accumulate
    sampler = make_sampler(corpus, config.batching, seed=config.seed, steps=steps, accumulate=accumulate)
    encoder, tokenizer = load_encoder(config.model, lambda: corpus_texts(corpus), config.seed)
    parameters = parameter_counts(encoder)
    log.info("%s", _outset(config, corpus, sampler, parameters, steps))
    with Tracker.open(config, folder, parameters) if attempt else Tracker(None) as tracker:
        trained = Trained()
        if steps:
            batches = StepBatches(
                corpus,
                sampler,
                TokenStore.open(corpus, tokenizer),
                steps=steps,
                accumulate=accumulate,
                hard_negatives=config.batching.hard_negatives,
                seed=config.seed,
            )
            trained = fit(
                encoder,
                HybridDataModule(batches, corpus, workers=config.trainer.workers),
                config,
                steps=steps,
                data_fingerprint=corpus.fingerprint,
                folder=folder,
                logger=tracker.logger,
                signals=signals,
            )
        if attempt is None:
            return
        if config.trainer.save_model:
            attempt.check()
            save_encoder(encoder, tokenizer, folder / "model")
        write_progress(folder, "evaluating", steps, steps)
        scores = evaluate_encoder(encoder, tokenizer, benchmarks, config.evaluation, device)
        result = RunResult(
            sweep_name=config.sweep_name,
            run_name=config.run_name,
            config=to_plain(config),
            config_hash=config_hash(config),
            commit=attempt.commits[-1],
            commits=attempt.commits,
            versions={"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in PACKAGES},
            data={f"train/{corpus.name}": corpus.fingerprint} | scores.fingerprints,
            parameters=parameters,
            batches=exposure(sampler, steps) | {"tokens": trained.tokens},
            training=trained.summary() | {"temperature": float(encoder.temperature)},
            benchmarks=scores.benchmarks,
            timings={"train": trained.seconds} | scores.timings,
            probes=trained.probes,
        )
        save(attempt, result, scores.per_query)
        tracker.log_result(result)


def _outset(
    config: TrainConfig, corpus: ParallelCorpus, sampler: HybridBatchSampler, parameters: dict[str, int], steps: int
) -> str:
    """What the run is about to do, in a line."""
    return (
        f"{config.run_name}: {len(corpus.items):,} items, {len(corpus.languages)} languages, "
        f"{parameters['total']:,} weights ({parameters['non_embedding']:,} non-embedding), {steps:,} steps of "
        f"{config.batching.batch_size} pairs, mean ratio {sampler.plan.ratio.mean():.4g}"
    )


def corpus_texts(corpus: ParallelCorpus) -> Iterator[str]:
    """Every training text, for a tokenizer made from them."""
    for item in corpus.items:
        yield from itertools.chain.from_iterable(
            texts.values() for texts in (item.query, item.passage, *item.negatives)
        )
