"""Runs processes of this machine as the queue of a grid: the rehearsal of Slurm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import submitit

from mixlingual.cluster.queue import Cell, Job
from mixlingual.config.schema import ClusterConfig
from mixlingual.records import MixlingualError

_CONTROLLER = "submitit.local._local"


class LocalQueue:
    """Starts the jobs that it is given at once, so it is given few."""

    name = "local"

    def __init__(self) -> None:
        self._started: list[submitit.Job[object]] = []

    def largest(self) -> int:
        """Each has a process of its own."""
        return sys.maxsize

    def room(self, options: ClusterConfig, queued: int) -> int:
        """As many as are to run at a time."""
        return max(0, options.array_parallelism - queued)

    def submit(self, cells: Sequence[Cell], folder: Path, call: Callable[..., object]) -> list[str]:
        """Starts a process for each cell.

        Raises:
            MixlingualError: the options ask for what there is under Slurm only.
        """
        options = cells[0].options
        _check(options)
        executor = submitit.AutoExecutor(folder, cluster="local", local_max_num_timeout=options.max_num_timeout)
        executor.update_parameters(timeout_min=options.timeout_min, gpus_per_node=options.gpus_per_node or 0)
        jobs = executor.map_array(call, [cell.overrides for cell in cells], [cell.number for cell in cells])
        self._started += jobs
        return [job.job_id for job in jobs]

    def jobs(self) -> dict[str, Job] | None:
        """The processes at work, those of an earlier driver included."""
        listed = {}
        for process in psutil.process_iter(["pid", "cmdline", "status"]):
            words = process.info["cmdline"] or []
            if _CONTROLLER in words and process.info["status"] != psutil.STATUS_ZOMBIE:
                listed[str(process.info["pid"])] = Job("RUNNING", Path(words[-1]))
        return listed

    def cancel(self, job: str) -> None:
        """Terminates the process."""
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(job)).terminate()

    def after_interrupt(self, jobs: Sequence[str]) -> str:
        """The keyboard's interrupt reaches them too."""
        return "the runs were interrupted too; the same command goes on from their newest checkpoints"


def _check(options: ClusterConfig) -> None:
    if options.nodes * options.tasks_per_node > 1:
        raise MixlingualError(
            f"hydra/launcher=submitit_local starts one process a run; got hydra.launcher.nodes={options.nodes} and "
            f"hydra.launcher.tasks_per_node={options.tasks_per_node}; rehearse with trainer.nodes=1 trainer.devices=1"
        )
    if options.setup:
        raise MixlingualError(
            f"hydra/launcher=submitit_local runs no lines of shell; got hydra.launcher.setup={options.setup}; "
            "type them before the command, and add hydra.launcher.setup=[]"
        )
