"""Entry point: tables, pictures and a page of one sweep, finished or not.

python -m mixlingual.report sweep_name=NAME [root=FOLDER] [output=FOLDER]
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from mixlingual.config import CONF_DIR, ReportConfig, register, to_config
from mixlingual.records import MixlingualError
from mixlingual.reporting.write import write_report

log = logging.getLogger(__name__)

register()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="report")
def main(cfg: DictConfig) -> None:
    """Writes the report, prints its summary and says where it lies."""
    try:
        report(to_config(ReportConfig, cfg))
    except MixlingualError as error:
        log.error(error)  # noqa: TRY400 - the message is for the user
        sys.exit(1)


def report(config: ReportConfig) -> None:
    """Writes the report of `config.sweep_name` and prints its summary.

    Raises:
        MixlingualError: there is no such sweep.
    """
    sweep = Path(config.root) / config.sweep_name
    paths = write_report(sweep, Path(config.output) if config.output else sweep / "report")
    sys.stdout.write(f"{paths.summary.read_text(encoding='utf-8')}\nreport: {paths.page}\n")


if __name__ == "__main__":
    main()
