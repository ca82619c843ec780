"""Entry point: a workspace and a report on W&B that show one sweep.

python -m mixlingual.dashboard sweep_name=NAME [dry_run=FILE]
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlingual.analysis.read.collect import Sweep, read_sweep
from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.tables.grid import SETTINGS, grid_axes, languages_table, results_table, size_by_ratio
from mixlingual.config.schema import DashboardConfig
from mixlingual.files import written_whole
from mixlingual.grid.doors import door
from mixlingual.records import MixlingualError
from mixlingual.reporting.figures import Picture, pictures, write_picture
from mixlingual.reporting.payload import known_benchmarks
from mixlingual.tracking.client import client_settings, run_id

if TYPE_CHECKING:
    import wandb
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    from mixlingual.tracking.workspace import Shown

log = logging.getLogger(__name__)

SAVED = "wandb_dashboard.json"
"""In the sweep's folder: what W&B calls the workspace and the report, so that the next call updates them."""


def dashboard(config: DashboardConfig) -> None:
    """Shows a sweep on W&B, or writes the specification of that.

    Raises:
        MixlingualError: there is no such sweep, no run of it is evaluated, the package is missing, or W&B refuses.
    """
    _check_package()
    from mixlingual.tracking.workspace import Shown, report, workspace

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
        benchmarks=tuple(drawn),
        pictures={benchmark: tuple(f"grid/{p.name}" for p in of_it) for benchmark, of_it in drawn.items()},
        grids={
            benchmark: {setting: _key(benchmark, setting) for setting in tables.get(benchmark, {})}
            for benchmark in drawn
        },
    )
    if config.dry_run is not None:
        _write(Path(config.dry_run), specification(workspace(shown), report(shown)))
        log.info("nothing was sent; workspace and report are in %s", config.dry_run)
        return
    try:
        log_grid(shown, [picture for of_it in drawn.values() for picture in of_it], tables, run_id(sweep.folder))
        urls = save(workspace(shown), report(shown), sweep.folder / SAVED)
    except Exception as error:
        raise MixlingualError(
            f"W&B did not take the dashboard ({type(error).__name__}: {error}); check the network, wandb login, "
            "entity=NAME and project=NAME, or write it with dry_run=FILE"
        ) from error
    sys.stdout.write("".join(f"{name}: {url}\n" for name, url in urls.items()))


def draw(sweep: Sweep) -> dict[str, list[Picture]]:
    """Benchmark -> the pictures of the whole grid that the report has too; empty before the first result."""
    results, languages, axes = results_table(sweep), languages_table(sweep), grid_axes(sweep)
    return {name: pictures(results, languages, axes, name) for name in known_benchmarks(results)}


def grid_tables(sweep: Sweep) -> dict[str, dict[str, list[list[Any]]]]:
    """Benchmark -> setting -> mAP by size and ratio as rows of `wandb_views.GRID_COLUMNS`, sizes ascending.

    Points off the ratio axis, and cells without a finished run, are left out, and settings without any cell.
    """
    results, axes = results_table(sweep), grid_axes(sweep)
    found: dict[str, dict[str, list[list[Any]]]] = {}
    for benchmark, setting in itertools.product(known_benchmarks(results), SETTINGS):
        grid = size_by_ratio(results, axes, benchmark, setting, "map")
        rows = [
            [size, point.ratio, *(float(part.loc[size, point]) for part in (grid.mean, grid.low, grid.high)), seeds]
            for size, point in itertools.product(axes.sizes, axes.points)
            if point.series == RATIO_SERIES and (seeds := int(grid.seeds.loc[size, point]))
        ]
        if rows:
            found.setdefault(benchmark, {})[setting] = rows
    return found


def _key(benchmark: str, setting: str) -> str:
    return f"grid/{benchmark}/{setting}"


def log_grid(shown: Shown, drawn: list[Picture], tables: dict[str, dict[str, list[list[Any]]]], identity: str) -> None:
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
        run.log(
            {f"grid/{picture.name}": _image(picture, Path(folder)) for picture in drawn}
            | {
                _key(benchmark, setting): wandb.Table(columns=[*GRID_COLUMNS], data=rows)
                for benchmark, of_it in tables.items()
                for setting, rows in of_it.items()
            }
        )
        run.finish()


def _image(picture: Picture, folder: Path) -> wandb.Image:
    import wandb

    *_, png = write_picture(picture, folder)
    return wandb.Image(str(png), caption=picture.caption)


def specification(view: ws.Workspace, text: wr.Report) -> dict[str, Any]:
    """Both as the JSON that W&B keeps; the packages have no public way to it."""
    return {
        name: json.loads(part._to_model().model_dump_json(by_alias=True, exclude_none=True))
        for name, part in (("workspace", view), ("report", text))
    }


def save(view: ws.Workspace, text: wr.Report, known: Path) -> dict[str, str]:
    """Sends both, over those that the file `known` names, if any, and keeps their names there.

    Returns:
        workspace and report -> URL.
    """
    names = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
    view._internal_name, view._internal_id = names.get("workspace", ("", ""))
    text.id = names.get("report", "")
    view.save()
    text.save()
    _write(known, {"workspace": [view._internal_name, view._internal_id], "report": text.id})
    return {"workspace": view.url, "report": text.url}


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


main = door("dashboard", DashboardConfig, dashboard)

if __name__ == "__main__":
    main()
