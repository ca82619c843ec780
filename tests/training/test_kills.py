"""Whole runs that are killed at random moments, also while they evaluate and save, end with the same bits."""

import hashlib
import json
import os
import random
import signal
import time

import pytest
from forks import fork, wait

from mixlingual.config.schema import (
    BatchingConfig,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    ScratchConfig,
    TrainConfig,
    TrainerConfig,
)
from mixlingual.grid.cell import train

LANGUAGES = ["de", "en", "th"]


def config_of(accumulate, workers):
    """Returns the config of a run of about two seconds, with dropout."""
    steps = {"steps": 60, "log_every": 7, "checkpoint_steps": 7}
    return TrainConfig(
        model=ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 1500, 0.1), learn_temperature=True),
        data=DataConfig(languages=LANGUAGES),
        batching=BatchingConfig(batch_size=16, draw="stratified"),
        trainer=TrainerConfig(accumulate=accumulate, workers=workers, threads=1, **steps),
        evaluation=EvaluationConfig(benchmarks=["atlas"], languages=LANGUAGES),
    )


def start(folder, accumulate, workers):
    """Starts a run in a process group of its own, which its loading workers belong to."""

    def act():
        os.setpgid(0, 0)
        train(config_of(accumulate, workers), folder)

    return fork(act, folder)


def content(folder):
    """Returns a hash of the weights, and the result without what tells of time."""
    result = json.loads((folder / "result.json").read_text())
    kept = {name: result[name] for name in ("benchmarks", "training", "batches", "parameters")}
    return hashlib.sha256((folder / "model/model.safetensors").read_bytes()).hexdigest(), kept


@pytest.mark.slow
def test_100_runs_killed_at_random_moments_end_with_the_same_bits(tmp_path):
    """Accumulation differs from trial to trial, the number of loading workers from process to process."""
    draw = random.Random(0)
    whole, seconds = {}, 0.0
    for accumulate in (1, 2):
        began = time.monotonic()
        folder = tmp_path / f"whole{accumulate}"
        assert wait(start(folder, accumulate, 0)) == 0, (folder / "stderr").read_text()
        seconds = time.monotonic() - began
        whole[accumulate] = content(folder)
    kills = 0
    for trial in range(100):
        accumulate, folder = 1 + trial % 2, tmp_path / f"cut{trial}"
        while True:
            child = start(folder, accumulate, draw.choice([0, 0, 1]))
            time.sleep(draw.uniform(0.1, 1.2) * seconds)
            os.killpg(child, signal.SIGKILL)
            if (code := wait(child)) == 0:
                break
            assert code == -signal.SIGKILL, (folder / "stderr").read_text()
            kills += 1
        assert content(folder) == whole[accumulate], f"trial {trial}"
    assert kills > 20
