"""Draws heat maps: scores by size and ratio, and by query and candidate language.

Shape suffixes: N cells, R rows, from the top; C columns; Q query languages by C candidate languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Panel
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import AffineDeltaTransform

from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.tables.grid import Axes, Grid, Point, language_grid
from mixlingual.data.writing_systems import script_of
from mixlingual.measures.registry import SETTING_TITLES
from mixlingual.reporting.labels import LETTER, RATIO, label_width, size_label
from mixlingual.reporting.languages import in_script_order

_COLOURS = mpl.colormaps["viridis"]
_DECIMALS = 3
_HALF = 0.36
"""Half the height of a digit, in letter sizes."""
_MOST_NUMBERED = 16
"""Languages up to which the cells of a language map hold their values."""


def size_ratio_maps(grids: Sequence[Grid], axes: Axes) -> Figure:
    """Draws a panel for each grid, sizes in rows and ratios in columns, and frames the best ratio of each size."""
    width = 0.4 + label_width(axes) + len(grids) * (0.41 * len(axes.points) + 0.15)
    upright = LETTER * max(len(point.label) for point in axes.points)
    figure = Figure(figsize=(max(5.5, width), 1.1 + upright + 0.42 * len(axes.sizes)))
    panels = figure.subplots(1, len(grids), sharey=True, squeeze=False)[0]
    for panel, grid in zip(panels, grids, strict=True):
        _size_ratio_panel(panel, grid, axes)
    panels[0].set_ylabel("size (weights\nwithout embeddings)")
    figure.supxlabel(RATIO, fontsize=8)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(wspace=0.04)
    return figure


def _size_ratio_panel(panel: Panel, grid: Grid, axes: Axes) -> None:
    mean_RC = grid.mean.to_numpy(dtype=float)
    left_C, top_R = _edges([point.series for point in axes.points], gap=0.2), np.arange(len(axes.sizes))
    draw_cells(panel, _corners(top_R, left_C), mean_RC.ravel(), _scale(mean_RC), f"{{:.{_DECIMALS}f}}", size=0.26)
    for row, column in np.argwhere(grid.best(_DECIMALS).to_numpy()):
        corner = (left_C[column] + 0.07, top_R[row] + 0.07)
        panel.add_patch(Rectangle(corner, 0.86, 0.86, fill=False, edgecolor="#d55e00", linewidth=1.8))
    panel.set_title(f"{SETTING_TITLES[grid.setting]} {grid.facts.label}")
    labels = [point.label for point in axes.points]
    panel.set_xticks(left_C + 0.5, labels, rotation=90 if max(map(len, labels)) > 6 else 0)
    panel.set_yticks(top_R + 0.5, [size_label(model, axes) for model in axes.sizes])


def language_maps(languages: pd.DataFrame, benchmark: str, axes: Axes) -> Figure:
    """Draws maps of mAP x 100 by query and candidate language; sizes in rows and, of each, up to three ratios.

    Args:
        languages: `languages_table` of the sweep.
        benchmark: its name.
        axes: sizes, and points to choose from.
    """
    shown = languages[(languages.benchmark == benchmark) & (languages.metric == "map") & (languages.setting != "multi")]
    codes = in_script_order([*shown.query_language.unique(), *shown.candidate_language.unique()])
    maps = {
        (row, column): (f"{model}, α = {point.label}", _scores(shown, benchmark, model, point, codes))
        for row, model in enumerate(axes.sizes)
        for column, point in enumerate(_three_points(shown, model, axes))
    }
    rows, columns = len(axes.sizes), 1 + max((column for _, column in maps), default=0)
    figure = Figure(figsize=(columns * (0.3 + 0.17 * len(codes)) + 1.5, rows * (0.4 + 0.17 * len(codes)) + 0.9))
    _language_panel(figure, maps, codes, label="mAP × 100", shrink=0.6, aspect=30)
    return figure


def language_map(title: str, map_QC: pd.DataFrame) -> Figure:
    """Draws mAP x 100 of one run: questions in rows, candidates in columns, monolingual retrieval on the diagonal.

    Args:
        title: above it.
        map_QC: mAP from 0 to 1, of the same languages in rows and columns; NaN where nothing was measured.
    """
    codes = [str(code) for code in map_QC.index]
    side = 1.6 + 0.3 * len(codes)
    figure = Figure(figsize=(side + 0.6, side))
    _language_panel(figure, {(0, 0): (title, 100 * map_QC.to_numpy(dtype=float))}, codes, shrink=0.7)
    return figure


def _scores(shown: pd.DataFrame, benchmark: str, model: str, point: Point, codes: Sequence[str]) -> np.ndarray:
    grid = language_grid(shown, benchmark, model, point).reindex(index=codes, columns=codes)
    return np.asarray(100 * grid.to_numpy(dtype=float))


def _three_points(shown: pd.DataFrame, model: str, axes: Axes) -> list[Point]:
    """Picks the lowest, middle and highest ratio measured at a size; of another series if the ratio axis is empty."""
    places = shown.loc[shown.model == model, ["series", "ratio"]].drop_duplicates()
    measured = {Point(*place) for place in places.itertuples(index=False)}
    points = [point for point in axes.points if point in measured]
    points = [point for point in points if point.series == RATIO_SERIES] or points
    return points if len(points) <= 3 else [points[0], points[len(points) // 2], points[-1]]


def _language_panel(
    figure: Figure, maps: Mapping[tuple[int, int], tuple[str, np.ndarray]], codes: Sequence[str], **bar: Any
) -> None:
    """Draws maps, (row, column) -> (title, values), on one pair of axes: a panel for each would take seconds."""
    panel, edges = figure.subplots(), _edges([script_of(code) for code in codes], gap=0.2)
    side = float(edges[-1]) + 1 if len(codes) else 1.0
    left, top = ({at: at * (side + gap) for at in sorted({*places})} for places, gap in zip(zip(*maps), (2.2, 1.2)))
    top, left = left, top
    scale = _scale(*(value_QC for _, value_QC in maps.values()))
    corners = [_corners(edges + top[row], edges + left[column]) for row, column in maps]
    values = [value_QC.ravel() for _, value_QC in maps.values()]
    form = "{:.0f}" if len(codes) <= _MOST_NUMBERED else ""
    draw_cells(panel, np.concatenate(corners), np.concatenate(values), scale, form, size=0.45)
    for (row, column), (title, _) in maps.items():
        panel.text(left[column] + side / 2, top[row] - 0.4, title, ha="center", va="bottom")
    panel.set_aspect("equal")
    panel.set_ylim(max(top.values()) + side, -1.8)
    panel.set_xticks(np.add.outer(list(left.values()), edges).ravel() + 0.5, [*codes] * len(left), rotation=90)
    panel.set_yticks(np.add.outer(list(top.values()), edges).ravel() + 0.5, [*codes] * len(top))
    panel.tick_params(labelsize=6)
    panel.set(xlabel="language of the candidates", ylabel="language of the question")
    figure.colorbar(ScalarMappable(scale, _COLOURS), ax=panel, **bar)


def _edges(groups: Sequence[str], gap: float) -> np.ndarray:
    """Says where cells of width 1 begin, with a gap wherever the group changes."""
    changes = [first != second for first, second in pairwise(groups)]
    return np.arange(len(groups)) + gap * np.cumsum([0, *changes])


def _corners(top_R: np.ndarray, left_C: np.ndarray) -> np.ndarray:
    """[R * C, 2] upper left corners (x, y) of cells, row by row."""
    return np.stack(np.meshgrid(left_C, top_R), axis=-1).reshape(-1, 2)


def draw_cells(
    panel: Panel,
    corner_N2: np.ndarray,
    value_N: np.ndarray,
    scale: Normalize,
    form: str,
    size: float,
    colours: Colormap = _COLOURS,
) -> None:
    """Draws coloured squares of width 1 with their values in `form`, `size` high; those without a value are hatched."""
    known_N = ~np.isnan(value_N)
    blank = {"facecolors": "#f4f4f4", "edgecolors": "#b8b8b8", "hatch": "/////", "linewidths": 0}
    filled = {"array": value_N[known_N], "norm": scale, "cmap": colours, "edgecolors": "white", "linewidths": 0.6}
    ink_N = ink(colours(scale(value_N[known_N])))
    square = Path([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
    _stamp(panel, square, corner_N2[~known_N], blank)
    _stamp(panel, square, corner_N2[known_N], filled)
    if form:
        _write(panel, corner_N2[known_N], [form.format(value) for value in value_N[known_N]], ink_N, size)
    panel.set(xlim=(0, corner_N2[:, 0].max() + 1), ylim=(corner_N2[:, 1].max() + 1, 0))
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)


def ink(colour_N4: np.ndarray) -> np.ndarray:
    """[N] black or white, whichever is read better on colours of red, green, blue and alpha from 0 to 1."""
    found_N: np.ndarray = np.where(colour_N4[:, :3] @ (0.299, 0.587, 0.114) > 0.45, "black", "white")
    return found_N


def _stamp(panel: Panel, shape: Path, corner_N2: np.ndarray, look: dict[str, Any]) -> None:
    """Draws a shape, in units of cells, at each corner."""
    stamps = PathCollection([shape], offsets=corner_N2, offset_transform=panel.transData, **({"linewidths": 0} | look))
    stamps.set_transform(AffineDeltaTransform(panel.transData))  # type: ignore[arg-type]
    stamps.set_in_layout(False)  # it lies inside of its panel
    panel.add_collection(stamps, autolim=False)


def _write(panel: Panel, corner_N2: np.ndarray, texts: Sequence[str], ink_N: np.ndarray, size: float) -> None:
    """Writes texts in the middle of cells, letter by letter: a text object for each cell would take seconds."""
    letters: dict[str, list[tuple[float, float, str]]] = {}
    for (left, top), text, ink in zip(corner_N2, texts, ink_N, strict=True):
        widths = [_outline(letter, size)[1] for letter in text]
        x = left + (1 - sum(widths)) / 2
        for letter, width in zip(text, widths, strict=True):
            letters.setdefault(letter, []).append((x, top + 0.5 + size * _HALF, ink))
            x += width
    for letter, places in letters.items():
        x_N, y_N, own_N = zip(*places, strict=True)
        _stamp(panel, _outline(letter, size)[0], np.stack([x_N, y_N], axis=1), {"facecolors": own_N, "label": letter})


@cache
def _outline(letter: str, size: float) -> tuple[Path, float]:
    """(outline on a baseline, where y grows downwards; width)."""
    one, two = (np.asarray(TextPath((0, 0), letter * times, size=size).vertices) for times in (1, 2))
    shape = TextPath((0, 0), letter, size=size)
    return Path(one * (1, -1), shape.codes), float(two[:, 0].max() - one[:, 0].max())


def _scale(*values: np.ndarray) -> Normalize:
    """Scales from the smallest to the largest number; from 0 to 1 where there is none."""
    finite = np.concatenate([array[np.isfinite(array)] for array in values] or [np.empty(0)])
    return Normalize(*(finite.min(), finite.max()) if finite.size else (0, 1))
