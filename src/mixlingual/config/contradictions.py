"""Lists mistakes that concern several options, or more than a range says, by section."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixlingual.config.names import BENCHMARKS
from mixlingual.config.schema import (
    MOST_STEPS,
    AnalysisConfig,
    BatchingConfig,
    ClusterConfig,
    DataConfig,
    EvaluateConfig,
    EvaluationConfig,
    ExportConfig,
    ModelConfig,
    OptimConfig,
    PrepareConfig,
    RecipeConfig,
    ReportConfig,
    StatusConfig,
    TrainConfig,
)
from mixlingual.layout import DASHBOARD, EVALUATION, JOBS, MERGED, MULTIRUN, REPORT, SEARCH, STARTS, SWEEP

Mistakes = Iterator[tuple[str, str]]
"""(dotted path of the option, message)"""

NAME_BYTES = 200
"""Longest name of a folder: file systems take 255, of which suffixes of files beside it need some."""

NAMES = ("sweep_name", "run_name")
"""Options that name a folder."""

_BENCHMARK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,49}")
"""Its name is part of file names, of names of measures on W&B and of option names."""

SWEEP_FILES = (REPORT, EVALUATION, MERGED, SWEEP, STARTS, JOBS, MULTIRUN, SEARCH, DASHBOARD)
"""What a sweep's folder holds beside its runs, without what starts with a dot."""


def contradictions(config: object) -> Mistakes:
    """Every such mistake of a config whose single values are checked."""
    yield from _names(config)
    if isinstance(config, TrainConfig):
        yield from _train(config)
    elif isinstance(config, EvaluateConfig):
        yield from _evaluate(config)
    elif isinstance(config, EvaluationConfig):
        yield from _evaluation(config)
    elif isinstance(config, ReportConfig):
        taken = {Path(part).resolve() for part in config.parts}
        if config.parts and (config.output is None or Path(config.output).resolve() in taken):
            yield "output", f"got {config.output}; a report of parts needs a folder of its own, output=FOLDER"
        yield from _compared(config)
    elif isinstance(config, ClusterConfig):
        if config.signal_delay_s >= 60 * config.timeout_min:
            yield (
                "signal_delay_s",
                f"got {config.signal_delay_s}, which is not less than the {config.timeout_min} minutes",
            )
    elif isinstance(config, PrepareConfig):
        yield from _recipe(config.recipe)
    elif isinstance(config, ExportConfig) and config.folder is None:
        yield "folder", "no encoder is named; set folder=multirun/SWEEP/RUN"
    elif isinstance(config, StatusConfig) and config.json and config.watch:
        yield "json", "the runs are printed as JSON once; set watch=false"


def name_problem(option: str, name: str) -> str | None:
    """Why a folder cannot have the name; None if it can.

    Args:
        option: one of `NAMES`.
        name: its value.
    """
    if not name.strip() or name.startswith("."):
        return f"got {name!r}; it names a folder, whose name is not blank and does not start with a dot"
    if not name.isprintable():
        return f"got {name!r}; it names a folder: no control characters, line breaks or broken text"
    if "/" in name or "\\" in name or "${" in name:
        return f"got {name!r}; it names one folder below another: no slashes, and no ${{"
    if len(name.encode()) > NAME_BYTES:
        return f"got {name[:40]!r} and so on; it names a folder: at most {NAME_BYTES} bytes, not {len(name.encode())}"
    if option == "run_name" and name.casefold() in SWEEP_FILES:
        return f"got {name!r}, where the sweep keeps something of its own; choose another name"
    return None


def _names(config: Any) -> Mistakes:
    """What would lead out of multirun/, or onto a sweep's own files."""
    is_title = isinstance(config, ReportConfig) and config.parts
    for option in NAMES:
        if hasattr(config, option) and not is_title:
            problem = name_problem(option, getattr(config, option))
            yield from [(option, problem)] if problem else []


def _compared(config: ReportConfig) -> Mistakes:
    """Two sweeps, by name."""
    if config.compare and (len(config.compare) != 2 or len(set(config.compare)) < 2):
        yield "compare", f"got {config.compare}; it takes two sweeps, as compare=[first,second]"
    if config.compare and config.parts:
        yield "compare", "it compares sweeps, not parts; join these into a report of their own, or leave out parts"
    for name in config.compare:
        if problem := name_problem("sweep_name", name):
            yield "compare", problem


def _recipe(recipe: RecipeConfig) -> Mistakes:
    spans: dict[str, list[Any]] = {
        "filter.query_characters": recipe.filter.query_characters,
        "filter.passage_characters": recipe.filter.passage_characters,
        "translate.length_ratio": recipe.translate.length_ratio,
    }
    for path, span in spans.items():
        if len(span) != 2 or span[0] > span[1]:
            yield f"recipe.{path}", f"got {span}; it takes two numbers, the smallest and the largest"
    if recipe.mine.first_rank > recipe.mine.last_rank:
        yield (
            "recipe.mine.first_rank",
            f"got {recipe.mine.first_rank}, after recipe.mine.last_rank={recipe.mine.last_rank}; lower it",
        )
    for name in recipe.sources:
        if problem := name_problem("run_name", name):
            yield "recipe.sources", problem


