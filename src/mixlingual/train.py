"""Entry point: train and evaluate one run, or every run of a sweep.

python -m mixlingual.train model=me5_small data=parallel data.root=FOLDER
python -m mixlingual.train sweep=size_x_ratio
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mixlingual.config.checks import to_config
from mixlingual.config.schema import TrainConfig
from mixlingual.grid.cell import run
from mixlingual.grid.guards import spelled_out
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.grid.objective import objective
from mixlingual.records import MixlingualError
from mixlingual.runs.lease import (
    EXIT_FAILED,
    EXIT_PEER_LOST,
    PeerLostError,
    leave,
    record_failure,
    slurm_job,
    types_in_shell,
)
from mixlingual.runs.record import RunRecord
from mixlingual.training.gather import global_rank
from mixlingual.training.preemption import Signals

log = logging.getLogger(__name__)

register()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Runs one grid point and returns its objective. In a sweep a failure is recorded and the other runs go on."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    try:
        config = to_config(TrainConfig, cfg)
        train(config, folder)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if isinstance(error, MixlingualError | OSError | PeerLostError):
            log.error(error)  # noqa: TRY400 - the message is for the user, and status.json holds the traceback
        else:
            log.exception("the run failed")
        _end(hydra_config.mode, error)
        return None
    return objective(folder, config.objective)


def _end(mode: RunMode | None, error: Exception) -> None:
    """Ends the process with an exit code, unless other runs of the grid come after this one in it.

    Hydra would otherwise give the exception to submitit as a result, and Slurm would say COMPLETED.
    """
    executor = os.environ.get("SUBMITIT_EXECUTOR")
    if executor == "slurm" or (executor is None and mode == RunMode.RUN and slurm_job() and not types_in_shell()):
        leave(exit_code(error))
    if mode == RunMode.RUN:
        sys.exit(1)


def exit_code(error: BaseException) -> int:
    """Of a process under Slurm, for what ended it."""
    return EXIT_PEER_LOST if isinstance(error, PeerLostError) else EXIT_FAILED


def train(config: TrainConfig, folder: Path) -> None:
    """Does what is missing in a run's folder: nothing where the same run is finished.

    Of several processes the first keeps the folder; the others only train along.

    Raises:
        MixlingualError: the folder belongs to another config, or the run failed.
    """
    record = RunRecord(folder, config)
    if record.is_done():
        log.info("%s is finished; nothing to do", config.run_name)
        return
    if global_rank() > 0:
        try:
            with Signals(None) as signals:
                run(config, folder, signals, record.save)
        except Exception as error:
            if not isinstance(error, PeerLostError):
                record_failure(folder, global_rank(), error)
            raise
        return
    with record.attempt() as attempt, Signals(attempt) as signals:
        run(config, folder, signals, record.save)
        log.info("%s: result in %s", config.run_name, folder / "result.json")


if __name__ == "__main__":
    sys.argv[1:] = spelled_out(sys.argv[1:])
    main()
