"""Entry point: shows how the runs of a sweep stand, from their files.

python -m mixlingual.status sweep_name=NAME [watch=true] [json=true] [view=grid]
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from pathlib import Path

from mixlingual.cluster.squeue import job_states
from mixlingual.config.schema import StatusConfig
from mixlingual.grid.doors import door
from mixlingual.runs.state import Moment, RunState, read_states
from mixlingual.runs.table import grid_table, runs_table, show_table
from mixlingual.runs.time_left import time_left


def show(config: StatusConfig) -> None:
    """Prints how the runs stand; with `watch` again and again, in place on a terminal and below each other elsewhere.

    Raises:
        MixlingualError: there is no such sweep.
    """
    if config.json:
        found = look(config)
        left = time_left(found)
        runs = [dataclasses.asdict(dataclasses.replace(run, result=None)) for run in found]
        shown = {"sweep_name": config.sweep_name, "time_left": left and dataclasses.asdict(left), "runs": runs}
        sys.stdout.write(json.dumps(shown, indent=1) + "\n")
        return
    table = grid_table if config.view == "grid" else runs_table
    show_table(lambda: table(config.sweep_name, look(config)), config.seconds if config.watch else None)


def look(config: StatusConfig) -> list[RunState]:
    """The runs as they stand now.

    Raises:
        MixlingualError: there is no such sweep.
    """
    moment = Moment(datetime.datetime.now(datetime.UTC), 60 * config.silent_minutes, job_states())
    return read_states(Path(config.root) / config.sweep_name, moment)


main = door("status", StatusConfig, show)

if __name__ == "__main__":
    main()
