"""Entry point: tables, pictures and a page of one sweep, finished or not.

python -m mixlingual.report sweep_name=NAME [root=FOLDER] [output=FOLDER]
python -m mixlingual.report parts=[REPORT,REPORT] sweep_name=NAME output=FOLDER
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
from omegaconf import DictConfig

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.read.parts import restore
from mixlingual.config.checks import to_config
from mixlingual.config.schema import ReportConfig
from mixlingual.grid.hydra import CONF_DIR, register
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
    """Writes the report of `config.sweep_name`, or that of its parts, and prints its summary.

    Raises:
        MixlingualError: there is no such sweep, or a part cannot be joined.
    """
    folder = Path(config.root) / config.sweep_name
    output = Path(config.output) if config.output else folder / "report"
    if config.parts:
        with TemporaryDirectory() as scratch:
            restore([Path(part) for part in config.parts], config.sweep_name, Path(scratch))
            restored = replace(read_sweep(Path(scratch)), name=config.sweep_name, parts=tuple(config.parts))
            paths = write_report(restored, output)
    else:
        paths = write_report(read_sweep(folder), output)
    sys.stdout.write(f"{paths.summary.read_text(encoding='utf-8')}\nreport: {paths.page}\n")


if __name__ == "__main__":
    main()
