"""Entry point: writes tables, pictures and a page of one sweep, finished or not, or of two side by side.

python -m mixlingual.report sweep_name=NAME [root=FOLDER] [output=FOLDER]
python -m mixlingual.report parts=[REPORT,REPORT] sweep_name=NAME output=FOLDER
python -m mixlingual.report compare=[NAME,NAME]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from threadpoolctl import threadpool_limits

from mixlingual.config.schema import ReportConfig
from mixlingual.grid.doors import door
from mixlingual.layout import REPORT


def report(config: ReportConfig) -> None:
    """Writes the report of `config.sweep_name`, or that of its parts, and prints its summary.

    Raises:
        MixlingualError: there is no such sweep, or a part cannot be joined.
    """
    from mixlingual.analysis.read.collect import read_sweep
    from mixlingual.analysis.read.parts import restore
    from mixlingual.analysis.statistics.estimates import MEASURES
    from mixlingual.cluster.squeue import job_states
    from mixlingual.reporting.write import write_report
    from mixlingual.runs.state import Moment

    folder = Path(config.root) / config.sweep_name
    output = Path(config.output) if config.output else folder / REPORT
    threadpool_limits(1, user_api="blas")  # its products are small: threads would only wait for each other
    if config.compare:
        sys.stdout.write(_compared(config))
        return
    if config.parts:
        with TemporaryDirectory() as scratch:
            restore([Path(part) for part in config.parts], config.sweep_name, Path(scratch))
            restored = read_sweep(Path(scratch), measures=MEASURES)
            paths = write_report(replace(restored, name=config.sweep_name, parts=tuple(config.parts)), output)
    else:
        paths = write_report(read_sweep(folder, Moment(slurm=job_states()), MEASURES), output)
    sys.stdout.write(f"{paths.screen}\n\nall tables: {paths.summary}\nreport: {paths.page} (opens in any browser)\n")


def _compared(config: ReportConfig) -> str:
    """Writes two sweeps side by side, and says what changed."""
    from mixlingual.analysis.read.collect import read_sweep
    from mixlingual.analysis.statistics.estimates import MEASURES
    from mixlingual.analysis.statistics.two_sweeps import compare_sweeps
    from mixlingual.cluster.squeue import job_states
    from mixlingual.reporting.two_sweeps import write_comparison
    from mixlingual.runs.state import Moment

    moment = Moment(slurm=job_states())
    first, second = (read_sweep(Path(config.root) / name, moment, MEASURES) for name in config.compare)
    output = Path(config.output) if config.output else first.folder / REPORT / f"compared_with_{second.name}"
    paths = write_comparison(compare_sweeps(first, second, first.analysis), first.analysis, output)
    return f"{paths.screen}\n\nall values: {paths.table}\npage: {paths.page} (opens in any browser)\n"


main = door("report", ReportConfig, report)

if __name__ == "__main__":
    main()
