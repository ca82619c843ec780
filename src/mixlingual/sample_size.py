"""Entry point: says how many seeds detect a given interaction of size and ratio, from a pilot sweep.

python -m mixlingual.sample_size sweep_name=PILOT effects=[0.006]
"""

from __future__ import annotations

import sys

from mixlingual.config.schema import SampleSizeConfig
from mixlingual.grid.doors import door
from mixlingual.reporting.sample_size import plan

main = door("sample_size", SampleSizeConfig, lambda config: sys.stdout.write(plan(config)))

if __name__ == "__main__":
    main()
