"""Names the launcher `parallel` for Hydra: joblib's, whose workers leave when the driver is gone."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
from omegaconf import DictConfig

from mixlingual.cluster.parallel import while_alive

log = logging.getLogger(__name__)


class ParallelLauncher(JoblibLauncher):  # type: ignore[misc]
    """Several runs at a time on this machine, as long as the driver lives."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's: what a worker needs to run a cell."""
        watched = functools.partial(while_alive, os.getpid(), task_function)
        super().setup(hydra_context=hydra_context, task_function=watched, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Returns when the runs are over, or a worker is: then the other workers end too."""
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        try:
            return list(super().launch(job_overrides, initial_job_idx))
        except TerminatedWorkerError:
            log.error("a worker was killed, as where memory is short; the same command does what is missing")  # noqa: TRY400
            return [JobReturn(overrides=words, status=JobStatus.COMPLETED) for words in job_overrides]