def _train(config: TrainConfig) -> Mistakes:
    yield from _model(config.model)
    yield from _data(config.data, "data")
    yield from _batching(config.batching)
    yield from _optim(config.optim)
    yield from _evaluation(config.evaluation)
    yield from of_analysis(config.analysis)
    yield from _length(config)
    yield from _validation(config)
    yield from _shares(config)
    if config.loss.teacher is not None:
        yield from _taught(config)
    if config.trainer.strategy == "shard":
        yield from _sharding(config)
    if config.tracking.artifacts == "model" and not config.trainer.save_model:
        yield "tracking.artifacts", "got model, but no encoder is kept; set trainer.save_model=true, or results"


def _model(model: ModelConfig) -> Mistakes:
    if model.checkpoint is None and model.scratch.hidden % model.scratch.heads:
        yield (
            "model.scratch.hidden",
            (
                f"got {model.scratch.hidden}, which {model.scratch.heads} heads do not divide; "
                "change model.scratch.hidden or model.scratch.heads"
            ),
        )
    if model.layers is not None and model.layers != sorted(set(model.layers)):
        yield "model.layers", f"got {model.layers}; list each kept layer once, in ascending order, or null for all"


def _data(data: DataConfig, path: str) -> Mistakes:
    if data.name == "parallel" and data.root is None:
        yield f"{path}.root", f"data=parallel needs the folder of its JSON lines; set {path}.root=FOLDER"
    hubs = [source.pairs.hub or (None if source.files else data.pairs.hub) for source in data.sources.values()]
    if data.name == "pairs" and data.root is None and None in (hubs or [data.pairs.hub]):
        yield (
            f"{path}.root",
            f"data=pairs needs files or a hub data set; set {path}.root=PATH or {path}.pairs.hub=OWNER/NAME",
        )


def _batching(batching: BatchingConfig) -> Mistakes:
    if batching.final_ratio is not None and batching.ratio_schedule == "constant":
        yield "batching.final_ratio", "a constant ratio has no other end; set batching.ratio_schedule or null"
    weights = [batching.language_weights.get(language, 1.0) for language in batching.languages or []]
    if weights and not any(weights):
        yield (
            "batching.language_weights",
            "got 0 for every language of batching.languages; give one of them a larger weight",
        )


def _optim(optim: OptimConfig) -> Mistakes:
    if len(optim.betas) != 2:
        yield "optim.betas", f"got {len(optim.betas)} numbers; AdamW takes two, as in [0.9, 0.999]"
    elif optim.embeddings == "rows" and optim.betas[0] >= math.sqrt(optim.betas[1]):
        yield (
            "optim.betas",
            (
                f"got {optim.betas}; rows of the token table need the first below the root of the second, or they "
                "would drift for ever: raise the second, or set optim.embeddings=dense"
            ),
        )


def of_analysis(analysis: AnalysisConfig) -> Mistakes:
    """Every such mistake of a declared analysis."""
    if analysis.ratio in (0.0, 1.0):
        yield "analysis.ratio", f"got {analysis.ratio:g}; it is contrasted with 0 and 1, so it lies between them"
    if analysis.sizes is not None and len(set(analysis.sizes)) != 2:
        yield "analysis.sizes", f"got {analysis.sizes}; a contrast has two sizes, the smaller first"
    for measure, smallest in analysis.smallest_effect.items():
        if smallest <= 0:
            yield "analysis.smallest_effect", f"got {smallest:g} for {measure}; it takes numbers above 0"


def _length(config: TrainConfig) -> Mistakes:
    steps, pairs = config.trainer.steps, config.trainer.pairs
    if (steps is None) == (pairs is None):
        yield "trainer.steps", "exactly one of trainer.steps and trainer.pairs must be set; set the other to null"
    elif pairs is not None and pairs > MOST_STEPS * config.batching.batch_size:
        yield "trainer.pairs", f"got {pairs}, more than {MOST_STEPS} batches of {config.batching.batch_size}"


def _validation(config: TrainConfig) -> Mistakes:
    validation, trainer = config.validation, config.trainer
    yield from _known_benchmarks("validation.benchmarks", validation.benchmarks, config.evaluation)
    if validation.decides and not validation.wanted:
        option = "select" if validation.select == "best" else "patience"
        yield (
            f"validation.{option}",
            f"got {getattr(validation, option)}, and the run is never validated; set validation.every or validation.at",
        )
    if validation.wanted and not validation.benchmarks and not validation.held_out:
        yield (
            "validation.benchmarks",
            "there is nothing to validate on; name benchmarks, set validation.held_out, or choose validation=none",
        )
    if (trainer.steps is None) != (trainer.pairs is None):
        steps = trainer.steps if trainer.pairs is None else math.ceil(trainer.pairs / config.batching.batch_size)
        late = [step for step in validation.at if steps is not None and step > steps]
        if late:
            yield "validation.at", f"got {late[0]}, and the run has {steps} steps; name steps up to that"


