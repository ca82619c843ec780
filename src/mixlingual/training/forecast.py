"""Tells what a run will hold: on its device, in its machine and on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mixlingual.config.devices import Device
from mixlingual.config.schema import TrainConfig
from mixlingual.training.passes import PassPlan, plan_passes

CONTEXT_BYTES = 1.5e9
"""CUDA, its libraries and what is lost between allocations take so much of a device."""
PROCESS_BYTES = 4e9
"""Python with PyTorch, data and the driver take so much of a machine's memory."""
DISK_RATE = 250e6
"""A checkpoint is written at so many bytes a second at least, as to a shared file system."""
SIGNAL_SECONDS = 60
"""A step, and what Slurm takes to deliver a signal, last so long at most."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Counts the weights of an encoder, and the bytes of a token in a pass."""

    total: int
    trained: int
    table: int
    """Of the trained ones, those of the token table."""
    cast: int
    """Those that a step copies to bfloat16."""
    layer: int
    """Those of the largest layer."""
    token_bytes: float
    """What a token of a pass holds for its backward pass."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Holds bytes that a run takes, and the seconds before the end of a job at which it must be told to save."""

    fixed: float
    """On the device, whatever the batch: weights, gradients, moments, a copy in bfloat16, CUDA."""
    passes: PassPlan
    peak: float
    """On the device, at the most."""
    host: float
    """In the machine's memory, of one process."""
    checkpoint: float
    signal_delay_s: int

    def fits(self, device: Device) -> bool:
        """Tells whether the device has room for it."""
        return self.peak <= device.memory


def forecast(size: Footprint, config: TrainConfig, device: Device, step_tokens: float, *, gpu: bool) -> Forecast:
    """Returns what a run takes.

    Args:
        size: the encoder's.
        config: the run's.
        device: whose memory the passes are planned for.
        step_tokens: tokens of the distinct texts of a step, of one process.
        gpu: whether the device is one, or a machine that computes on its CPU.
    """
    trainer = config.trainer
    sharded = trainer.strategy == "shard"
    shares = trainer.processes if sharded else 1
    dense = size.trained - (size.table if config.optim.embeddings == "rows" else 0)
    fixed = (4 * size.total + 4 * dense + 8 * size.trained) / shares + (CONTEXT_BYTES if gpu else PROCESS_BYTES)
    fixed += 4 * (size.layer * 2 + size.table) if sharded else 2 * size.cast
    kept = trainer.activation_gib
    passes = plan_passes(
        size.token_bytes, max(0.0, device.memory - fixed), "cuda" if gpu else "cpu",
        pass_tokens=trainer.pass_tokens, kept_bytes=None if kept is None else kept * 2**30,
    )  # fmt: skip
    largest = min(passes.pass_tokens, step_tokens)
    peak = fixed + size.token_bytes * (min(passes.kept_tokens, step_tokens) + largest)
    checkpoint = 4 * size.total + 8 * size.trained
    return Forecast(
        fixed=fixed,
        passes=passes,
        peak=peak,
        host=PROCESS_BYTES + 8 * size.total * (2 if sharded else 1) if gpu else peak,
        checkpoint=checkpoint,
        signal_delay_s=SIGNAL_SECONDS + math.ceil(checkpoint / DISK_RATE),
    )
