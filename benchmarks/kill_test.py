"""Kills runs at random moments until they finish, and counts how many end with the same bits.

    python -m benchmarks.kill_test [--runs 100] [--seed 0]

Each trial trains a tiny encoder with dropout on the embedded data, checkpointing every few steps, in
processes that get SIGKILL at a random moment, one after the other, until one of them finishes.
Weights and metrics are then compared with those of a run that was left alone. Accumulation and the
number of loading workers differ from trial to trial, the latter also from process to process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from mixlingual.config.schema import (
    BatchingConfig,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimConfig,
    ScratchConfig,
    TrainConfig,
    TrainerConfig,
)
from mixlingual.data.registry import load_benchmark, load_corpus
from mixlingual.grid.cell import train

LANGUAGES = ["de", "en", "th"]
STEPS = 60


def config_of(accumulate: int, workers: int) -> TrainConfig:
    """A run of about two seconds."""
    return TrainConfig(
        model=ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 1500, 0.1), learn_temperature=True),
        data=DataConfig(languages=LANGUAGES),
        batching=BatchingConfig(batch_size=16, draw="stratified"),
        optim=OptimConfig(learning_rate=2e-3),
        trainer=TrainerConfig(
            steps=STEPS, accumulate=accumulate, workers=workers, threads=1, log_every=7, checkpoint_steps=7
        ),
        evaluation=EvaluationConfig(benchmarks=["atlas"], languages=LANGUAGES),
    )


def attempt(config: TrainConfig, folder: Path, patience: float | None) -> bool:
    """Trains in a process of its own, which is killed after `patience` seconds; whether it finished."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        train(config, folder)
        os._exit(0)
    deadline = time.monotonic() + (patience or 600)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, f"the run failed; see {folder}/status.json"
            return True
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def fingerprint(folder: Path) -> tuple[str, str]:
    """Hash of the weights, and the result without what tells of time."""
    weights = hashlib.sha256((folder / "model/model.safetensors").read_bytes()).hexdigest()
    result = json.loads((folder / "result.json").read_text())
    kept = {name: result[name] for name in ("benchmarks", "training", "batches", "parameters")}
    return weights, json.dumps(kept, sort_keys=True)


def main() -> None:
    """Runs the trials and prints the tally; exit code 1 if any ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("mixlingual").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    load_corpus(DataConfig(languages=LANGUAGES))
    load_benchmark("atlas", EvaluationConfig(languages=LANGUAGES))
    draw = random.Random(arguments.seed)
    same = kills = 0
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["MIXLINGUAL_CACHE"] = str(Path(temporary, "cache"))
        whole, seconds = {}, 0.0
        for accumulate in (1, 2):
            started = time.monotonic()
            attempt(config_of(accumulate, 0), Path(temporary, f"whole{accumulate}"), None)
            seconds = time.monotonic() - started
            whole[accumulate] = fingerprint(Path(temporary, f"whole{accumulate}"))
        for trial in range(arguments.runs):
            accumulate, folder = 1 + trial % 2, Path(temporary, f"cut{trial}")
            while True:
                config = config_of(accumulate, draw.choice([0, 0, 1]))
                if attempt(config, folder, draw.uniform(0.1, 1.2) * seconds):
                    break
                kills += 1
            equal = fingerprint(folder) == whole[accumulate]
            same += equal
            sys.stdout.write(f"run {trial + 1}: {'same bits' if equal else 'DIFFERENT'}, {kills} kills so far\n")
            sys.stdout.flush()
    sys.stdout.write(f"{same} of {arguments.runs} runs ended bit-identical after {kills} kills\n")
    sys.exit(same != arguments.runs)


if __name__ == "__main__":
    main()