def _shares(config: TrainConfig) -> Mistakes:
    batch, trainer = config.batching.batch_size, config.trainer
    parts = config.parts * trainer.processes
    shares = f"trainer.accumulate={trainer.accumulate} times trainer.devices={trainer.devices}"
    negatives = config.batching.negatives
    if negatives is not None:
        shares = f"the {config.parts} groups of batching.negatives={negatives} times trainer.devices={trainer.devices}"
        if trainer.accumulate > 1:
            yield "batching.negatives", "its groups are what trainer.accumulate makes, too; leave one of them out"
        elif negatives + 1 < batch and batch % (negatives + 1):
            yield (
                "batching.negatives",
                f"got {negatives}; groups of {negatives + 1} pairs do not divide batching.batch_size={batch}",
            )
            return
    if trainer.nodes > 1:
        shares = f"{shares} times trainer.nodes={trainer.nodes}"
    if batch % parts:
        yield "batching.batch_size", f"got {batch}, which {shares} does not divide"
    elif trainer.probe_every is not None and batch % (2 * parts):
        yield (
            "trainer.probe_every",
            (
                f"probes halve the batch of {batch}, and {shares} does not divide the halves; change "
                "batching.batch_size, or set it to null"
            ),
        )


def _taught(config: TrainConfig) -> Mistakes:
    """Options of a loss that compares passages, which a run with a teacher does not have."""
    unused = {
        "loss.symmetric": config.loss.symmetric,
        "loss.margin": config.loss.margin is not None,
        "loss.matryoshka": config.loss.matryoshka,
        "model.learn_temperature": config.model.learn_temperature,
        "batching.hard_negatives": config.batching.hard_negatives,
        "batching.negatives": config.batching.negatives is not None,
        "trainer.probe_every": config.trainer.probe_every is not None,
    }
    for option, is_set in unused.items():
        if is_set:
            yield option, "it has no meaning with loss.teacher, whose loss compares no passages; leave it out"


def _sharding(config: TrainConfig) -> Mistakes:
    reason = "cannot go together with trainer.strategy=shard"
    if config.trainer.processes == 1:
        yield "trainer.strategy", "got shard with one device; set trainer.devices, or trainer.strategy=replicate"
    if config.optim.embeddings == "rows" and config.model.train_embeddings and not config.model.lora.rank:
        yield "optim.embeddings", f"rows {reason}; set it to dense, or model.train_embeddings=false"
    if config.optim.average != "none":
        yield "optim.average", f"{config.optim.average} {reason}; set it to none"
    if config.model.learn_temperature:
        yield "model.learn_temperature", f"true {reason}; set it to false"
    if config.trainer.probe_every is not None:
        yield "trainer.probe_every", f"{config.trainer.probe_every} {reason}; set it to null"
    if config.trainer.compile:
        yield "trainer.compile", f"true {reason}; set it to false"


def _evaluation(evaluation: EvaluationConfig) -> Mistakes:
    taken = {name.casefold() for name in BENCHMARKS}
    for name, folder in evaluation.custom.items():
        path = f"evaluation.custom.{name}"
        if not _BENCHMARK_NAME.fullmatch(name):
            yield path, "the name of a benchmark is a letter, then at most 49 letters, digits, - and _; rename it"
        elif name.casefold() in taken:
            yield path, "the name is taken, or differs from another one only in case; choose another"
        elif not folder.strip():
            yield path, f"got {folder!r}; give it the folder of the benchmark"
        taken.add(name.casefold())
    yield from _known_benchmarks("evaluation.benchmarks", evaluation.benchmarks, evaluation)


def _known_benchmarks(path: str, names: list[str], evaluation: EvaluationConfig) -> Mistakes:
    known = (*BENCHMARKS, *evaluation.custom)
    for i, name in enumerate(names):
        if name not in known:
            own = f"one of your own needs evaluation.custom.{name}=FOLDER"
            yield f"{path}[{i}]", f"got {name!r}; allowed: {', '.join(known)}; {own}"


def _evaluate(config: EvaluateConfig) -> Mistakes:
    yield from _evaluation(config.evaluation)
    foreign = config.precomputed is not None or config.score_runs is not None
    if config.precomputed is not None and config.score_runs is not None:
        yield "score_runs", "embeddings or runs can be scored, not both; set precomputed or score_runs to null"
    if config.post_hoc.methods and foreign:
        yield "post_hoc.methods", "corrections need an encoder; set precomputed and score_runs to null"
    if config.model.checkpoint is None and not foreign:
        yield "model.checkpoint", "evaluation needs a trained encoder; set model.checkpoint=FOLDER_OR_HUB_ID"
    if config.post_hoc.methods:
        yield from _data(config.post_hoc.data, "post_hoc.data")
    yield from _model(config.model)
