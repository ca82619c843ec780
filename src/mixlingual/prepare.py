"""Entry point: makes training data by a recipe: reads, filters, translates, mines hard negatives and writes.

python -m mixlingual.prepare recipe=local recipe.sources.local.files=[FILE]
python -m mixlingual.prepare -m recipe=paper worker=0,1,2,3 hydra/launcher=submitit_slurm cluster=slurm
"""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mixlingual.config.schema import PrepareConfig
from mixlingual.grid.doors import door, end_cell
from mixlingual.layout import RESULT
from mixlingual.runs.lease import write_json

log = logging.getLogger(__name__)


def prepare(config: PrepareConfig) -> None:
    """Does what is missing of the recipe; one of several workers then says so in a file of its own."""
    from mixlingual.preparation.recipe import Recipe

    recipe = Recipe(config)
    manifest = recipe.run()
    log.info("%s\ndata in %s, all about them in %s", recipe.table(), manifest.parent, manifest)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        write_json(Path(HydraConfig.get().runtime.output_dir) / RESULT, {"manifest": str(manifest)})


main = door("prepare", PrepareConfig, prepare, end_cell)

if __name__ == "__main__":
    main()
