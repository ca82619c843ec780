"""Computes what a grid costs, in operations, time, memory and disk, by checking each of its runs."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from mixlingual.batches.pools import make_sampler
from mixlingual.config.devices import DEVICES, USUAL, Device
from mixlingual.config.identity import to_plain, written_out
from mixlingual.config.schema import DataConfig, EvaluationConfig, ModelConfig, TextConfig, TrainConfig
from mixlingual.data.development import development_sets, untrained
from mixlingual.data.registry import load_benchmark, load_corpus
from mixlingual.files import cache_dir, read_object, written_whole
from mixlingual.records import ParallelCorpus, Size
from mixlingual.runs.state import RunState
from mixlingual.training.forecast import Footprint, Forecast, forecast
from mixlingual.training.schedule import budget_steps

TRAIN_FLOPS = 6
"""Floating-point operations per weight and token of a training step: forward 2, backward 4 (Kaplan et al. 2020)."""
ENCODE_FLOPS = 2
BYTES_PER_QUERY_SCORE = 12
"""Disk of a row of queries.parquet, compressed: measured on XQuAD-R."""
SAMPLED_ITEMS = 200
_OUTLINES = "outlines-1"
"""The folder of the cache that holds outlines; a change of what is in them changes the name."""
_ABOUT = ("config.json", "tokenizer.json", "tokenizer_config.json", "mixlingual.json")
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Goal:
    """The device that a run is planned for."""

    name: str
    device: Device
    is_gpu: bool

    def seconds(self, operations: float, precision: str, utilisation: float) -> float:
        """How long so many floating-point operations take in a precision, at a share of the device's rate."""
        rate = self.device.fp32 if precision in ("fp32", "32-true") else self.device.bf16
        return operations / rate / utilisation


def goal_of(run: TrainConfig, launcher: Mapping[str, Any]) -> Goal:
    """The device that a run will have: the one named, the launcher's, the one at hand, or the usual one."""
    name = run.preflight.device or launcher.get("gpu")
    if name and run.trainer.accelerator != "cpu":
        return Goal(name, DEVICES[name], is_gpu=True)
    import torch  # seconds, which a plan for a named device need not wait for

    from mixlingual.training.device import device_of, matrix_rate

    if run.trainer.accelerator != "cpu" and torch.cuda.is_available():
        here = device_of("gpu")
        rates = [matrix_rate(here, dtype, size=4096, repeats=8) for dtype in (torch.bfloat16, torch.float32)]
        about = torch.cuda.get_device_properties(here)
        return Goal(about.name, Device(about.total_memory, *rates), is_gpu=True)
    if run.trainer.accelerator != "gpu":
        here = device_of("cpu")
        rates = [matrix_rate(here, torch.bfloat16), matrix_rate(here, size=1024, repeats=4)]
        return Goal("this machine's CPU", Device(psutil.virtual_memory().total, *rates), is_gpu=False)
    return Goal(USUAL, DEVICES[USUAL], is_gpu=True)


@dataclass(frozen=True, slots=True)
class Outlined:
    """What is kept of an encoder: `Outline`, and its footprint in training."""

    parameters: dict[str, int]
    query_tokens: float
    passage_tokens: float
    footprint: Footprint


@dataclass
class Cost:
    """What the runs of a grid that are not done take: pairs, floating-point operations, seconds and bytes on disk."""

    done: int = 0
    pairs: int = 0
    train_flops: float = 0.0
    evaluate_flops: float = 0.0
    validate_flops: float = 0.0
    seconds: float = 0.0
    disk: float = 0.0
    checkpoints: float = 0.0
    """Bytes of the checkpoints of the largest run while it lasts."""
    precisions: set[str] = field(default_factory=set)
    """Those that the runs train and are evaluated in on their device, `auto` written out."""
    forecasts: dict[tuple[str, str], Forecast] = field(default_factory=dict)
    """(model, device) -> what the run that takes most holds."""


