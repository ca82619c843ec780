"""Uses Slurm as the queue of a grid: sbatch, squeue and scancel; no accounting is needed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from mixlingual.cluster import after_srun
from mixlingual.cluster.queue import Cell, Job
from mixlingual.cluster.squeue import listed_jobs
from mixlingual.config.schema import ClusterConfig
from mixlingual.records import MixlingualError

_ANSWER_SECONDS = 60

_MAX_ARRAY_SIZE = 1001
"""Slurm's default."""

_SAME_NAME = ("partition", "account", "qos", "constraint", "exclude", "comment", "signal_delay_s", "array_parallelism")
_GENERAL = ("name", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb", "timeout_min")


class SlurmQueue:
    """Slurm, through the programs that every cluster has."""

    name = "slurm"

    def __init__(self) -> None:
        """Raises MixlingualError where this machine has no Slurm."""
        missing = [program for program in ("sbatch", "squeue", "scontrol", "scancel") if shutil.which(program) is None]
        if missing:
            raise MixlingualError(
                f"hydra/launcher=submitit_slurm needs {', '.join(missing)}, not found on this machine's PATH; start it "
                "on a login node of the cluster, or rehearse it here with hydra/launcher=submitit_local"
            )

    def largest(self) -> int:
        """As many as an array may have."""
        shown = subprocess.run(("scontrol", "show", "config"), capture_output=True, text=True, check=False)
        limit = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown.stdout, re.MULTILINE)
        return int(limit[1]) if limit else _MAX_ARRAY_SIZE

    def room(self, options: ClusterConfig, queued: int) -> int:
        """Slurm holds what does not start yet."""
        return sys.maxsize

    def submit(self, cells: Sequence[Cell], folder: Path, call: Callable[..., object]) -> list[str]:
        """Submits one job array, or a job where there is one cell; all cells have the same options."""
        options = cells[0].options
        try:
            executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=options.max_num_timeout)
            executor.update_parameters(**_parameters(options, folder, len(cells)))
            jobs = executor.map_array(call, [cell.overrides for cell in cells], [cell.number for cell in cells])
        except (FailedJobError, FailedSubmissionError) as error:
            raise MixlingualError(
                f"sbatch refused {len(cells)} runs: {error}\nChange the cluster's settings (conf/cluster/, "
                f"hydra.launcher.OPTION=VALUE); the script is in {folder}"
            ) from error
        return [job.job_id for job in jobs]

    def jobs(self) -> dict[str, Job] | None:
        """The user's jobs, array tasks one by one."""
        return listed_jobs(_ANSWER_SECONDS)

    def cancel(self, job: str) -> None:
        """Cancels a job; one that ended meanwhile is none's concern."""
        subprocess.run(["scancel", job], capture_output=True, check=False, timeout=_ANSWER_SECONDS)

    def after_interrupt(self, jobs: Sequence[str]) -> str:
        """They go on."""
        return f"the jobs go on. The same command watches them again; this ends them:\n  scancel {' '.join(jobs)}"


def _parameters(options: ClusterConfig, folder: Path, runs: int) -> dict[str, Any]:
    """The options under submitit's names."""
    general = {name: getattr(options, name) for name in _GENERAL}
    same = {f"slurm_{name}": getattr(options, name) for name in _SAME_NAME}
    further = {"requeue" if options.requeue else "no-requeue": True, **options.additional_parameters}
    given = {name: value for name, value in {**general, **same}.items() if value is not None}
    given.setdefault("slurm_comment", f"mixlingual: {runs} runs of {folder.parents[1].name}")
    return {**given, "slurm_setup": _setup(options, folder), "slurm_additional_parameters": further}


def _setup(options: ClusterConfig, folder: Path) -> list[str]:
    """Lines before srun: one process's death ends the others', srun has the job's cores, crashes are retried."""
    retry = shlex.join([sys.executable, "-I", str(Path(after_srun.__file__).resolve()), str(folder)])
    return [
        "export SLURM_KILL_BAD_EXIT=1",
        '[ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"',
        f"trap {shlex.quote(f'{retry} $?; exit $?')} EXIT",
        *options.setup,
    ]
