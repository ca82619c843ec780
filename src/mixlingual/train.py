"""Entry point: train and evaluate one run, or every run of a sweep.

python -m mixlingual.train model=me5_small data=parallel data.root=FOLDER
python -m mixlingual.train sweep=size_x_ratio
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mixlingual.attempt import EXIT_FAILED, leave, slurm_job
from mixlingual.config import CONF_DIR, TrainConfig, register, to_config
from mixlingual.records import MixlingualError
from mixlingual.run import run
from mixlingual.run_record import RunRecord
from mixlingual.sweep import spelled_out
from mixlingual.training.gather import global_rank

log = logging.getLogger(__name__)

register()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
def main(cfg: DictConfig) -> None:
    """Runs one grid point. In a sweep a failure is recorded and the other runs go on."""
    hydra_config = HydraConfig.get()
    try:
        train(to_config(TrainConfig, cfg), Path(hydra_config.runtime.output_dir))
    except (MixlingualError, OSError) as error:
        log.error(error)  # noqa: TRY400 - the message is for the user, and status.json holds the traceback
    except Exception:
        log.exception("the run failed")
    else:
        return
    if _is_slurm_cell(hydra_config.mode):
        leave(EXIT_FAILED)
    if hydra_config.mode == RunMode.RUN:
        sys.exit(1)


def _is_slurm_cell(mode: RunMode | None) -> bool:
    """Whether the process is all of a Slurm job's step: no other run of the grid comes after this one in it.

    Hydra would otherwise give the exception to submitit as a result, and Slurm would say COMPLETED.
    """
    executor = os.environ.get("SUBMITIT_EXECUTOR")
    return executor == "slurm" or (executor is None and mode == RunMode.RUN and slurm_job() is not None)


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
        run(config, folder, None)
        return
    with record.attempt() as attempt:
        if finished := run(config, folder, attempt):
            record.save(attempt, *finished)
        log.info("%s: result in %s", config.run_name, folder / "result.json")


if __name__ == "__main__":
    sys.argv[1:] = spelled_out(sys.argv[1:])
    main()
