"""Shows a bar to who watches a run; elsewhere, as in batch jobs and in runs side by side, there are log lines alone."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from typing import Any, TextIO

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from mixlingual.training.gather import global_rank


def terminal_bars() -> list[Callback]:
    """Gives a bar where stderr is a terminal that this process has to itself, else none."""
    alone = global_rank() == 0 and multiprocessing.current_process().name == "MainProcess"
    return [TerminalBar()] if alone and sys.stderr.isatty() else []


class TerminalBar(Callback):
    """A bar that shows steps done, time gone by and time left, below the lines of the log, until training ends."""

    def __init__(self) -> None:
        columns = (
            "training",
            BarColumn(),
            MofNCompleteColumn(),
            "steps",
            TimeElapsedColumn(),
            "left",
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._terminal = sys.stderr

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the bar, at the step that the run goes on from."""
        self._bar.start()
        _log_to(sys.stderr, instead_of=self._terminal)  # by now rich's, which prints above the bar
        self._bar.add_task("training", total=trainer.max_steps, completed=trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar."""
        self._bar.update(self._bar.task_ids[0], completed=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the bar away."""
        _log_to(self._terminal, instead_of=sys.stderr)
        self._bar.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Takes the bar away."""
        self.on_train_end(trainer, pl_module)


def _log_to(stream: TextIO, *, instead_of: TextIO) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is instead_of:
            handler.setStream(stream)
