"""hydra/launcher=parallel: joblib's launcher, whose workers leave when the driver is gone."""

from __future__ import annotations

import functools
import os

from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
from omegaconf import DictConfig

from mixlingual.cluster.parallel import while_alive


class ParallelLauncher(JoblibLauncher):  # type: ignore[misc]
    """Several runs at a time on this machine, as long as the driver lives."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's: what a worker needs to run a cell."""
        watched = functools.partial(while_alive, os.getpid(), task_function)
        super().setup(hydra_context=hydra_context, task_function=watched, config=config)
