"""Writes checkpoints that survive a kill at any moment, and finds the step that an interrupted run goes on from.

A checkpoint appears under its final name only when it is whole and on disk, and the name ends in a
hash of the content: a torn or altered file is recognised without a second file beside it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingual.files import digest, sync
from mixlingual.records import MixlingualError
from mixlingual.runs.lease import Attempt
from mixlingual.training.preemption import PreemptGuard

log = logging.getLogger(__name__)

_HASH_DIGITS = 16


class VerifiedCheckpointIO(CheckpointIO):
    """Writes checkpoints whole, fsynced and named by their content; reads them without running code."""

    def __init__(self, attempt: Attempt | None = None) -> None:
        """Args: what must own the run to write; None where nothing but this process does."""
        self._attempt = attempt

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes `path` with the content's hash added to its stem.

        Raises:
            MixlingualError: it cannot be written, as on a full disk; the checkpoints before it stay.
        """
        path = Path(path)
        if self._attempt:
            self._attempt.check()
        try:
            self._write(checkpoint, path)
        except (OSError, RuntimeError) as error:  # what PyTorch makes of a write that fails
            good = newest_checkpoint(path.parent)
            kept = f"The last good one is {good}" if good else "There is none before it"
            raise MixlingualError(
                f"cannot write the checkpoint of {path.stem} into {path.parent}: {_cause(error)}. {kept}; make room "
                "there, then start the run again: it goes on from that"
            ) from error

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, hashing := _Hashing(file))  # type: ignore[arg-type]  # PyTorch writes from start to end
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path.with_name(f"{path.stem}-{hashing.digits()}{path.suffix}"))
            sync(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Tensors and plain values of a checkpoint.

        For a GPU they stay in the file until they are copied there: those of a large encoder are more than a job's
        memory holds.
        """
        mapped = torch.cuda.is_available()
        content: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True, mmap=mapped)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes a checkpoint."""
        Path(path).unlink(missing_ok=True)


class _Hashing:
    """Writes to a file and hashes what it writes, so that nobody has to read it again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._hash.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def digits(self) -> str:
        return self._hash.hexdigest()[:_HASH_DIGITS]


class CheckpointKeeper(Callback):
    """Saves where the guard says so, keeps the newest few, and then does what a signal has asked for.

    The last of the callbacks: a checkpoint holds what the others make of its step.
    """

    def __init__(self, folder: Path, guard: PreemptGuard, *, keep: int) -> None:
        """Args: folder of the checkpoints; says when to save; checkpoints to keep."""
        self._folder = folder
        self._guard = guard
        self._keep = keep
        self._saved_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Knows the step that the run starts or goes on at."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves if due or asked."""
        if self._guard.request:
            self._save(trainer)
            self._guard.answer()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the end, so that an interrupted evaluation does not cost the training."""
        if self._guard.keeps_end or self._guard.request:
            self._save(trainer)
        self._guard.end()

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step == self._saved_step:
            return
        trainer.save_checkpoint(self._folder / f"step-{trainer.global_step:09d}.ckpt", weights_only=False)
        self._saved_step = trainer.global_step
        self._guard.saved(trainer.global_step)
        if trainer.is_global_zero:
            for old in _newest_first(self._folder)[self._keep :]:
                old.unlink(missing_ok=True)


def _cause(error: BaseException) -> BaseException:
    """The system's own word, where PyTorch has put another one on top of it."""
    while not isinstance(error, OSError) and error.__context__:
        error = error.__context__
    return error


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in the folder, or None; damaged ones are passed over with a warning."""
    return next(_whole(folder), None)


def last_good_checkpoint(folder: Path) -> Path | None:
    """As `newest_checkpoint`, of those whose weights are all finite: the one before a run went wrong."""
    return next((path for path in _whole(folder) if _is_finite(path)), None)


def _whole(folder: Path) -> Iterator[Path]:
    """The checkpoints whose content is what their name says, newest first."""
    for path in _newest_first(folder):
        if path.stem.endswith(f"-{digest(path)[:_HASH_DIGITS]}"):
            yield path
        else:
            log.warning("%s is damaged; going back to the checkpoint before it", path)


def _is_finite(path: Path) -> bool:
    weights = VerifiedCheckpointIO().load_checkpoint(path)["state_dict"].values()
    return all(bool(torch.isfinite(weight).all()) for weight in weights)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.ckpt"), reverse=True)