@dataclass
class Preflight:
    """Loads each data set, benchmark and encoder outline of a grid once, and adds up the cost."""

    launcher: Mapping[str, Any] = field(default_factory=dict)
    """Options of the launcher."""
    cost: Cost = field(default_factory=Cost)
    runs: list[tuple[TrainConfig, RunState | None]] = field(default_factory=list)
    goals: dict[str, Goal] = field(default_factory=dict)
    _kept: dict[str, Any] = field(default_factory=dict)

    def check(self, run: TrainConfig, found: RunState | None = None) -> None:
        """Raises MixlingualError where the run's device, data, pools, encoder or benchmarks are not usable.

        Runs that are done, by what was found of them, are checked and cost nothing. Judged benchmarks are checked but
        not counted: their passages are not read.
        """
        goal = self._goal(run)
        run = written_out(run, bf16=True) if goal.is_gpu else _on_cpu(run)
        corpus = self._corpus(run.data)
        size = self._outlined(run, corpus)
        steps = budget_steps(run.trainer.steps, run.trainer.pairs, run.batching.batch_size)
        self._check_pools(run, corpus, steps)
        texts = {name: self._benchmark(name, run.evaluation) for name in run.evaluation.benchmarks}
        development = self._development(run, corpus)
        self.runs.append((run, found))
        if found is not None and found.state == "done":
            self.cost.done += 1
            return
        self.cost.precisions.add(f"{run.trainer.precision} to train, {run.evaluation.precision} to evaluate")
        pair_tokens = size.query_tokens + (1 + run.batching.hard_negatives) * size.passage_tokens
        pairs, weights = steps * run.batching.batch_size, size.parameters["non_embedding"]
        train = TRAIN_FLOPS * weights * pairs * pair_tokens
        tokens = sum(
            held.queries * size.query_tokens + held.candidates * size.passage_tokens for held in texts.values()
        )
        evaluate = ENCODE_FLOPS * weights * tokens
        tokens = sum(held.queries * size.query_tokens + held.candidates * size.passage_tokens for held in development)
        validate = ENCODE_FLOPS * weights * tokens * run.validation.times(steps)
        self.cost.pairs += pairs
        self.cost.train_flops += train
        self.cost.evaluate_flops += evaluate
        self.cost.validate_flops += validate
        utilisation = run.preflight.utilisation
        self.cost.seconds += goal.seconds(train, run.trainer.precision, utilisation) / run.trainer.processes
        self.cost.seconds += goal.seconds(evaluate + validate, run.evaluation.precision, utilisation)
        self.cost.disk += 4 * size.parameters["total"] if run.trainer.save_model else 0
        self.cost.disk += BYTES_PER_QUERY_SCORE * sum(held.rows for held in texts.values())
        step_tokens = run.batching.batch_size * pair_tokens / run.trainer.processes
        takes = forecast(size.footprint, run, goal.device, step_tokens, gpu=goal.is_gpu)
        if run.trainer.checkpoint_steps or run.trainer.checkpoint_minutes:
            kept = (run.trainer.keep_checkpoints + 1) * takes.checkpoint
            self.cost.checkpoints = max(self.cost.checkpoints, kept)
        key = (run.model.name, goal.name)
        if key not in self.cost.forecasts or takes.peak > self.cost.forecasts[key].peak:
            self.cost.forecasts[key] = takes

    def _goal(self, run: TrainConfig) -> Goal:
        key = json.dumps([run.preflight.device, run.trainer.accelerator])
        if key not in self.goals:
            self.goals[key] = goal_of(run, self.launcher)
        return self.goals[key]

    def _check_pools(self, run: TrainConfig, corpus: ParallelCorpus, steps: int) -> None:
        """Makes the sampler of each kind of batches once: pools do not depend on the seed."""
        parts = [to_plain(run.data), to_plain(run.batching), steps, run.parts, run.validation.held_out]
        key = "pools" + json.dumps(parts)
        if key not in self._kept:
            options = {"seed": run.seed, "steps": steps, "accumulate": run.parts}
            make_sampler(corpus, run.batching, **options, without=untrained(run, corpus))
            self._kept[key] = True

    def _corpus(self, config: DataConfig) -> ParallelCorpus:
        key = "corpus" + json.dumps(to_plain(config), sort_keys=True)
        if key not in self._kept:
            self._kept[key] = load_corpus(config)
        return self._kept[key]  # type: ignore[no-any-return]

    def _outlined(self, run: TrainConfig, corpus: ParallelCorpus) -> Outlined:
        """The outline of the run's encoder; the cache keeps it, since a tokenizer alone takes seconds to read."""
        trainer = run.trainer
        parts = [to_plain(run.model), trainer.precision, trainer.gradient_checkpointing, corpus.fingerprint]
        key = "model" + json.dumps(parts, sort_keys=True)
        if key not in self._kept:
            stamps = [f"{path} {path.stat().st_mtime_ns}" for path in _files(run.model)]
            parts = [key, stamps, *(importlib.metadata.version(name) for name in ("torch", "transformers"))]
            name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
            self._kept[key] = _read_outlined(path := cache_dir() / _OUTLINES / f"{name}.json") or _outlined(run, corpus)
            if not path.exists():
                with written_whole(path) as temporary:
                    temporary.write_text(json.dumps(dataclasses.asdict(self._kept[key])), encoding="utf-8")
        return self._kept[key]  # type: ignore[no-any-return]

    def _development(self, run: TrainConfig, corpus: ParallelCorpus) -> list[Size]:
        parts = [to_plain(run.validation), to_plain(run.evaluation), corpus.fingerprint]
        key = "development" + json.dumps(parts, sort_keys=True)
        if key not in self._kept:
            as_written = dataclasses.replace(
                run, evaluation=dataclasses.replace(run.evaluation, text=TextConfig())
            )  # of the same number
            self._kept[key] = [one.size for one in development_sets(as_written, corpus)]
        return self._kept[key]  # type: ignore[no-any-return]

    def _benchmark(self, name: str, config: EvaluationConfig) -> Size:
        key = f"benchmark{name}" + json.dumps(to_plain(config), sort_keys=True)
        if key not in self._kept:
            self._kept[key] = load_benchmark(name, dataclasses.replace(config, text=TextConfig())).size
        return self._kept[key]  # type: ignore[no-any-return]


