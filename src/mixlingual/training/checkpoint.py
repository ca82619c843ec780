"""Checkpoints that survive a kill at any moment, and the step that an interrupted run goes on from.

A checkpoint appears under its final name only when it is whole and on disk, and the name ends in a
hash of the content: a torn or altered file is recognised without a second file beside it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)

_HASH_DIGITS = 16


class VerifiedCheckpointIO(CheckpointIO):
    """Writes checkpoints whole, fsynced and named by their content; reads them without running code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes `path` with the content's hash added to its stem."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path.with_name(f"{path.stem}-{_hash_of(temporary)}{path.suffix}"))
        finally:
            temporary.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Tensors and plain values of a checkpoint."""
        content: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes a checkpoint."""
        Path(path).unlink(missing_ok=True)


class CheckpointKeeper(Callback):
    """Saves after every `steps` optimiser steps or `minutes`, whichever comes first, and keeps the newest few."""

    def __init__(self, folder: Path, *, steps: int | None, minutes: float | None, keep: int) -> None:
        """Args: folder of the checkpoints; null turns a trigger off; checkpoints to keep."""
        self._folder = folder
        self._steps = steps
        self._minutes = minutes
        self._keep = keep
        self._saved_step = 0
        self._saved_time = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts from the step that the run starts or goes on at."""
        self._saved_step = trainer.global_step
        self._saved_time = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves if due."""
        if self._due(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the end, so that an interrupted evaluation does not cost the training."""
        if (self._steps or self._minutes) and trainer.global_step > self._saved_step:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self._folder / f"step-{trainer.global_step:09d}.ckpt", weights_only=False)
        self._saved_step = trainer.global_step
        self._saved_time = time.monotonic()
        if trainer.is_global_zero:
            for old in _newest_first(self._folder)[self._keep :]:
                old.unlink()

    def _due(self, trainer: Trainer) -> bool:
        """Whether it is time; the processes of a run agree, since all take part in a checkpoint."""
        by_steps = self._steps is not None and trainer.global_step - self._saved_step >= self._steps
        by_time = self._minutes is not None and time.monotonic() - self._saved_time >= 60 * self._minutes
        return trainer.strategy.reduce_boolean_decision(by_steps or by_time, all=False)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in the folder, or None; damaged ones are passed over with a warning."""
    return next(_whole(folder), None)


def last_good_checkpoint(folder: Path) -> Path | None:
    """As `newest_checkpoint`, of those whose weights are all finite: the one before a run went wrong."""
    return next((path for path in _whole(folder) if _is_finite(path)), None)


def _whole(folder: Path) -> Iterator[Path]:
    """The checkpoints whose content is what their name says, newest first."""
    for path in _newest_first(folder):
        if path.stem.endswith(f"-{_hash_of(path)}"):
            yield path
        else:
            log.warning("%s is damaged; going back to the checkpoint before it", path)


def _is_finite(path: Path) -> bool:
    weights = VerifiedCheckpointIO().load_checkpoint(path)["state_dict"].values()
    return all(bool(torch.isfinite(weight).all()) for weight in weights)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.ckpt"), reverse=True)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_HASH_DIGITS]
