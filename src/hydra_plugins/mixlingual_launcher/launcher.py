"""hydra/launcher=submitit_slurm and submitit_local: the runs of a grid as jobs, whatever happens to the driver.

Hydra imports this module at every start, so submitit and all that is slow are imported where they are used.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from mixlingual.cluster.queue import Cell, Queue

log = logging.getLogger(__name__)


class GridLauncher(Launcher):
    """Submits what is missing of a grid, waits for all of it, and can be started again at any time."""

    def __init__(self, **options: Any) -> None:
        """Args: fields of `ClusterConfig`; each run's own config is what counts, since options may depend on axes."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's: what a job needs to run a cell."""
        self._hydra_context = hydra_context
        self._task_function = task_function
        self._config = config

    @staticmethod
    @abstractmethod
    def queue() -> Queue:
        """Where the jobs go. Raises MixlingualError where there is no such thing."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Returns when every run is done or over; how it went is in the runs' folders, for `SweepGuard`."""
        from mixlingual.cluster.driver import GridDriver
        from mixlingual.grid.guards import ending_the_program

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
        self._singletons = Singleton.get_state()
        with ending_the_program():
            cells = [self._cell(words, initial_job_idx + n) for n, words in enumerate(job_overrides)]
            options = cells[0].options
            sweep = Path(self._config.hydra.sweep.dir).absolute()
            queue = self.queue()
            driver = GridDriver(queue, sweep, self, poll_s=options.poll_s)
            try:
                waiting = driver.submit(cells)
                if options.detach:
                    _detach(driver.jobs, waiting)
                driver.watch(cells, waiting)
            except KeyboardInterrupt:
                log.warning("interrupted: %s", queue.after_interrupt(driver.jobs))
                sys.exit(130)
        return [self._returned(cell) for cell in cells]

    def _cell(self, overrides: Sequence[str], number: int) -> Cell:
        from mixlingual.cluster.queue import Cell
        from mixlingual.config.checks import to_config
        from mixlingual.config.schema import ClusterConfig

        config = self._sweep_config(overrides, number)
        with open_dict(config):
            del config.hydra.launcher["_target_"]
        name = str(config.hydra.sweep.subdir)
        result = Path(config.get("output") or Path(config.hydra.sweep.dir, name, "result.json")).absolute()
        return Cell(name, result, tuple(overrides), number, to_config(ClusterConfig, config.hydra.launcher))

    def _sweep_config(self, overrides: Sequence[str], number: int) -> DictConfig:
        config = self._hydra_context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.num = number
            config.hydra.job.id = os.environ.get("SLURM_JOB_ID", str(number))
        return config

    def _returned(self, cell: Cell) -> JobReturn:
        """What a search is told of a run that is over, as by Hydra's own launcher: nothing of one without a result."""
        from mixlingual.grid.objective import objective

        config, folder = self._sweep_config(cell.overrides, cell.number), cell.result.parent
        value = objective(folder, config.objective) if "objective" in config else None
        ended = JobReturn(overrides=list(cell.overrides), working_dir=str(folder), status=JobStatus.COMPLETED)
        ended.return_value = value
        return ended

    def __call__(self, overrides: Sequence[str], number: int) -> None:
        """Runs one cell, in its job. An exception ends the process with status 3."""
        from mixlingual.runs.lease import EXIT_FAILED

        _clear_leftovers()
        Singleton.set_state(self._singletons)
        setup_globals()
        done = run_job(
            hydra_context=self._hydra_context,
            task_function=self._task_function,
            config=self._sweep_config(overrides, number),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if done.status == JobStatus.FAILED:
            traceback.print_exception(done._return_value)
            sys.exit(EXIT_FAILED)

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit runs when the job starts again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


class SlurmGridLauncher(GridLauncher):
    """Jobs of Slurm."""

    @staticmethod
    def queue() -> Queue:
        """Slurm's."""
        from mixlingual.cluster.slurm import SlurmQueue

        return SlurmQueue()


class LocalGridLauncher(GridLauncher):
    """Processes of this machine."""

    @staticmethod
    def queue() -> Queue:
        """This machine's."""
        from mixlingual.cluster.local import LocalQueue

        return LocalQueue()


def _detach(jobs: list[str], waiting: Sequence[Cell]) -> None:
    """Ends the program; the jobs go on."""
    if waiting:
        log.warning("%d runs wait for room: only a driver that stays can start them", len(waiting))
    log.info("%d jobs go on by themselves; the same command without detach=true waits for them", len(jobs))
    sys.exit(1 if waiting else 0)


def _clear_leftovers() -> None:
    """Removes what a kill in the middle of submitit's writing left: submitit would stumble over it."""
    from submitit import JobEnvironment

    paths = JobEnvironment().paths
    written = (paths.result_pickle, paths.submitted_pickle) if paths.task_id == 0 else (paths.result_pickle,)
    for path in written:
        path.with_name(f"{path.name}.save_tmp").unlink(missing_ok=True)
