"""Checks where a run computes, and in which number format, before data and weights are loaded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import torch
from threadpoolctl import threadpool_limits

from mixlingual.config.identity import Config, config_hash, possible, written_out
from mixlingual.config.schema import TrainConfig, TrainerConfig
from mixlingual.layout import CHECKPOINTS
from mixlingual.records import MixlingualError
from mixlingual.runs.lease import types_in_shell


def use_threads(threads: int | None) -> None:
    """Lets PyTorch and the BLAS of numpy compute with so many threads; None leaves both as they are."""
    if threads is not None:
        torch.set_num_threads(threads)
        threadpool_limits(threads, user_api="blas")


def use_own_gpu(device: torch.device) -> None:
    """Lets this process compute on the GPU that torchrun or Slurm has numbered for it, where it computes on one."""
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))))


def device_of(accelerator: str) -> torch.device:
    """Returns the device that `trainer.accelerator` stands for: one GPU if it is wanted and there, else the CPU.

    Raises:
        MixlingualError: a GPU is asked for and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise MixlingualError("trainer.accelerator=gpu, but PyTorch finds no GPU here; set it to cpu or auto")
    return torch.device("cpu" if accelerator == "cpu" or not torch.cuda.is_available() else "cuda")


def has_bf16(device: torch.device) -> bool:
    """Tells whether the device has instructions for bfloat16; without them PyTorch emulates it, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()  # amx_bf16 and avx512_bf16 on x86, bf16 on Arm
    return any(value is True and name.endswith("bf16") for name, value in found.items())


def on_device(config: Config, device: torch.device) -> Config:
    """Returns the config with a value for each `precision=auto`, and checks that the device computes in it natively.

    Raises:
        MixlingualError: it does not.
    """
    config = written_out(config, bf16=has_bf16(device))
    name = "this GPU" if device.type == "cuda" else "this CPU"
    sections = {section: getattr(config, section, None) for section in ("trainer", "evaluation")}
    for section, precision in ((section, part.precision) for section, part in sections.items() if part):
        if precision == "fp16" and device.type == "cpu":
            raise MixlingualError(f"{section}.precision=fp16 needs a GPU; on a CPU use fp32, bf16 or auto")
        if precision.startswith("bf16") and not has_bf16(device):
            slow, fast = (matrix_rate(device, dtype) / 1e9 for dtype in (torch.bfloat16, torch.float32))
            raise MixlingualError(
                f"{section}.precision={precision}: {name} has no instructions for bf16, and multiplies matrices in it "
                f"at {slow:.1f} GFLOP/s, against {fast:.0f} in fp32; set {section}.precision=auto, which takes fp32 "
                "here, or use a machine that has them"
            )
    return config


def going_on(config: TrainConfig, device: torch.device, folder: Path) -> TrainConfig:
    """Does what `on_device` does, for a run in a folder: where it was interrupted, it keeps its precision.

    Raises:
        MixlingualError: the device does not compute natively in what is asked for, or in what the run began with.
    """
    checkpoints, here = folder / CHECKPOINTS, written_out(config, bf16=has_bf16(device))
    begun = [run for run in possible(config) if any(checkpoints.glob(f"{config_hash(run)}-*/step-*.ckpt"))]
    if not begun or here in begun:
        return on_device(config, device)
    if not has_bf16(device):
        raise MixlingualError(
            f"the run was interrupted on a device with bf16, which precision=auto took there, and this one has none; "
            f"go on there, or move {checkpoints} away and begin anew, in fp32"
        )
    return on_device(begun[0], device)


def matrix_rate(device: torch.device, dtype: torch.dtype = torch.float32, size: int = 256, repeats: int = 1) -> float:
    """Returns the floating-point operations per second of a product of square matrices of `size` rows."""
    matrix = torch.randn(size, size, device=device).to(dtype)
    float((matrix @ matrix).sum())
    started = time.perf_counter()
    float(sum((matrix @ matrix).sum() for _ in range(repeats)))
    return repeats * 2 * size**3 / (time.perf_counter() - started)


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
