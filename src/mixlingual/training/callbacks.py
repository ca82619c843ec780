"""Records the training curve, as a Lightning callback."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingual.runs.progress import write_progress

_TELL_SECONDS = 1.0
"""progress.json is written at most once in so many seconds."""

COLUMNS = ("step", "loss", "loss_mono", "loss_cross", "gradient_norm", "learning_rate", "pairs_per_second")


class CurveRecorder(Callback):
    """Writes mean losses and the gradient norm to curves.csv, and to the trainer's logger if it has one.

    Beside curves.csv it keeps progress.json. A resumed run goes on with what the interrupted one had recorded.

    Attributes:
        losses: mean loss of every step.
        seconds: time spent training, over all attempts.
        tokens: kind -> tokens trained on, prefix and special tokens included, padding not.
    """

    def __init__(self, path: Path, check: Callable[[], None], *, every: int) -> None:
        """Takes the path of the CSV file, what to call before a write (`Signals.check`), and steps between points."""
        self.losses: list[float] = []
        self.tokens = {"monolingual": 0, "crosslingual": 0}
        self._before = 0.0
        self._began = time.perf_counter()
        self._path = path
        self._check = check
        self._every = every
        self._since: list[tuple[float, bool]] = []
        self._started = 0.0
        self._told = -math.inf
        self._pairs = 0
        self._rate = self._norm = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the file, or cuts it to the points before the step that the run goes on at."""
        self._began = self._started = time.perf_counter()
        if not trainer.is_global_zero:
            return
        self._check()
        points = []
        if trainer.global_step and self._path.exists():
            with self._path.open(newline="") as file:
                points = [row for row in list(csv.reader(file))[1:] if int(row[0]) <= trainer.global_step]
        with self._path.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *points])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keeps the learning rate that the coming step uses."""
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps what the step gave, and writes a point when one is due."""
        losses, monolingual = outputs["loss_N"].tolist(), outputs["monolingual_N"].tolist()
        for is_monolingual, tokens in zip(monolingual, outputs["tokens_N"].tolist()):
            self.tokens["monolingual" if is_monolingual else "crosslingual"] += tokens
        self.losses.append(sum(losses) / len(losses))
        self._pairs = len(losses)
        self._since += zip(losses, monolingual)
        self._norm = outputs["gradient_norm"]
        if trainer.global_step % self._every == 0 or trainer.is_last_batch or trainer.should_stop:
            self._write_point(trainer)

    @property
    def seconds(self) -> float:
        """Returns the seconds spent training so far."""
        return self._before + time.perf_counter() - self._began

    def leave_out(self, seconds: float) -> None:
        """Takes off seconds that went by since training began or the last point, and were no training."""
        self._began += seconds
        self._started += seconds

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed run needs: all losses, the pairs since the last point, tokens and seconds so far."""
        return {
            "losses": list(self.losses),
            "since": list(self._since),
            "tokens": dict(self.tokens),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the record of the interrupted run."""
        self.losses = list(state_dict["losses"])
        self._since = list(state_dict["since"])
        self.tokens = dict(state_dict["tokens"])
        self._before = state_dict["seconds"]

    def _write_point(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        point = {
            "loss": _mean([loss for loss, _ in self._since]),
            "loss_mono": _mean([loss for loss, monolingual in self._since if monolingual]),
            "loss_cross": _mean([loss for loss, monolingual in self._since if not monolingual]),
            "gradient_norm": self._norm,
            "learning_rate": self._rate,
            "pairs_per_second": len(self._since) / (now - self._started),
        }
        if trainer.is_global_zero:
            self._check()
            with self._path.open("a", newline="") as file:
                csv.writer(file).writerow([trainer.global_step, *("" if x is None else x for x in point.values())])
            if now - self._told >= _TELL_SECONDS:
                self._told = now
                self._tell(trainer, len(self._since) / (now - self._started))
        if trainer.logger is not None:
            known = {f"train/{name}": value for name, value in point.items() if value is not None}
            trainer.logger.log_metrics(known, step=trainer.global_step)
        self._since = []
        self._started = now

    def _tell(self, trainer: Trainer, pairs_per_second: float) -> None:
        step, steps = trainer.global_step, trainer.max_steps
        seconds_left = (steps - step) * self._pairs / pairs_per_second
        write_progress(self._path.parent, "training", step, steps, pairs_per_second, seconds_left)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
