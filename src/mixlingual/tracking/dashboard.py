"""Shows a sweep on W&B: its grid as pictures and tables in one run, and a workspace and a report around the runs."""

from __future__ import annotations

import itertools
import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlingual.analysis.read.collect import Sweep, read_sweep
from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.statistics.gaps import Attempts
from mixlingual.analysis.tables.grid import SETTINGS, grid_axes, languages_table, results_table, size_by_ratio
from mixlingual.config.schema import DashboardConfig
from mixlingual.files import written_whole
from mixlingual.layout import DASHBOARD
from mixlingual.records import MixlingualError
from mixlingual.reporting.figures import Picture, pictures, write_picture
from mixlingual.reporting.findings import gap_sentences
from mixlingual.reporting.payload import known_benchmarks
from mixlingual.tracking.client import client_settings, environment_mode, run_id

if TYPE_CHECKING:
    from mixlingual.tracking.workspace import Shown

log = logging.getLogger(__name__)

Tables = dict[str, list[list[Any]]]
"""Key on W&B -> rows of `workspace.GRID_COLUMNS`."""


def show(config: DashboardConfig) -> dict[str, str]:
    """Shows a sweep on W&B, or writes what the workspace and the report would hold.

    Returns:
        workspace and report -> URL; nothing where they were only written.

    Raises:
        MixlingualError: there is no such sweep, no run of it is evaluated, the package is missing, or W&B refuses.
    """
    _check_package()
    from mixlingual.tracking.workspace import Shown, described, report, save, workspace

    sweep = read_sweep(Path(config.root) / config.sweep_name)
    drawn, tables = draw(sweep), grid_tables(sweep)
    if not drawn:
        raise MixlingualError(
            f"no run of {sweep.folder} is evaluated yet; wait for the first result, or see mixlingual.status"
        )
    shown = Shown(
        sweep_name=sweep.name,
        entity=config.entity or "",
        project=config.project,
        models=tuple(grid_axes(sweep).sizes),
        pictures={benchmark: tuple(f"grid/{p.name}" for p in of_it) for benchmark, of_it in drawn.items()},
        tables=tuple(tables),
    )
    if config.dry_run is not None:
        _write(Path(config.dry_run), {"workspace": described(workspace(shown)), "report": described(report(shown))})
        log.info("nothing was sent; workspace and report are in %s", config.dry_run)
        return {}
    if (mode := environment_mode()) != "online":
        raise MixlingualError(f"WANDB_MODE={mode} keeps the dashboard from W&B; unset it, or use dry_run=FILE")
    known = sweep.folder / DASHBOARD
    try:
        log_grid(shown, itertools.chain(*drawn.values()), tables, run_id(sweep.folder))
        urls, names = save(shown, json.loads(known.read_text(encoding="utf-8")) if known.exists() else {})
    except Exception as error:
        raise MixlingualError(
            f"W&B did not take the dashboard ({type(error).__name__}: {error}); check the network, wandb login, "
            "entity=NAME and project=NAME, or write it with dry_run=FILE"
        ) from error
    _write(known, names)
    return urls


def draw(sweep: Sweep) -> dict[str, list[Picture]]:
    """Draws, by benchmark, the pictures of the whole grid that the report has too; none before the first result.

    A picture that cannot be drawn is named in the log.
    """
    results, languages, axes = results_table(sweep), languages_table(sweep), grid_axes(sweep)
    attempt = Attempts()
    drawn = {name: pictures(results, languages, axes, name, attempt) for name in known_benchmarks(results)}
    for sentence in gap_sentences(attempt.gaps):
        log.warning("%s", sentence)
    return drawn


def grid_tables(sweep: Sweep) -> Tables:
    """Tabulates mAP by size and ratio of each benchmark and setting, sizes ascending.

    Points off the ratio axis, and cells without a finished run, are left out, and settings without any cell.
    """
    from mixlingual.tracking.workspace import grid_key

    results, axes = results_table(sweep), grid_axes(sweep)
    found = {}
    for benchmark, setting in itertools.product(known_benchmarks(results), SETTINGS):
        grid = size_by_ratio(results, axes, benchmark, setting, "map")
        found[grid_key(benchmark, setting)] = [
            [size, point.ratio, *(float(part.loc[size, point]) for part in (grid.mean, grid.low, grid.high)), seeds]
            for size, point in itertools.product(axes.sizes, axes.points)
            if point.series == RATIO_SERIES and (seeds := int(grid.seeds.loc[size, point]))
        ]
    return {key: rows for key, rows in found.items() if rows}


def log_grid(shown: Shown, drawn: itertools.chain[Picture], tables: Tables, identity: str) -> None:
    """Puts pictures and tables into a run of the sweep's group: that with the id `identity`, at every call."""
    import wandb

    from mixlingual.tracking.workspace import GRID_COLUMNS

    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(
            entity=shown.entity or None,
            project=shown.project,
            group=shown.sweep_name,
            job_type="grid",
            name=f"{shown.sweep_name}: grid",
            id=identity,
            resume="allow",
            dir=folder,
            settings=client_settings(),
        )
        media: dict[str, Any] = {}
        for picture in drawn:
            file = write_picture(picture, Path(folder), "png")
            media[f"grid/{picture.name}"] = wandb.Image(str(file), caption=picture.caption)
        run.log(media | {key: wandb.Table(columns=[*GRID_COLUMNS], data=rows) for key, rows in tables.items()})
        run.finish()


def _check_package() -> None:
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise MixlingualError(
            "the dashboard needs the package wandb-workspaces; run pip install 'mixlingual[wandb]'"
        ) from error


def _write(path: Path, content: dict[str, Any]) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
