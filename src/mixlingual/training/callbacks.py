"""Our Lightning callbacks: the recorded training curve."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

COLUMNS = ("step", "loss", "loss_mono", "loss_cross", "learning_rate", "pairs_per_second")


class CurveRecorder(Callback):
    """Writes the mean losses since the last point to curves.csv, and to the trainer's logger if it has one.

    `losses` keeps the loss of every step, for the run's result; a resumed run goes on with those it had.
    """

    def __init__(self, path: Path, *, every: int, batch_size: int) -> None:
        """Args: path of the CSV file; steps between points; pairs of a step."""
        self.losses: list[float] = []
        self._path = path
        self._every = every
        self._batch_size = batch_size
        self._in_step: list[tuple[float, bool]] = []
        self._since: list[tuple[float, bool]] = []
        self._started = 0.0
        self._rate = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the file, or cuts it to the points before the step that the run goes on at."""
        points = []
        if trainer.global_step and self._path.exists():
            with self._path.open(newline="") as file:
                points = [row for row in list(csv.reader(file))[1:] if int(row[0]) <= trainer.global_step]
        with self._path.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *points])
        self._started = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: all losses, and the pairs since the last point."""
        return {"losses": list(self.losses), "since": list(self._since)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the losses of the interrupted run."""
        self.losses = list(state_dict["losses"])
        self._since = list(state_dict["since"])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keeps the learning rate that the coming step uses."""
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps the losses of the micro-batch; after the last of a step, writes a point when one is due."""
        self._in_step += zip(outputs["loss_B"].tolist(), batch["monolingual"].tolist())
        if len(self._in_step) < self._batch_size:
            return
        self.losses.append(_mean([loss for loss, _ in self._in_step]) or 0.0)
        self._since += self._in_step
        self._in_step = []
        if trainer.global_step % self._every == 0 or trainer.is_last_batch:
            self._write_point(trainer)

    def _write_point(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        point = {
            "loss": _mean([loss for loss, _ in self._since]),
            "loss_mono": _mean([loss for loss, monolingual in self._since if monolingual]),
            "loss_cross": _mean([loss for loss, monolingual in self._since if not monolingual]),
            "learning_rate": self._rate,
            "pairs_per_second": len(self._since) / (now - self._started),
        }
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow([trainer.global_step, *("" if x is None else x for x in point.values())])
        if trainer.logger is not None:
            known = {f"train/{name}": value for name, value in point.items() if value is not None}
            trainer.logger.log_metrics(known, step=trainer.global_step)
        self._since = []
        self._started = now


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
