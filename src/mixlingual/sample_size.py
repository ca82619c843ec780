"""Entry point: says how many seeds detect a given interaction of size and ratio, from a pilot sweep.

python -m mixlingual.sample_size sweep_name=PILOT effects=[0.006]
"""

from __future__ import annotations

import sys

from mixlingual.config.schema import SampleSizeConfig
from mixlingual.grid.doors import door


def sample_size(config: SampleSizeConfig) -> None:
    """Prints the plan.

    Raises:
        MixlingualError: the pilot cannot be read, or does not allow a plan.
    """
    from mixlingual.reporting.sample_size import plan

    sys.stdout.write(plan(config))


main = door("sample_size", SampleSizeConfig, sample_size)

if __name__ == "__main__":
    main()
