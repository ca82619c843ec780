"""Puts together what validates a run while it trains: development sets, encoder and processes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from mixlingual.config.schema import TrainConfig
from mixlingual.data.development import development_sets, what_is_shared
from mixlingual.evaluation.encode import Embed, Embedded
from mixlingual.evaluation.validation import DevelopmentSets, names_of
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.tokenizer import Side, TextTokenizer
from mixlingual.records import AnyBenchmark, Benchmark, ParallelCorpus
from mixlingual.training.gather import global_rank, in_order, processes
from mixlingual.training.validation import Validator

log = logging.getLogger(__name__)


def make_validator(
    config: TrainConfig,
    corpus: ParallelCorpus,
    evaluated: Sequence[AnyBenchmark],
    tokenizer: TextTokenizer,
    steps: int,
) -> Validator | None:
    """Returns what measures the run; None if it is not validated. Says what that costs, and what speaks against it.

    Args:
        config: the run.
        corpus: its training data.
        evaluated: the benchmarks that it is evaluated on at the end.
        tokenizer: of its encoder.
        steps: of the run.

    Raises:
        DataError: a development set cannot be read or made.
        MixlingualError: one does not have what `validation.measure` takes.
    """
    sets = development_sets(config, corpus)
    if not sets:
        return None
    compared = [name for one in sets for name in names_of(one, config.validation.measure)]
    warnings = reservations(sets, evaluated)
    development = DevelopmentSets(sets, config.evaluation, config.loss, config.batching.batch_size)
    texts = sum(map(len, development.texts.values()))
    often, sizes = config.validation.times(steps), ", ".join(map(_size, sets))
    log.info("validation at %d steps on %s: %d texts each time", often, sizes, texts)
    for warning in warnings:
        log.warning("%s", warning)

    def measure(encoder: DualEncoder, device: torch.device, alone: bool) -> dict[str, float]:
        shares = processes() > 1 and not alone
        first = global_rank() == 0
        return development.measure(encoder, tokenizer, device, share=_shared if shares else None, first=first)

    about = {"data": {one.name: one.fingerprint for one in sets}, "warnings": warnings}
    return Validator(measure, compared, about)


def reservations(sets: Sequence[AnyBenchmark], evaluated: Sequence[AnyBenchmark]) -> list[str]:
    """Says, a sentence each, what a choice by these development sets would favour."""
    found = []
    for one in sets:
        if len(one.languages) == 1:
            found.append(
                f"The development set {one.name} is in {one.languages[0]} alone: what is chosen by it, a checkpoint or "
                "an option, favours that language, and so the ratio that serves it. Take a set in several languages."
            )
        shared = {other.name: what_is_shared(one, other) for other in evaluated}
        found += [
            f"The development set {one.name} shares {what} with the benchmark {name}: what is chosen by it favours the "
            f"figures reported on {name}."
            for name, what in shared.items()
            if what
        ]
    return found


def _size(benchmark: AnyBenchmark) -> str:
    if isinstance(benchmark, Benchmark):
        size = benchmark.size
        return f"{benchmark.name} ({size.queries:,} questions and {size.candidates:,} candidates in all languages)"
    return f"{benchmark.name} ({sum(len(task.queries) for task in benchmark.tasks):,} questions)"


def _shared(embed: Embed) -> Embed:
    """Makes each process encode every so-manieth text, and gives all of them all embeddings."""

    def encode(texts: list[str], side: Side, label: str = "validation") -> Embedded:
        filled = texts + texts[:1] * (-len(texts) % processes())
        own = embed(filled[global_rank() :: processes()], side, label)
        rows = in_order(torch.from_numpy(own.embedding_ND).to(_exchange_device()))
        return Embedded(rows[: len(texts)].cpu().numpy(), None)

    return encode


def _exchange_device() -> torch.device:
    """Returns where processes exchange rows: on their GPUs, or on CPUs without any."""
    backend = torch.distributed.get_backend()
    return torch.device("cuda", torch.cuda.current_device()) if backend == "nccl" else torch.device("cpu")
