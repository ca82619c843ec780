"""Launches a grid as jobs: submits what is missing, waits for all of it, and runs a cell inside its job.

Hydra's own classes, in `hydra_plugins.mixlingual_launcher`, only call these functions.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission

from mixlingual.cluster.driver import GridDriver
from mixlingual.cluster.queue import Cell, Queue
from mixlingual.config.checks import to_config
from mixlingual.config.schema import ClusterConfig
from mixlingual.layout import RESULT
from mixlingual.runs.exits import ExitCode, ending_the_program
from mixlingual.runs.result import objective

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Grid:
    """What a job needs to run a cell; submitit pickles it."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    singletons: dict[type, Any]

    def __call__(self, overrides: Sequence[str], number: int) -> None:
        """Runs one cell, in its job. An exception ends the process as failed."""
        _clear_leftovers()
        Singleton.set_state(self.singletons)
        setup_globals()
        done = run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=self.sweep_config(overrides, number),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if done.status == JobStatus.FAILED:
            traceback.print_exception(done._return_value)
            sys.exit(ExitCode.FAILED)

    def checkpoint(self, *arguments: Any) -> DelayedSubmission:
        """What submitit runs when the job starts again: the same."""
        return DelayedSubmission(self, *arguments)

    def cell(self, overrides: Sequence[str], number: int) -> Cell:
        """The cell that some overrides stand for."""
        config = self.sweep_config(overrides, number)
        with open_dict(config):
            del config.hydra.launcher["_target_"]
        name = str(config.hydra.sweep.subdir)
        result = Path(config.get("output") or Path(config.hydra.sweep.dir, name, RESULT)).absolute()
        return Cell(name, result, tuple(overrides), number, to_config(ClusterConfig, config.hydra.launcher))

    def sweep_config(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The whole config of a cell."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.num = number
            config.hydra.job.id = os.environ.get("SLURM_JOB_ID", str(number))
        return config

    def returned(self, cell: Cell) -> JobReturn:
        """What a search is told of a run that is over, as by Hydra's own launcher: nothing of one without a result."""
        config, folder = self.sweep_config(cell.overrides, cell.number), cell.result.parent
        ended = JobReturn(overrides=list(cell.overrides), working_dir=str(folder), status=JobStatus.COMPLETED)
        ended.return_value = objective(folder, config.objective) if "objective" in config else None
        return ended


def launch(
    grid: Grid, queue: type[Queue], job_overrides: Sequence[Sequence[str]], first_number: int
) -> list[JobReturn]:
    """Returns when every run is done or over; how it went is in the runs' folders, for `SweepGuard`.

    Args:
        grid: what a job needs.
        queue: where the jobs go; it raises MixlingualError where there is no such thing.
        job_overrides: overrides of each cell.
        first_number: place of the first cell in the grid.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    with ending_the_program():
        cells = [grid.cell(words, first_number + n) for n, words in enumerate(job_overrides)]
        options, jobs = cells[0].options, queue()
        driver = GridDriver(jobs, Path(grid.config.hydra.sweep.dir).absolute(), grid, poll_s=options.poll_s)
        try:
            waiting = driver.submit(cells)
            if options.detach:
                _detach(driver.jobs, waiting)
            driver.watch(cells, waiting)
        except KeyboardInterrupt:
            log.warning("interrupted: %s", jobs.after_interrupt(driver.jobs))
            sys.exit(130)
        return [grid.returned(cell) for cell in cells]


def _detach(jobs: list[str], waiting: Sequence[Cell]) -> None:
    """Ends the program; the jobs go on."""
    if waiting:
        log.warning("%d runs wait for room: only a driver that stays can start them", len(waiting))
    log.info("%d jobs go on by themselves; the same command without detach=true waits for them", len(jobs))
    sys.exit(ExitCode.ERROR if waiting else ExitCode.DONE)


def _clear_leftovers() -> None:
    """Removes what a kill in the middle of submitit's writing left: submitit would stumble over it."""
    paths = JobEnvironment().paths
    written = (paths.result_pickle, paths.submitted_pickle) if paths.task_id == 0 else (paths.result_pickle,)
    for path in written:
        path.with_name(f"{path.name}.save_tmp").unlink(missing_ok=True)
