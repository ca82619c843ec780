"""Writes the files in the folders of runs and sweeps: the one builder of fakes of them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixlingual.config.identity import config_hash, to_plain
from mixlingual.config.schema import TrainConfig
from mixlingual.layout import ATTEMPTS, PROGRESS, RESULT, STATUS, SWEEP
from mixlingual.records import RunResult

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
HERE = {"host": platform.node(), "pid": os.getpid()}
ELSEWHERE = {"host": "node1", "pid": 1}


def at(minutes: float) -> str:
    """ISO time of so many minutes before `NOW`."""
    return (NOW - datetime.timedelta(minutes=minutes)).isoformat(timespec="seconds")


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def result_of(config: TrainConfig | None = None, **parts: Any) -> dict[str, Any]:
    """The result.json of a finished run of a config; keywords replace parts of it."""
    config = config or TrainConfig()
    found = RunResult(
        config.sweep_name, config.run_name, to_plain(config), config_hash(config), None, {}, {},
        {"total": 2000, "non_embedding": 1000}, {}, {"steps": 1.0}, {}, {"train": 1.0},
    )  # fmt: skip
    return dataclasses.asdict(dataclasses.replace(found, **parts))


def write_result(run: Path, content: dict[str, Any] | None = None) -> Path:
    """A finished run, without a status; returns its folder."""
    write_json(run / RESULT, result_of() if content is None else content)
    return run


def write_status(run: Path, state: str, minutes: float = 60, *, ends: Iterable[str | None] = (), **facts: Any) -> None:
    """status.json of a run that started, and gave its last sign, so many minutes ago, elsewhere if not told.

    `ends` are the outcomes of its attempts, None for one without an end.
    """
    times = {"started": at(minutes), "updated": at(minutes)}
    write_json(run / STATUS, {"state": state, "reason": None, "traceback": None, **ELSEWHERE, **times, **facts})
    with (run / ATTEMPTS).open("a", encoding="utf-8") as file:
        for number, outcome in enumerate(ends, 1):
            events = [{"event": "start", "attempt": number}]
            events += [{"event": "end", "attempt": number, "outcome": outcome}] if outcome else []
            file.writelines(json.dumps(event) + "\n" for event in events)


def write_progress(run: Path, minutes: float, phase: str = "training", **facts: Any) -> None:
    write_json(run / PROGRESS, {"time": at(minutes), "phase": phase, "step": 30, "steps": 120, **facts})


def write_plan(sweep: Path, cells: Iterable[tuple[str, str, float, int]], batching: str = "hybrid") -> None:
    """sweep.json of cells: name of the run, size, ratio and seed."""
    keys = ("run_name", "model", "monolingual_ratio", "seed")
    runs = [dict(zip(keys, cell, strict=True)) | {"batching": batching} for cell in cells]
    write_json(sweep / SWEEP, {"schema": 1, "sweep_name": sweep.name, "runs": runs})
