"""Entry point: trains and evaluates one run, or every run of a sweep.

python -m mixlingual.train model=me5_small data=parallel data.root=FOLDER
python -m mixlingual.train sweep=size_x_ratio
"""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from mixlingual.config.schema import TrainConfig
from mixlingual.grid.doors import door, end_cell
from mixlingual.runs.result import objective


def train_here(config: TrainConfig) -> float | None:
    """Runs one grid point in the folder that Hydra chose, and returns its objective for a search."""
    from mixlingual.grid.cell import train

    folder = Path(HydraConfig.get().runtime.output_dir)
    train(config, folder)
    return objective(folder, config.objective)


main = door("train", TrainConfig, train_here, end_cell)

if __name__ == "__main__":
    main()
