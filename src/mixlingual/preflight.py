"""Entry point: checks every run of a sweep, or a recipe, and what it costs, before anything starts.

python -m mixlingual.preflight sweep=size_x_ratio
python -m mixlingual.preflight sweep=paper data.root=FOLDER preflight.device=h100     # a login node needs no GPU
python -m mixlingual.preflight recipe=paper
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir

from mixlingual.cluster.squeue import job_states
from mixlingual.config.checks import to_config
from mixlingual.config.schema import PrepareConfig, TrainConfig
from mixlingual.grid.compose import compose_launcher, compose_runs, own_presets
from mixlingual.grid.doors import answering, as_written
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.runs.state import Moment, states_of


def main() -> None:
    """Checks the grid that the command line stands for; exit code 1 if a run could not start."""
    parser = argparse.ArgumentParser("python -m mixlingual.preflight", description="Checks a run or a sweep.")
    options = "options of mixlingual.train, sweeps (a=1,2) included; with recipe=NAME of mixlingual.prepare"
    parser.add_argument("overrides", nargs="*", help=options)
    parser.add_argument("--config-dir", "-cd", help="folder of your own presets, as for mixlingual.train")
    parser.add_argument("--multirun", "-m", action="store_true", help="changes nothing: a grid is known by its options")
    given = parser.parse_intermixed_args()
    from mixlingual.grid.cost import Preflight, describe  # after --help
    from mixlingual.preparation.estimate import estimate

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    with answering():
        register()
        is_recipe = any(word.startswith("recipe=") for word in given.overrides)
        overrides = as_written(given.overrides, PrepareConfig if is_recipe else TrainConfig)
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            words = own_presets(given.config_dir, overrides)
            if is_recipe:
                sys.stdout.write(estimate(to_config(PrepareConfig, compose("prepare", words))))
                return
            runs, preflight = compose_runs(words), Preflight(compose_launcher(words))
        sweep, names = Path("multirun", runs[0].sweep_name), [run.run_name for run in runs]
        for run, found in zip(runs, states_of(sweep, names, Moment(slurm=job_states())), strict=True):
            preflight.check(run, found)
        sys.stdout.write(describe(preflight))


if __name__ == "__main__":
    main()
