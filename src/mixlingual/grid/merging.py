"""Merges the encoders of the two pure ratios of each size and seed of a sweep, and evaluates what comes out."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from mixlingual.analysis.read.collect import is_folder_name, read_sweep
from mixlingual.analysis.read.merged import PURE
from mixlingual.analysis.read.ratio_axis import RatioAxis
from mixlingual.config.checks import to_config
from mixlingual.config.identity import identity, to_plain
from mixlingual.config.schema import EvaluateConfig, LoraConfig, MergeConfig
from mixlingual.data.registry import load_benchmarks
from mixlingual.evaluation.suite import evaluate_encoder
from mixlingual.files import digest, written_whole
from mixlingual.grid.cell import package_versions
from mixlingual.layout import MERGED, MODEL, QUERIES, RESULT
from mixlingual.model.encoder import DualEncoder, parameter_counts
from mixlingual.model.export import save_encoder
from mixlingual.model.hub import as_saved
from mixlingual.model.load import load_encoder
from mixlingual.model.merging import merged_weights
from mixlingual.model.tokenizer import TextTokenizer
from mixlingual.records import AnyBenchmark, MixlingualError, RunResult, fingerprint
from mixlingual.runs.lease import code_commit, locked, write_json
from mixlingual.runs.result import MALFORMED, read_document, read_run
from mixlingual.training.device import device_of, on_device, use_own_gpu, use_threads

log = logging.getLogger(__name__)


class _End(NamedTuple):
    """A finished run at a pure ratio."""

    folder: Path
    result: RunResult

    def source(self) -> dict[str, str]:
        """What tells the encoder from another one in the same folder: the run's result, and the weights.

        Raises:
            MixlingualError: the run has kept no encoder.
        """
        files = sorted((self.folder / MODEL).glob("*.safetensors"))
        if not files:
            raise MixlingualError(
                f"{self.folder.name} has kept no encoder; move {self.folder} away and train the run again with "
                "trainer.save_model=true"
            )
        weights = fingerprint(map(digest, files))
        return {"run": self.folder.name, "result": digest(self.folder / RESULT), "weights": weights}

    def evaluation(self, config: MergeConfig) -> EvaluateConfig:
        """The kept encoder, evaluated as the run was."""
        model = {**self.result.config["model"], "checkpoint": str(self.folder / MODEL), "layers": None}
        model["lora"] = to_plain(LoraConfig())  # adapters are part of the weights once they are saved
        evaluation = dict(self.result.config["evaluation"])
        if config.benchmarks_root is not None:
            evaluation["root"] = config.benchmarks_root
        found = to_config(EvaluateConfig, OmegaConf.create({"model": model, "evaluation": evaluation}))
        return on_device(found, device_of(config.accelerator))


def merge_sweep(config: MergeConfig) -> Path:
    """Merges and evaluates what is not merged yet; returns the folder of the results.

    Raises:
        MixlingualError: there is no such sweep, no size and seed of it has both ends, or some could not be merged:
            these are named once all others are.
    """
    use_threads(config.threads)
    use_own_gpu(device_of(config.accelerator))
    folder = Path(config.root) / config.sweep_name
    pairs = _pairs(folder)
    failed = []
    with locked(folder / MERGED):
        for number, ((model, seed), ends) in enumerate(pairs.items(), 1):
            log.info("%d of %d: %s, seed %d", number, len(pairs), model, seed)
            try:
                _merge(config, folder / MERGED, model, seed, *ends)
            except (MixlingualError, OSError) as error:
                log.error(error)  # noqa: TRY400 - the message is for the user
                failed.append(f"{model}, seed {seed}")
            except Exception:
                log.exception("%s, seed %d: this is a fault of the program", model, seed)
                failed.append(f"{model}, seed {seed}")
    if failed:
        raise MixlingualError(
            f"{len(failed)} of {len(pairs)} pairs of encoders could not be merged, for the reasons above: "
            f"{'; '.join(failed)}"
        )
    return folder / MERGED


def _pairs(folder: Path) -> dict[tuple[str, int], tuple[_End, _End]]:
    """(size, seed) -> its runs on monolingual batches alone, and on cross-lingual ones."""
    sweep = read_sweep(folder)
    axis = RatioAxis.of(sweep)
    results = {run.name: run.result for run in sweep.runs if run.result}
    found: dict[tuple[str, int], dict[float, _End]] = {}
    for run, trial in axis.trials.items():
        if trial.ratio in PURE:
            found.setdefault((trial.model, trial.seed), {})[trial.ratio] = _End(folder / run, results[run])
    for (model, seed), ends in found.items():
        if len(ends) < len(PURE):
            log.warning("%s, seed %d: there is no finished run at ratio %g", model, seed, 1 - next(iter(ends)))
    pairs = {place: (ends[1.0], ends[0.0]) for place, ends in found.items() if len(ends) == len(PURE)}
    if not pairs:
        raise MixlingualError(
            f"{folder}: no size and seed has finished runs at ratio 0 and at ratio 1, which are what is merged; train "
            "both with trainer.save_model=true"
        )
    return pairs


def _merge(config: MergeConfig, folder: Path, model: str, seed: int, mono: _End, cross: _End) -> None:
    """Merges one pair of ends in all wanted ways, and evaluates what comes out."""
    evaluation = mono.evaluation(config)
    about = {
        "mono": mono.source(),
        "cross": cross.source(),
        "evaluation": identity(evaluation)["evaluation"],
    }
    wanted = [
        (run, {"kind": kind, "share": share, **about})
        for kind, share in product(dict.fromkeys(config.kinds), dict.fromkeys(config.shares))
        for run in [folder / f"{model}_{kind}_l{share:g}_s{seed}"]
        if not _is_merged(run, {"kind": kind, "share": share, **about}, encoder=config.save_model)
    ]
    if not wanted:
        log.info("merged already; nothing to do")
        return
    if unfit := [run.name for run, _ in wanted if not is_folder_name(run.name)]:
        raise MixlingualError(f"{unfit[0]!r} is no name of a folder; give the size another model.name")
    benchmarks = load_benchmarks(evaluation.evaluation)
    _check_benchmarks(benchmarks, (mono, cross))
    encoder, tokenizer = _loaded(evaluation)
    other, its_tokenizer = _loaded(cross.evaluation(config))
    if tokenizer.identity() != its_tokenizer.identity():
        raise MixlingualError(
            f"{mono.folder.name} and {cross.folder.name} have other tokenizers, prefixes or length limits: their "
            "weights mean different things and cannot be merged"
        )
    first, second = (
        {name: part.clone() for name, part in side.backbone.state_dict().items()} for side in (encoder, other)
    )
    del other
    for run, record in wanted:
        encoder.backbone.load_state_dict(merged_weights(first, second, record["share"], record["kind"]))
        log.info("%s", run.name)
        if config.save_model:
            save_encoder(encoder, tokenizer, run / MODEL)
        scores = evaluate_encoder(encoder, tokenizer, benchmarks, evaluation.evaluation, device_of(config.accelerator))
        trained = mono.result.config
        batching = {**trained["batching"], "monolingual_ratio": record["share"]}
        result = RunResult(
            sweep_name=config.sweep_name,
            run_name=run.name,
            config={**trained, "run_name": run.name, "batching": batching},
            config_hash=fingerprint([json.dumps(record, sort_keys=True)]),
            commit=code_commit(),
            versions=package_versions(),
            data=scores.fingerprints,
            parameters=parameter_counts(encoder),
            batches={},
            training={},
            benchmarks=scores.benchmarks,
            timings=scores.timings,
        )
        with written_whole(run / QUERIES) as path:
            scores.per_query.to_parquet(path, index=False, compression="zstd")
        write_json(run / RESULT, dataclasses.asdict(result) | {"merged": record})


def _is_merged(run: Path, record: dict[str, Any], *, encoder: bool) -> bool:
    """Whether a folder holds the very encoder that is wanted; says why it is made anew where it holds another one."""
    if not (run / RESULT).exists():
        return False
    try:
        read_run(run)
        found = read_document(run / RESULT).get("merged")
    except MALFORMED as error:
        log.warning("%s cannot be read (%s) and is made anew", run, error)
        return False
    if found != record:
        log.warning("%s was merged from other encoders, or evaluated otherwise, and is made anew", run)
    return found == record and (run / MODEL).is_dir() >= encoder


def _check_benchmarks(benchmarks: Sequence[AnyBenchmark], ends: Sequence[_End]) -> None:
    changed = [*_changed(benchmarks, ends)]
    if changed:
        raise MixlingualError(
            f"{', '.join(changed)}: the benchmark is not what the run was evaluated on; set benchmarks_root to the "
            "folder with that of then, or evaluate the sweep anew"
        )


def _changed(benchmarks: Sequence[AnyBenchmark], ends: Sequence[_End]) -> Iterator[str]:
    for benchmark, end in product(benchmarks, ends):
        if end.result.data.get(benchmark.name, benchmark.fingerprint) != benchmark.fingerprint:
            yield f"{benchmark.name} of {end.folder.name}"


def _loaded(config: EvaluateConfig) -> tuple[DualEncoder, TextTokenizer]:
    return load_encoder(as_saved(config.model), None, seed=0)
