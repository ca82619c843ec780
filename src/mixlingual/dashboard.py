"""Entry point: a workspace and a report on W&B that show one sweep.

python -m mixlingual.dashboard sweep_name=NAME [--dry-run FILE]
"""

from __future__ import annotations

import logging
import sys

import hydra
from omegaconf import DictConfig

from mixlingual.config.checks import to_config
from mixlingual.config.schema import DashboardConfig
from mixlingual.grid.hydra import CONF_DIR, flags_to_options, register
from mixlingual.records import MixlingualError
from mixlingual.tracking.dashboard import show

log = logging.getLogger(__name__)

register()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="dashboard")
def main(cfg: DictConfig) -> None:
    """Makes or updates both and prints their addresses, or writes what they would hold."""
    try:
        urls = show(to_config(DashboardConfig, cfg))
    except (MixlingualError, OSError) as error:
        log.error(error)  # noqa: TRY400 - the message is for the user
        sys.exit(1)
    sys.stdout.write("".join(f"{name}: {url}\n" for name, url in urls.items()))


if __name__ == "__main__":
    sys.argv[1:] = flags_to_options(sys.argv[1:], DashboardConfig)
    main()
