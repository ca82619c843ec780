"""Checks the files that a run needs: whether they are there, and whether they are still those that it was made from."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterable
from pathlib import Path

from mixlingual.config.schema import DataConfig, ModelConfig, TrainConfig, ValidationConfig
from mixlingual.data.development import development_benchmarks, development_sets
from mixlingual.data.registry import load_benchmarks, load_corpus
from mixlingual.data.sources.pair_corpus import check_pairs
from mixlingual.model.hub import read_architecture
from mixlingual.records import DataError, MixlingualError
from mixlingual.runs.record import RunRecord


def check_files(runs: Iterable[TrainConfig]) -> None:
    """Looks for each run's data, benchmarks and checkpoint, each once.

    Needs no GPU, and reads neither training texts nor weights. What is not there yet is downloaded, which compute nodes
    often cannot.

    Raises:
        MixlingualError: one is missing or malformed.
    """
    seen = set()
    for run in runs:
        if repr((run.validation, run.evaluation)) not in seen:
            seen.add(repr((run.validation, run.evaluation)))
            development_benchmarks(run.validation, run.evaluation)
        for part in (run.data, run.evaluation, run.model):
            if repr(part) in seen:
                continue
            seen.add(repr(part))
            if isinstance(part, DataConfig):
                _check_data(part)
            elif isinstance(part, ModelConfig):
                _check_model(part)
            else:
                load_benchmarks(part)


def _check_data(config: DataConfig) -> None:
    if config.name == "pairs":
        check_pairs(config)
    elif config.root is not None and not any(Path(config.root).expanduser().glob("[!.]*.jsonl*")):
        raise DataError(f"data.root={config.root} holds no *.jsonl or *.jsonl.gz file; set it to the folder that does")


def _check_model(config: ModelConfig) -> None:
    if config.checkpoint is not None:
        read_architecture(config)


def is_done(folder: Path, config: TrainConfig) -> bool:
    """Whether a run finished earlier, with this very config, on the very data that its folders hold now.

    Raises:
        MixlingualError: the folder holds the result of another config, of other data, or one that cannot be read.
    """
    result = RunRecord(folder, config).finished()
    if result is not None:
        check_same_data(result.data, config)
    return result is not None


def check_same_data(known: dict[str, str], config: TrainConfig) -> None:
    """Compares the data that a finished run was made from with those in the folders that its config names now.

    Args:
        known: `RunResult.data` of the run.
        config: the run as it would start now; options other than the folders of data are those of the run.

    Raises:
        MixlingualError: a folder holds other data, or none.
    """
    deciding = config.validation if config.validation.decides else ValidationConfig()
    found = _fingerprints(pickle.dumps((config.data, config.evaluation, deciding)))
    if changed := sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name)):
        raise MixlingualError(
            f"{config.run_name} was made from other data than data.root={config.data.root} and "
            f"evaluation.root={config.evaluation.root} hold now: {', '.join(changed)}\n"
            "Set them to the folders with the data of then, or choose another sweep_name."
        )


@functools.cache
def _fingerprints(parts: bytes) -> dict[str, str]:
    """As in `RunResult.data`. The runs of a grid mostly share their data, so each set is read once."""
    config = TrainConfig()
    config.data, config.evaluation, config.validation = pickle.loads(parts)
    corpus = load_corpus(config.data)
    sets = {f"validation/{each.name}": each.fingerprint for each in development_sets(config, corpus)}
    benchmarks = {each.name: each.fingerprint for each in load_benchmarks(config.evaluation)}
    return {f"train/{corpus.name}": corpus.fingerprint} | benchmarks | sets
