"""One HTML page of a sweep that needs no other file, network or script.

Everything read from disk is escaped by the template engine; pictures are embedded as data.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from mixlingual.analysis.collect import Run, Sweep
from mixlingual.analysis.points import is_number
from mixlingual.reporting.figures import Picture
from mixlingual.reporting.tables import Table, status_line, unfinished


@dataclass(frozen=True)
class Section:
    """What the page shows of one benchmark."""

    benchmark: str
    tables: Sequence[Table]
    pictures: Sequence[Picture]


def render_page(sweep: Sweep, sections: Sequence[Section], batches: Table, page: Path) -> str:
    """The page as HTML.

    Args:
        sweep: what it is about.
        sections: one per benchmark. The pictures are read as SVG from figures/ beside the page.
        batches: what the batches of each run held.
        page: where it will lie, for its links to the folders of the runs.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        sweep=sweep,
        status=status_line(sweep),
        unfinished=unfinished(sweep),
        tracebacks=[run for run in sweep.in_state("failed") if run.traceback],
        sections=sections,
        batches=batches,
        command=_command(sweep),
        image=lambda picture: _data_uri(page.parent / "figures" / f"{picture.name}.svg"),
        link=lambda run: _link(run, sweep, page),
        minutes=_minutes,
    )


def _command(sweep: Sweep) -> str:
    """The command that makes the report again."""
    root = sweep.folder.parent
    options = [f"sweep_name={sweep.name}"] + ([] if root == Path("multirun") else [f"root={root}"])
    return shlex.join(["python", "-m", "mixlingual.report", *options])


def _data_uri(svg: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode()}"


def _link(run: Run, sweep: Sweep, page: Path) -> str | None:
    """Relative link to the folder of a run; None while it has none."""
    folder = sweep.folder / run.name
    return f"{quote(Path(os.path.relpath(folder, page.parent)).as_posix())}/" if folder.is_dir() else None


def _minutes(run: Run) -> str:
    """Training time of a finished run."""
    seconds = run.result.timings.get("train") if run.result else None
    return f"{seconds / 60:.1f}" if is_number(seconds) else ""
