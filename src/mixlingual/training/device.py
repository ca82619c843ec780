"""Checks where a run computes, before data and weights are loaded."""

from __future__ import annotations

import os
from typing import Literal

import torch

from mixlingual.config.schema import EvaluationConfig, TrainerConfig
from mixlingual.records import MixlingualError
from mixlingual.runs.lease import types_in_shell


def device_of(accelerator: str) -> torch.device:
    """Returns the device that `trainer.accelerator` stands for: one GPU if it is wanted and there, else the CPU.

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


def launched_by() -> Literal["torchrun", "slurm"] | None:
    """Says what started this process as one of a run's; None if it is alone. A Slurm shell for typing in is no task."""
    if "WORLD_SIZE" in os.environ:
        return "torchrun"
    return "slurm" if "SLURM_NTASKS" in os.environ and not types_in_shell() else None


def check_processes(trainer: TrainerConfig) -> None:
    """Raises MixlingualError unless there is one process, started from outside, for each device.

    Lightning would otherwise start them itself, each with the whole command line and so the whole sweep; and Slurm
    tasks that were too many would each train the run alone, in one folder.
    """
    launcher = launched_by()
    name = {"torchrun": "WORLD_SIZE", "slurm": "SLURM_NTASKS", None: ""}[launcher]
    world = int(os.environ[name]) if name else 1
    nodes = int(os.environ.get("SLURM_NNODES", trainer.nodes)) if launcher == "slurm" else trainer.nodes
    if (world, nodes) == (trainer.processes, trainer.nodes):
        return
    wanted = f"trainer.devices={trainer.devices} on each of trainer.nodes={trainer.nodes}"
    if launcher == "slurm":
        raise MixlingualError(
            f"{wanted}, but Slurm started {world} tasks on {nodes} nodes; set hydra.launcher.nodes (sbatch --nodes) to "
            f"{trainer.nodes} and hydra.launcher.tasks_per_node (--ntasks-per-node) to {trainer.devices}, or change "
            "trainer.devices and trainer.nodes, and start Python with srun"
        )
    machines = f"--nnodes {trainer.nodes} " if trainer.nodes > 1 else ""
    raise MixlingualError(
        f"{wanted}, but there are {world} processes; start the run with torchrun {machines}--nproc-per-node "
        f"{trainer.devices} -m mixlingual.train ..., or with as many Slurm tasks, or set trainer.devices={world}"
    )
