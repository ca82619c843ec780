"""Runs one grid point from start to end: data -> batches -> model -> training -> evaluation -> result."""

from __future__ import annotations

import importlib.metadata
import itertools
import logging
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pytorch_lightning.loggers import Logger

from mixlingual.batches.datamodule import HybridDataModule, StepBatches
from mixlingual.batches.pools import make_sampler
from mixlingual.batches.sampler import HybridBatchSampler, exposure
from mixlingual.batches.tokens import TokenStore
from mixlingual.config.identity import config_hash, to_plain
from mixlingual.config.schema import TrainConfig
from mixlingual.data.development import untrained
from mixlingual.data.registry import load_benchmarks, load_corpus
from mixlingual.evaluation.suite import SuiteScores, evaluate_encoder
from mixlingual.evaluation.teacher import learned_targets
from mixlingual.grid.prerequisites import is_done
from mixlingual.grid.validation import make_validator
from mixlingual.layout import LOG, MODEL, RESULT
from mixlingual.model.encoder import DualEncoder, parameter_counts
from mixlingual.model.export import save_encoder
from mixlingual.model.hub import front_matter
from mixlingual.model.load import load_encoder
from mixlingual.model.tokenizer import TextTokenizer
from mixlingual.records import AnyBenchmark, ParallelCorpus, RunResult
from mixlingual.reporting.card import write_card
from mixlingual.runs.lease import Attempt, PeerLostError, own_name, record_failure
from mixlingual.runs.progress import write_progress
from mixlingual.runs.record import RunRecord
from mixlingual.tracking.run import Tracker
from mixlingual.tracking.terminal import terminal_bars
from mixlingual.training.device import check_processes, device_of, going_on, use_own_gpu, use_threads
from mixlingual.training.fit import Trained, fit
from mixlingual.training.gather import global_rank
from mixlingual.training.preemption import Signals
from mixlingual.training.schedule import budget_steps
from mixlingual.training.validation import Validator

log = logging.getLogger(__name__)

TOKENIZER_ITEMS = 200_000
"""A tokenizer is trained on the texts of at most so many items."""

PACKAGES = ("mixlingual", "torch", "pytorch-lightning", "transformers", "tokenizers", "numpy")


def train(config: TrainConfig, folder: Path) -> None:
    """Does what is missing in a run's folder: nothing where the same run is finished.

    Of several processes the first keeps the folder; the others only train along.

    Raises:
        MixlingualError: the folder belongs to another config, or the run failed.
    """
    if is_done(folder, config):
        log.info("%s is finished; nothing to do", config.run_name)
        return
    record = RunRecord(folder, config)
    if global_rank() > 0:
        _keep_log(folder)
        try:
            with Signals(None) as signals:
                run(config, folder, signals, record.save)
        except Exception as error:
            if not isinstance(error, PeerLostError):
                record_failure(folder, global_rank(), error)
            raise
        return
    with record.attempt() as attempt, Signals(attempt) as signals:
        _keep_log(folder)
        run(config, folder, signals, record.save)
        log.info("%s: result in %s", config.run_name, folder / RESULT)


def _keep_log(folder: Path) -> None:
    """From now on the lines of the terminal go to a file too; not before, since a refused start leaves no trace.

    Hydra takes the handler away before the next run of a grid in this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(LOG)
    handler = logging.FileHandler(folder / f"{own_name(path.stem)}{path.suffix}", encoding="utf-8")
    root = logging.getLogger()
    handler.setFormatter(next((other.formatter for other in root.handlers), None))
    root.addHandler(handler)


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
    use_threads(config.trainer.threads)
    check_processes(config.trainer)
    device = device_of(config.trainer.accelerator)
    use_own_gpu(device)
    config = going_on(config, device, folder)
    parts = _load(config)
    signals.answer_now()
    log.info("%s", _outset(config, parts))
    attempt = signals.attempt
    with Tracker.open(config, folder, parts.parameters) if attempt else Tracker(None) as tracker:
        trained = _train(config, parts, folder, tracker.logger, signals) if parts.steps else Trained()
        if attempt is None:
            return
        attempt.check()
        if config.trainer.save_model:
            save_encoder(parts.encoder, parts.tokenizer, folder / MODEL)
        parts.encoder.backbone.register_forward_pre_hook(lambda *_: signals.answer_now())
        embeddings = config.evaluation.embeddings
        write_progress(folder, "evaluating", trained.steps, parts.steps, embeddings=embeddings)
        scores = evaluate_encoder(parts.encoder, parts.tokenizer, parts.benchmarks, config.evaluation, device)
        result = _result(config, parts, attempt, trained, scores)
        if config.trainer.save_model:
            _describe(config, folder / MODEL, result, scores.per_query)
        save(attempt, result, scores.per_query)
        tracker.log_result(result)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a run is made of."""

    corpus: ParallelCorpus
    benchmarks: Sequence[AnyBenchmark]
    steps: int
    sampler: HybridBatchSampler
    encoder: DualEncoder
    tokenizer: TextTokenizer
    parameters: dict[str, int]
    validator: Validator | None


