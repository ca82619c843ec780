"""Entry point: trains smaller encoders that give the embeddings of one checkpoint, a ladder of sizes.

python -m mixlingual.distill model=me5_small_l3 data=parallel data.root=FOLDER
python -m mixlingual.distill -m model=me5_small_l2,me5_small_l3,me5_small_l6 data=parallel data.root=FOLDER
"""

from __future__ import annotations

from mixlingual.config.schema import TrainConfig
from mixlingual.grid.doors import door, end_cell
from mixlingual.train import train_here

main = door("distill", TrainConfig, train_here, end_cell)

if __name__ == "__main__":
    main()
