"""hydra/launcher=parallel: joblib's launcher, whose workers leave when the driver is gone.

Left alone they would train on, run after run, with nobody to stop them.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time

from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
from omegaconf import DictConfig

_LOOK_SECONDS = 0.5


class ParallelLauncher(JoblibLauncher):  # type: ignore[misc]
    """Several runs at a time on this machine, as long as the driver lives."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's: what a worker needs to run a cell."""
        watched = functools.partial(_while_alive, os.getpid(), task_function)
        super().setup(hydra_context=hydra_context, task_function=watched, config=config)


def _while_alive(driver: int, task: TaskFunction, config: DictConfig) -> object:
    """Runs a cell in a worker. When the driver is gone it is told to end, and so is the worker."""
    _watch(driver)
    try:
        return task(config)
    finally:
        if os.getppid() != driver:
            os._exit(128 + signal.SIGTERM)


@functools.cache
def _watch(driver: int) -> None:
    """Once in a worker, which runs many cells."""
    threading.Thread(target=_follow, args=(driver,), daemon=True).start()


def _follow(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
