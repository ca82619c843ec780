"""Draws the pictures of a benchmark with their captions, for the page and for papers.

Figures are drawn on objects of their own, never through pyplot, and in colours that readers with
colour vision deficiency tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mixlingual.analysis.statistics.gaps import Attempts
from mixlingual.analysis.tables.grid import Axes, Grid, Point, grids
from mixlingual.files import written_whole
from mixlingual.measures.registry import METRICS, SETTING_TITLES, headlines, line_pictures
from mixlingual.reporting.heatmaps import language_map, language_maps, size_ratio_maps
from mixlingual.reporting.labels import file_name
from mixlingual.reporting.lines import ratio_lines

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "mixlingual",
    "text.parse_math": False,
}
_DPI = 200
"""Of a PNG, in dots per inch."""


@dataclass(frozen=True)
class Picture:
    """A figure with the words that go with it."""

    name: str
    """Name of its files, without suffix."""
    title: str
    caption: str
    alt: str
    """What it shows, for readers who cannot see it."""
    figure: Figure


def pictures(
    results: pd.DataFrame, languages: pd.DataFrame, axes: Axes, benchmark: str, attempt: Attempts | None = None
) -> list[Picture]:
    """Draws the four pictures of a benchmark, from the tidy tables of its sweep.

    Args:
        results: `results_table` of the sweep.
        languages: `languages_table` of the sweep.
        axes: rows and columns of its grids.
        benchmark: its name.
        attempt: keeps a gap in place of a picture that cannot be drawn.
    """
    results = results[results.benchmark == benchmark]

    def lines(kind: str, pairs: Sequence[tuple[str, str]]) -> Callable[[], Picture]:
        return lambda: _line_picture(kind, grids(results, axes, benchmark, pairs), axes)

    maps = [pair for pair in headlines() if not METRICS[pair[1]].group]
    draw: dict[str, Callable[[], Picture]] = {
        "map_grid": lambda: _grid_picture(grids(results, axes, benchmark, maps), axes),
        **{kind: lines(kind, pairs) for kind, pairs in line_pictures().items()},
        "languages": lambda: _language_picture(benchmark, languages, axes),
    }
    attempt = attempt or Attempts()
    with style():
        drawn = [attempt(f"Picture {name} of {benchmark}", compute) for name, compute in draw.items()]
    return [picture for picture in drawn if picture]


def language_png(benchmark: str, map_QC: pd.DataFrame) -> bytes:
    """Draws one run's mAP by language of question and candidates, as PNG."""
    png = io.BytesIO()
    with style():
        language_map(f"mAP × 100 on {benchmark}", map_QC).savefig(png, dpi=150)
    return png.getvalue()


def write_picture(picture: Picture, folder: Path, kind: str = "svg") -> Path:
    """Writes the picture as `kind`, svg or png; the same picture gives the same bytes."""
    figure, file = picture.figure, folder / f"{picture.name}.{kind}"
    with style(), written_whole(file) as path:
        if layout := figure.get_layout_engine():
            layout.execute(figure)  # once; `Figure.savefig` lays out and draws twice
        figure.set_layout_engine("none")
        if kind == "svg":
            FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})  # type: ignore[no-untyped-call]
        else:
            figure.set_dpi(_DPI)
            FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
    return file


def style() -> AbstractContextManager[None]:
    """Draws what is drawn in the block in the style of all pictures."""
    return mpl.rc_context(_STYLE)


def _grid_picture(grids: Sequence[Grid], axes: Axes) -> Picture:
    caption = (
        "Rows: sizes. Columns: probability that a batch is monolingual; 0 is all cross-lingual, 1 all monolingual. "
        f"Means over seeds ({_seeds(grids)}), higher is better. Framed: the best mean of a size, not a test. "
        "Each panel has its own colour scale. Hatched: no finished run."
    )
    title = f"mAP on {grids[0].benchmark} by size and batch ratio"
    return _picture("map_grid", grids[0].benchmark, title, caption, _best_in_words(grids), size_ratio_maps(grids, axes))


def _line_picture(kind: str, grids: Sequence[Grid], axes: Axes) -> Picture:
    facts = grids[0].facts
    title = f"{'Language bias' if facts.group else facts.label} on {grids[0].benchmark} against the batch ratio"
    meaning = f"{facts.label.capitalize()}: {facts.meaning} {facts.direction.capitalize()}. " if facts.meaning else ""
    caption = f"{meaning}Line: mean over seeds ({_seeds(grids)}); markers: the seeds; band: smallest to largest seed."
    return _picture(kind, grids[0].benchmark, title, caption, _best_in_words(grids), ratio_lines(grids, axes))


def _language_picture(benchmark: str, languages: pd.DataFrame, axes: Axes) -> Picture:
    title = f"mAP on {benchmark} by language of question and candidates"
    caption = (
        "mAP × 100. Diagonal: monolingual retrieval; elsewhere: candidates in one other language. Rows: sizes; "
        "columns: lowest, middle and highest ratio of each size. Languages are grouped by script. Means over seeds; "
        "one colour scale for all panels."
    )
    alt = "Every value is in languages.parquet."
    return _picture("languages", benchmark, title, caption, alt, language_maps(languages, benchmark, axes))


def _picture(kind: str, benchmark: str, title: str, caption: str, alt: str, figure: Figure) -> Picture:
    figure.suptitle(title, fontsize=9.5)
    return Picture(f"{file_name(benchmark)}_{kind}", title, caption, f"{title}. {alt}", figure)


def _seeds(grids: Sequence[Grid]) -> str:
    """Says how many seeds a cell has, as in `n = 2 to 3`."""
    counts = sorted({int(count) for grid in grids for count in grid.seeds.to_numpy().ravel() if count})
    if not counts:
        return "no finished run"
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"


def _best_in_words(grids: Sequence[Grid]) -> str:
    """Names the best point and value of each size in each grid, in sentences."""
    sentences = []
    for grid in grids:
        best = grid.best(grid.facts.decimals)
        places = [(model, place) for model in best.index for place in best.columns if best.loc[model, place]]
        values = [f"{m} at {Point(*p).label} ({grid.mean.loc[m, p]:.{grid.facts.decimals}f})" for m, p in places]
        found = ", ".join(values) or "none, too few runs are done"
        sentences.append(f"Best {SETTING_TITLES[grid.setting]} {grid.facts.label}: {found}.")
    return " ".join(sentences)
