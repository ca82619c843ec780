"""Entry point: merges the encoders of the two pure ratios of a sweep, and evaluates what comes out.

python -m mixlingual.merge sweep_name=NAME
python -m mixlingual.merge sweep_name=NAME shares=[0.5] kinds=[linear] save_model=true
"""

from __future__ import annotations

import sys

from mixlingual.config.schema import MergeConfig
from mixlingual.grid.doors import door


def merge(config: MergeConfig) -> None:
    """Merges every pair of finished ends that is not merged yet, and says where the results are.

    Raises:
        MixlingualError: there is no such sweep or no pair in it, or some pair could not be merged; the others are.
    """
    from mixlingual.grid.merging import merge_sweep

    folder = merge_sweep(config)
    sys.stdout.write(
        f"the scores are in {folder}; python -m mixlingual.report sweep_name={config.sweep_name} compares them with "
        "the encoders trained at the same ratio\n"
    )


main = door("merge", MergeConfig, merge)

if __name__ == "__main__":
    main()
