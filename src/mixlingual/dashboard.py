"""Entry point: a workspace and a report on W&B that show one sweep.

python -m mixlingual.dashboard sweep_name=NAME [--dry-run FILE]
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from mixlingual.analysis.collect import Sweep, read_sweep
from mixlingual.analysis.grid import benchmarks, grid_axes, languages_table, results_table
from mixlingual.config import CONF_DIR, DashboardConfig, flags_to_options, register, to_config
from mixlingual.files import written_whole
from mixlingual.records import MixlingualError
from mixlingual.reporting.figures import Picture, pictures, write_picture
from mixlingual.training.wandb_run import FINISH_SECONDS, INIT_SECONDS, run_id

if TYPE_CHECKING:
    import wandb
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    from mixlingual.monitor.wandb_views import Shown

log = logging.getLogger(__name__)

SAVED = "wandb_dashboard.json"
"""In the sweep's folder: what W&B calls the workspace and the report, so that the next call updates them."""

register()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="dashboard")
def main(cfg: DictConfig) -> None:
    """Makes or updates both, or writes what would be sent."""
    try:
        dashboard(to_config(DashboardConfig, cfg))
    except (MixlingualError, OSError) as error:
        log.error(error)  # noqa: TRY400 - the message is for the user
        sys.exit(1)


def dashboard(config: DashboardConfig) -> None:
    """Shows a sweep on W&B, or writes the specification of that.

    Raises:
        MixlingualError: there is no such sweep, no run of it is evaluated, the package is missing, or W&B refuses.
    """
    _check_package()
    from mixlingual.monitor.wandb_views import Shown, report, workspace

    sweep = read_sweep(Path(config.root) / config.sweep_name)
    drawn = draw(sweep)
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
    )
    if config.dry_run is not None:
        _write(Path(config.dry_run), specification(workspace(shown), report(shown)))
        log.info("nothing was sent; workspace and report are in %s", config.dry_run)
        return
    try:
        log_pictures(shown, [picture for of_it in drawn.values() for picture in of_it])
        urls = save(workspace(shown), report(shown), sweep.folder / SAVED)
    except Exception as error:
        raise MixlingualError(
            f"W&B did not take the dashboard ({type(error).__name__}: {error}); check the network, wandb login, "
            "entity=NAME and project=NAME, or write it with --dry-run FILE"
        ) from error
    sys.stdout.write("".join(f"{name}: {url}\n" for name, url in urls.items()))


def draw(sweep: Sweep) -> dict[str, list[Picture]]:
    """Benchmark -> the pictures of the whole grid that the report has too; empty before the first result."""
    results, languages, axes = results_table(sweep), languages_table(sweep), grid_axes(sweep)
    return {name: pictures(results, languages, axes, name) for name in benchmarks(results)}


def log_pictures(shown: Shown, drawn: list[Picture]) -> None:
    """Puts the pictures into one run of the sweep's group, the same at every call."""
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(
            entity=shown.entity or None,
            project=shown.project,
            group=shown.sweep_name,
            job_type="grid",
            name=f"{shown.sweep_name}: grid",
            id=run_id(shown.sweep_name, "grid of the sweep"),
            resume="allow",
            dir=folder,
            settings=wandb.Settings(
                silent=True,
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
                x_disable_stats=True,
            ),
        )
        run.log({f"grid/{picture.name}": _image(picture, Path(folder)) for picture in drawn})
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


if __name__ == "__main__":
    sys.argv[1:] = flags_to_options(sys.argv[1:], DashboardConfig)
    main()
