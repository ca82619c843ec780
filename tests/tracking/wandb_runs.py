"""Runs that the tests show on W&B, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import wandb

from mixlingual.config.schema import EvaluationConfig, TrackingConfig, TrainConfig
from mixlingual.records import RunResult
from mixlingual.tracking.run import Tracker

from .wandb_reader import RecordedRun, read_run

FAKE_KEY = "0123456789abcdef" * 2 + "deadbeef"
BENCHMARKS = {
    "atlas": {
        "languages": ["ar", "de"],
        "mono": {"map": 0.5, "languages": {"ar": {"map": 0.5}, "de": {"map": 0.5}}},
        "cross": {"map": 0.15, "pairs": {"ar-de": {"map": 0.1}, "de-ar": {"map": 0.2}}},
        "multi": {"map": 0.3, "rank_distance": 9.0},
        "bias": {"consistency": {"rbo": 0.25, "pairs": {"ar-de": {"rbo": 0.25}}}},
    }
}
RESULT = RunResult("s", "r", {}, "hash", None, {}, {}, {}, {}, {"final_loss": 0.5}, BENCHMARKS, {"train": 7.0})


def make_config(mode: str = "offline", run_name: str = "r", **tracked: Any) -> TrainConfig:
    config = TrainConfig(
        evaluation=EvaluationConfig(benchmarks=["atlas"]),
        tracking=TrackingConfig(mode=mode, **tracked),
        sweep_name="s",
        run_name=run_name,
    )
    config.model.name = "small"
    return config


def log_points(tracker: Tracker, steps: Iterable[int]) -> None:
    assert tracker.logger is not None
    for step in steps:
        tracker.logger.log_metrics({"train/loss": 1 / (1 + step)}, step=step)


def steps_of(rows: Iterable[dict[str, Any]]) -> list[int]:
    return [row["trainer/global_step"] for row in rows if "train/loss" in row]


def recorded(folder: Path) -> list[RecordedRun]:
    """What the attempts at the run in `folder` left on disk, oldest first, once wandb's process has ended."""
    wandb.teardown()
    paths = sorted(folder.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    return [read_run(path) for path in paths]


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for what other processes do; a limit that no working machine needs ends a broken test."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to pass")
