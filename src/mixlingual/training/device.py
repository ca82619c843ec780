"""Where a run computes: checked before data and weights are loaded."""

from __future__ import annotations

import os

import torch

from mixlingual.config import EvaluationConfig, TrainerConfig
from mixlingual.records import MixlingualError


def device_of(accelerator: str) -> torch.device:
    """The device that `trainer.accelerator` stands for: one GPU if wanted and there, else the CPU.

    Raises:
        MixlingualError: a GPU is asked for and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise MixlingualError("trainer.accelerator=gpu, but PyTorch finds no GPU here; set it to cpu or auto")
    return torch.device("cpu" if accelerator == "cpu" or not torch.cuda.is_available() else "cuda")


def check_precision(evaluation: EvaluationConfig, device: torch.device) -> None:
    """Raises MixlingualError if the device cannot encode in the wanted number format."""
    if evaluation.precision == "fp16" and device.type == "cpu":
        raise MixlingualError("evaluation.precision=fp16 needs a GPU; on a CPU use fp32 or bf16")


def check_processes(trainer: TrainerConfig) -> None:
    """Raises MixlingualError unless there is one process, started from outside, for each device.

    Lightning would otherwise start them itself, each with the whole command line and so the whole sweep.
    """
    world = int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", "1")))
    if world != trainer.devices:
        raise MixlingualError(
            f"trainer.devices={trainer.devices}, but there are {world} processes; start the run with torchrun "
            f"--nproc-per-node {trainer.devices} -m mixlingual.train ..., or with as many Slurm tasks, or set "
            f"trainer.devices={world}"
        )