def _load(config: TrainConfig) -> _Parts:
    """Everything that can be found wrong before a step is trained."""
    corpus = load_corpus(config.data)
    benchmarks = load_benchmarks(config.evaluation)
    steps = budget_steps(config.trainer.steps, config.trainer.pairs, config.batching.batch_size)
    without = untrained(config, corpus)
    sampler = make_sampler(
        corpus, config.batching, seed=config.seed, steps=steps, accumulate=config.parts, without=without
    )
    encoder, tokenizer = load_encoder(config.model, lambda: corpus_texts(corpus), config.seed)
    validator = make_validator(config, corpus, benchmarks, tokenizer, steps) if steps else None
    return _Parts(corpus, benchmarks, steps, sampler, encoder, tokenizer, parameter_counts(encoder), validator)


def _train(config: TrainConfig, parts: _Parts, folder: Path, logger: Logger | None, signals: Signals) -> Trained:
    batches = StepBatches(
        parts.corpus,
        parts.sampler,
        TokenStore.open(parts.corpus, parts.tokenizer, config.data.processes),
        steps=parts.steps,
        accumulate=config.parts,
        hard_negatives=config.batching.hard_negatives,
        extra=config.batching.extra_passages,
        seed=config.seed,
    )
    if config.loss.teacher is not None:
        batches = batches.taught(
            learned_targets(
                config,
                parts.corpus,
                parts.sampler,
                steps=parts.steps,
                dimension=parts.encoder.dimension,
                device=device_of(config.trainer.accelerator),
                share=slice(global_rank(), None, config.trainer.processes),
            )
        )
    return fit(
        parts.encoder,
        HybridDataModule(batches, parts.corpus, workers=config.trainer.workers),
        config,
        steps=parts.steps,
        data_fingerprint=parts.corpus.fingerprint,
        folder=folder,
        logger=logger,
        signals=signals,
        validator=parts.validator,
        callbacks=terminal_bars(),
    )


def _result(config: TrainConfig, parts: _Parts, attempt: Attempt, trained: Trained, scores: SuiteScores) -> RunResult:
    return RunResult(
        sweep_name=config.sweep_name,
        run_name=config.run_name,
        config=to_plain(config),
        config_hash=config_hash(config),
        commit=attempt.commits[-1],
        commits=attempt.commits,
        versions=package_versions(),
        data={f"train/{parts.corpus.name}": parts.corpus.fingerprint} | scores.fingerprints | _deciding(config, parts),
        parameters=parts.parameters,
        batches=exposure(parts.sampler, trained.steps) | {"tokens": trained.tokens},
        training=trained.summary() | {"temperature": float(parts.encoder.temperature)},
        benchmarks=scores.benchmarks,
        timings=trained.timings | scores.timings,
        probes=trained.probes,
        validation=trained.validation,
    )


def package_versions() -> dict[str, str]:
    """Package name -> version, of those that numbers may depend on, Python included."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def _describe(config: TrainConfig, folder: Path, result: RunResult, per_query: pd.DataFrame) -> None:
    """Writes the model card. A run does not fail for want of one."""
    try:
        write_card(folder, result, per_query, front_matter(config.model) if config.model.checkpoint else {})
    except Exception:
        log.exception("the model card was not written; `python -m mixlingual.export folder=%s` tries again", folder)


def _deciding(config: TrainConfig, parts: _Parts) -> dict[str, str]:
    """Fingerprints of the development sets, where they decide how the run ends."""
    if not config.validation.decides or parts.validator is None:
        return {}
    return {f"validation/{name}": fingerprint for name, fingerprint in parts.validator.about["data"].items()}


def _outset(config: TrainConfig, parts: _Parts) -> str:
    """What the run is about to do, in a line."""
    items, languages, parameters = parts.corpus.items, parts.corpus.languages, parts.parameters
    return (
        f"{config.run_name}: {len(items):,} items, {len(languages)} language{'s' if len(languages) > 1 else ''}, "
        f"{parameters['total']:,} weights ({parameters['non_embedding']:,} non-embedding), {parts.steps:,} steps of "
        f"{config.batching.batch_size} pairs, mean ratio {parts.sampler.plan.ratio.mean():.4g}, "
        f"trainer.precision={config.trainer.precision}, evaluation.precision={config.evaluation.precision}"
    )


def corpus_texts(corpus: ParallelCorpus) -> Iterator[str]:
    """Every training text, for a tokenizer made from them; of a large corpus those of items evenly spaced over it."""
    step = max(1, -(-len(corpus.items) // TOKENIZER_ITEMS))
    for item in corpus.items[::step]:
        yield from itertools.chain.from_iterable(
            texts.values() for texts in (item.query, item.passage, *item.negatives)
        )
