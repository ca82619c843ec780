"""What a run needs to find before it starts, looked for on a login node."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mixlingual.config import DataConfig, ModelConfig, TrainConfig
from mixlingual.evaluation.suite import load_benchmarks
from mixlingual.model.hub import read_architecture
from mixlingual.records import DataError


def check_files(runs: Iterable[TrainConfig]) -> None:
    """Looks for each run's data, benchmarks and checkpoint, each once.

    Needs no GPU, and reads neither training texts nor weights. What is not there yet is downloaded, which compute nodes
    often cannot.

    Raises:
        MixlingualError: one is missing or malformed.
    """
    seen = set()
    for run in runs:
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
    if config.root is not None and not any(Path(config.root).expanduser().glob("*.jsonl*")):
        raise DataError(f"data.root={config.root} holds no *.jsonl or *.jsonl.gz file; set it to the folder that does")


def _check_model(config: ModelConfig) -> None:
    if config.checkpoint is not None:
        read_architecture(config)
