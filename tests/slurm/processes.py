"""Finds the processes of a test cluster's jobs by its folder, whatever Slurm itself still knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, OSError)
KEEPER = "slurmstepd"
"""Slurm's process of this name starts those of a job's step and stays with them."""


def job_processes(folder: Path) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yields the processes of jobs of the cluster in a folder, with their variables."""
    for process in psutil.process_iter():
        with contextlib.suppress(*GONE):
            variables = process.environ()
            if variables.get("SLURM_CONF", "").startswith(f"{folder}/") and "SLURM_JOB_ID" in variables:
                yield process, variables


def ranks(folder: Path, job: str) -> dict[int, psutil.Process]:
    """Returns number of a rank -> its process that Slurm has started itself; `job` is 12 or, in an array, 12_3."""
    array, _, task = job.partition("_")
    wanted = {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": task} if task else {"SLURM_JOB_ID": array}
    found = {}
    for process, variables in job_processes(folder):
        with contextlib.suppress(*GONE):
            parent = process.parent()
            is_rank = "SLURM_PROCID" in variables and parent is not None and KEEPER in parent.name()
            if is_rank and wanted.items() <= variables.items():
                found[int(variables["SLURM_PROCID"])] = process
    return found


def kill_all(folder: Path) -> None:
    """Kills what jobs of the cluster have left: their own processes, and the keepers of their steps."""
    ours = [process for process, _ in job_processes(folder)]
    for process in psutil.process_iter():
        with contextlib.suppress(*GONE):
            if process.name() == KEEPER and any(file.path.startswith(f"{folder}/") for file in process.open_files()):
                ours.append(process)
    for process in ours:
        with contextlib.suppress(*GONE):
            process.kill()
