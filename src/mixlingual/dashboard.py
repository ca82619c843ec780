"""Entry point: makes a workspace and a report on W&B that show one sweep.

python -m mixlingual.dashboard sweep_name=NAME [dry_run=FILE]
"""

from __future__ import annotations

import sys

from mixlingual.config.schema import DashboardConfig
from mixlingual.grid.doors import door


def dashboard(config: DashboardConfig) -> None:
    """Makes or updates both and prints their addresses, or writes what they would hold.

    Raises:
        MixlingualError: there is no such sweep, no run of it is evaluated, the package is missing, or W&B refuses.
    """
    from mixlingual.tracking.dashboard import show

    sys.stdout.write("".join(f"{name}: {url}\n" for name, url in show(config).items()))


main = door("dashboard", DashboardConfig, dashboard)

if __name__ == "__main__":
    main()
