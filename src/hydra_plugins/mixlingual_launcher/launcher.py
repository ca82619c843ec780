"""Names the launchers submitit_slurm and submitit_local for Hydra: a grid as jobs that outlive the driver.

Hydra imports this module at every start, so `cluster`, and submitit with it, is imported where it is used.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from mixlingual.cluster.queue import Queue


class GridLauncher(Launcher):
    """Submits what is missing of a grid, waits for all of it, and can be started again at any time."""

    def __init__(self, **options: Any) -> None:
        """Args: fields of `ClusterConfig`; each run's own config is what counts, since options may depend on axes."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's: what a job needs to run a cell."""
        self._parts = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Returns when every run is done or over."""
        from mixlingual.cluster.launcher import Grid, launch

        return launch(Grid(*self._parts, Singleton.get_state()), self.queue(), job_overrides, initial_job_idx)

    @staticmethod
    @abstractmethod
    def queue() -> type[Queue]:
        """Where the jobs go."""


class SlurmGridLauncher(GridLauncher):
    """Jobs of Slurm."""

    @staticmethod
    def queue() -> type[Queue]:
        """Slurm's."""
        from mixlingual.cluster.slurm import SlurmQueue

        return SlurmQueue


class LocalGridLauncher(GridLauncher):
    """Processes of this machine."""

    @staticmethod
    def queue() -> type[Queue]:
        """This machine's."""
        from mixlingual.cluster.local import LocalQueue

        return LocalQueue
