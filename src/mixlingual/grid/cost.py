"""Computes what a grid costs, in operations, time and disk, by checking each of its runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from mixlingual.batches.pools import make_sampler
from mixlingual.cluster.squeue import job_states
from mixlingual.config.identity import to_plain
from mixlingual.config.schema import DataConfig, EvaluationConfig, ModelConfig, TrainConfig
from mixlingual.data.registry import load_benchmark, load_corpus
from mixlingual.grid.cell import corpus_texts
from mixlingual.model.outline import Outline, Sample, outline
from mixlingual.records import ParallelCorpus, Size
from mixlingual.runs.state import Moment, states_of
from mixlingual.training.device import device_of, on_device
from mixlingual.training.schedule import budget_steps

TRAIN_FLOPS = 6
"""Floating-point operations per weight and token of a training step: forward 2, backward 4 (Kaplan et al. 2020)."""
ENCODE_FLOPS = 2
CHECKPOINT_BYTES = 12
"""Bytes of a weight in a checkpoint: the weight and AdamW's two moments, in fp32."""
BYTES_PER_QUERY_SCORE = 12
"""Disk of a row of queries.parquet, compressed: measured on XQuAD-R."""
SAMPLED_ITEMS = 200


@dataclass
class Cost:
    """What a grid takes: query-passage pairs, floating-point operations and bytes on disk."""

    pairs: int = 0
    train_flops: float = 0.0
    evaluate_flops: float = 0.0
    disk: float = 0.0
    checkpoints: float = 0.0
    """Bytes of the checkpoints of the largest run while it lasts."""
    precisions: set[str] = field(default_factory=set)
    """Those that the runs train and are evaluated in on this machine, `auto` written out."""


@dataclass
class Preflight:
    """Loads each data set, benchmark and encoder outline of a grid once, and adds up the cost."""

    cost: Cost = field(default_factory=Cost)
    _kept: dict[str, object] = field(default_factory=dict)

    def check(self, run: TrainConfig) -> None:
        """Raises MixlingualError where the run's device, data, pools, encoder or benchmarks are not usable.

        Judged benchmarks are checked but not counted: their passages are not read.
        """
        run = on_device(run, device_of(run.trainer.accelerator))
        self.cost.precisions.add(f"{run.trainer.precision} to train, {run.evaluation.precision} to evaluate")
        corpus = self._corpus(run.data)
        size = self._outline(run.model, corpus)
        steps = budget_steps(run.trainer.steps, run.trainer.pairs, run.batching.batch_size)
        make_sampler(corpus, run.batching, seed=run.seed, steps=steps, accumulate=run.trainer.accumulate)
        pairs = steps * run.batching.batch_size
        weights = size.parameters["non_embedding"]
        self.cost.pairs += pairs
        passages = 1 + run.batching.hard_negatives
        self.cost.train_flops += TRAIN_FLOPS * weights * pairs * (size.query_tokens + passages * size.passage_tokens)
        self.cost.disk += 4 * size.parameters["total"] if run.trainer.save_model else 0
        if run.trainer.checkpoint_steps or run.trainer.checkpoint_minutes:
            kept = (run.trainer.keep_checkpoints + 1) * CHECKPOINT_BYTES * size.parameters["total"]
            self.cost.checkpoints = max(self.cost.checkpoints, kept)
        for name in run.evaluation.benchmarks:
            texts = self._benchmark(name, run.evaluation)
            tokens = texts.queries * size.query_tokens + texts.candidates * size.passage_tokens
            self.cost.evaluate_flops += ENCODE_FLOPS * weights * tokens
            self.cost.disk += BYTES_PER_QUERY_SCORE * texts.rows

    def _corpus(self, config: DataConfig) -> ParallelCorpus:
        key = "corpus" + json.dumps(to_plain(config), sort_keys=True)
        if key not in self._kept:
            self._kept[key] = load_corpus(config)
        return self._kept[key]  # type: ignore[return-value]

    def _outline(self, config: ModelConfig, corpus: ParallelCorpus) -> Outline:
        key = "model" + json.dumps(to_plain(config), sort_keys=True) + corpus.fingerprint
        if key not in self._kept:
            sampled = corpus.items[:: max(1, len(corpus.items) // SAMPLED_ITEMS)]
            sample = Sample(
                [text for item in sampled for text in item.query.values()],
                [text for item in sampled for text in item.passage.values()],
            )
            self._kept[key] = outline(config, lambda: corpus_texts(corpus), sample)
        return self._kept[key]  # type: ignore[return-value]

    def _benchmark(self, name: str, config: EvaluationConfig) -> Size:
        key = f"benchmark{name}" + json.dumps(to_plain(config), sort_keys=True)
        if key not in self._kept:
            self._kept[key] = load_benchmark(name, config).size
        return self._kept[key]  # type: ignore[return-value]


def describe(runs: list[TrainConfig], cost: Cost, rate: float) -> str:
    """The grid and its cost in words; `rate` in floating-point operations per second."""
    sweep, moment = Path("multirun", runs[0].sweep_name), Moment(slurm=job_states())
    states = states_of(sweep, [run.run_name for run in runs], moment)
    names = [f"  {run.name}" + ("" if run.state == "planned" else f" ({run.words})") for run in states]
    shown = names if len(names) <= 12 else [*names[:10], f"  ... and {len(names) - 11} more", names[-1]]
    hours = (cost.train_flops + cost.evaluate_flops) / rate / 3600
    return "\n".join(
        [
            f"{len(runs)} run{'s' if len(runs) > 1 else ''} in {sweep}, all valid:",
            *shown,
            f"precision {'; '.join(sorted(cost.precisions))}",
            f"pairs     {cost.pairs:,} to train on",
            f"compute   {cost.train_flops:.3g} FLOPs to train, {cost.evaluate_flops:.3g} to evaluate",
            f"time      {hours:.2g} h at this machine's fp32 matrix peak ({rate / 1e9:,.0f} GFLOP/s); runs take longer",
            f"disk      {cost.disk / 1e9:.2g} GB, and up to {cost.checkpoints / 1e9:.2g} GB while a run lasts",
            "",
        ]
    )