def _on_cpu(run: TrainConfig) -> TrainConfig:
    from mixlingual.training.device import device_of, on_device

    return on_device(run, device_of("cpu"))


def _files(model: ModelConfig) -> list[Path]:
    """The files of a checkpoint that say what it is, as far as they are on this machine."""
    if model.checkpoint is None:
        return []
    if (folder := Path(model.checkpoint).expanduser()).is_dir():
        return [path for name in _ABOUT if (path := folder / name).exists()]
    import huggingface_hub

    try:
        found = [
            huggingface_hub.try_to_load_from_cache(model.checkpoint, name, revision=model.revision) for name in _ABOUT
        ]
    except huggingface_hub.errors.HFValidationError:
        return []  # a folder that is not there: whoever reads the checkpoint says so
    return [Path(path) for path in found if isinstance(path, str)]


def _outlined(run: TrainConfig, corpus: ParallelCorpus) -> Outlined:
    from mixlingual.grid.cell import corpus_texts  # these take PyTorch and seconds, for what the cache mostly holds
    from mixlingual.model.outline import Sample, outline
    from mixlingual.training.footprint import footprint

    sampled = corpus.items[:: max(1, len(corpus.items) // SAMPLED_ITEMS)]
    sample = Sample(
        [text for item in sampled for text in item.query.values()],
        [text for item in sampled for text in item.passage.values()],
    )
    found = outline(run.model, lambda: corpus_texts(corpus), sample)
    held = footprint(found.architecture, run)
    return Outlined(found.parameters, found.query_tokens, found.passage_tokens, held)


def _read_outlined(path: Path) -> Outlined | None:
    """The outline in a file of the cache; None where there is none, or a damaged one, which is deleted."""
    content = read_object(path)
    try:
        return Outlined(**content | {"footprint": Footprint(**content["footprint"])})
    except (KeyError, TypeError):
        path.unlink(missing_ok=True)
        return None


def describe(preflight: Preflight) -> str:
    """The grid and its cost in words."""
    cost, runs = preflight.cost, preflight.runs
    utilisation = runs[0][0].preflight.utilisation
    names = [f"  {run.run_name}{_begun(found)}" for run, found in runs]
    shown = names if len(names) <= _SHOWN else [*names[:10], f"  ... and {len(names) - 11} more", names[-1]]
    goals = {goal.name: goal for goal in preflight.goals.values()}
    rates = "; ".join(f"{name} ({_rates(goal.device)})" for name, goal in goals.items())
    done = f"; {cost.done} are done and not counted below" if cost.done else ""
    return "\n".join(
        [
            f"{len(runs)} run{'s' if len(runs) > 1 else ''} in multirun/{runs[0][0].sweep_name}, all valid{done}:",
            *shown,
            f"precision {'; '.join(sorted(cost.precisions)) or 'none'}",
            f"device    {rates}",
            f"pairs     {cost.pairs:,} to train on",
            f"compute   {cost.train_flops:.3g} FLOPs to train, {cost.evaluate_flops:.3g} to evaluate"
            + (f", {cost.validate_flops:.3g} to validate" if cost.validate_flops else ""),
            f"time      {cost.seconds / 3600:.2g} h of one device at {utilisation:.0%} of that (preflight.utilisation)",
            *_memory(preflight, {name: goal.device for name, goal in goals.items()}),
            f"disk      {cost.disk / 1e9:.2g} GB, and up to {cost.checkpoints / 1e9:.2g} GB while a run lasts",
            *_job(preflight),
            "",
        ]
    )


def _rates(device: Device) -> str:
    """What a device can do."""
    return (
        f"{device.bf16 / 1e12:.3g} TFLOP/s in bf16, {device.fp32 / 1e12:.3g} in fp32, {device.memory / 2**30:.0f} GiB"
    )


def _memory(preflight: Preflight, devices: Mapping[str, Device]) -> list[str]:
    """A line for each model: what it takes of its device at the most."""
    lines = []
    for (model, name), takes in preflight.cost.forecasts.items():
        device = devices[name]
        text = (
            f"memory    {model}: {takes.peak / 2**30:.3g} of {device.memory / 2**30:.3g} GiB, {takes.fixed / 2**30:.3g}"
            f" of it before a pass; passes of up to {takes.passes.pass_tokens:,} tokens"
        )
        lines.append(text if takes.fits(device) else f"{text}. DOES NOT FIT: see docs/large_models.md")
    return lines


def _job(preflight: Preflight) -> list[str]:
    """What a batch system must give a run, and where the launcher's options give less."""
    forecasts = preflight.cost.forecasts.values()
    if not forecasts:
        return []
    processes = max(run.trainer.devices for run, _ in preflight.runs)
    wanted = {
        "mem_gb": round(max(takes.host for takes in forecasts) * processes / 1e9),
        "signal_delay_s": max(takes.signal_delay_s for takes in forecasts),
    }
    lines = [f"job       {', '.join(f'{name}={value}' for name, value in wanted.items())} at least, on Slurm"]
    given = {name: preflight.launcher.get(name) for name in wanted}
    less = [f"{name}={given[name]}" for name, value in wanted.items() if (given[name] or value) < value]
    return [*lines, f"          the cluster's preset has {', '.join(less)}: raise it"] if less else lines


def _begun(found: RunState | None) -> str:
    """How a run stands, in words; nothing for one that is only planned."""
    return "" if found is None or found.state == "planned" else f" ({found.words})"
