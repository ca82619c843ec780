"""Entry point: checks every run of a sweep, and what it costs, before anything starts.

python -m mixlingual.preflight sweep=size_x_ratio
"""

from __future__ import annotations

import argparse
import logging
import sys

from hydra import initialize_config_dir

from mixlingual.config.schema import TrainConfig
from mixlingual.grid.compose import compose_runs, own_presets
from mixlingual.grid.cost import Preflight, describe
from mixlingual.grid.doors import answering, as_written
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.training.device import device_of, matrix_rate


def main() -> None:
    """Checks the grid that the command line stands for; exit code 1 if a run could not start."""
    parser = argparse.ArgumentParser("python -m mixlingual.preflight", description="Checks a run or a sweep.")
    parser.add_argument("overrides", nargs="*", help="options of mixlingual.train, sweeps (a=1,2) included")
    parser.add_argument("--config-dir", "-cd", help="folder of your own presets, as for mixlingual.train")
    parser.add_argument("--multirun", "-m", action="store_true", help="changes nothing: a grid is known by its options")
    given = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    with answering():
        register()
        overrides = as_written(given.overrides, TrainConfig)
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            runs = compose_runs([*own_presets(given.config_dir), *overrides])
        preflight = Preflight()
        for run in runs:
            preflight.check(run)
        sys.stdout.write(describe(runs, preflight.cost, matrix_rate(device_of("auto"), size=1024, repeats=8)))


if __name__ == "__main__":
    main()
