"""Draws heat maps: scores by size and ratio, and by query and candidate language.

Shape suffixes: R rows, from the top; C columns; Q query languages by C candidate languages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Panel
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.tables.grid import Axes, Grid, Point, language_grid
from mixlingual.data.writing_systems import script_of
from mixlingual.measures.registry import SETTING_TITLES
from mixlingual.reporting.labels import LETTER, RATIO, label_width, size_label
from mixlingual.reporting.languages import in_script_order

_COLOURS = mpl.colormaps["viridis"]
_DECIMALS = 3
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
    _draw_cells(panel, mean_RC, top_R, left_C, _scale([mean_RC]), f"{{:.{_DECIMALS}f}}", size=7.5)
    for row, column in np.argwhere(grid.best(_DECIMALS).to_numpy()):
        corner = (left_C[column] + 0.07, top_R[row] + 0.07)
        panel.add_patch(Rectangle(corner, 0.86, 0.86, fill=False, edgecolor="#d55e00", linewidth=1.8))
    panel.set_title(f"{SETTING_TITLES[grid.setting]} {grid.facts.label}")
    labels = [point.label for point in axes.points]
    panel.set_xticks(left_C + 0.5, labels, rotation=90 if max(map(len, labels)) > 6 else 0)
    panel.set_yticks(top_R + 0.5, [size_label(model, axes) for model in axes.sizes])


def language_maps(languages: pd.DataFrame, benchmark: str, axes: Axes) -> Figure:
    """Draws panels of mAP x 100 by query and candidate language; sizes in rows and, of each, up to three ratios.

    Args:
        languages: `languages_table` of the sweep.
        benchmark: its name.
        axes: sizes, and points to choose from.
    """
    shown = languages[(languages.benchmark == benchmark) & (languages.metric == "map") & (languages.setting != "multi")]
    codes = in_script_order([*shown.query_language, *shown.candidate_language])
    scores = {
        (row, column): (model, point, _scores(shown, benchmark, model, point, codes))
        for row, model in enumerate(axes.sizes)
        for column, point in enumerate(_three_points(shown, model, axes))
    }
    rows, columns = len(axes.sizes), 1 + max((column for _, column in scores), default=0)
    side = 0.9 + 0.17 * len(codes)
    figure = Figure(figsize=(columns * side + 0.9, rows * side + 0.4))
    panels = figure.subplots(rows, columns, squeeze=False)
    scale = _scale(score_QC for _, _, score_QC in scores.values())
    for place, panel in np.ndenumerate(panels):
        panel.set_visible(place in scores)
        if place in scores:
            model, point, score_QC = scores[place]
            panel.set_title(f"{model}, α = {point.label}")
            _language_panel(panel, score_QC, codes, scale)
            row, column = place
            panel.tick_params(labelbottom=(row + 1, column) not in scores, labelleft=column == 0)
    figure.colorbar(ScalarMappable(scale, _COLOURS), ax=panels, label="mAP × 100", shrink=0.6, aspect=30)
    figure.supxlabel("language of the candidates", fontsize=8)
    figure.supylabel("language of the question", fontsize=8)
    return figure


def language_map(title: str, map_QC: pd.DataFrame) -> Figure:
    """Draws mAP x 100 of one run: questions in rows, candidates in columns, monolingual retrieval on the diagonal.

    Args:
        title: above it.
        map_QC: mAP from 0 to 1, of the same languages in rows and columns; NaN where nothing was measured.
    """
    codes, score_QC = [str(code) for code in map_QC.index], 100 * map_QC.to_numpy(dtype=float)
    side = 1.6 + 0.3 * len(codes)
    figure = Figure(figsize=(side + 0.6, side))
    panel, scale = figure.subplots(), _scale([score_QC])
    _language_panel(panel, score_QC, codes, scale)
    panel.set(title=title, xlabel="language of the candidates", ylabel="language of the question")
    figure.colorbar(ScalarMappable(scale, _COLOURS), ax=panel, shrink=0.7)
    return figure


def _scores(shown: pd.DataFrame, benchmark: str, model: str, point: Point, codes: Sequence[str]) -> np.ndarray:
    grid = language_grid(shown, benchmark, model, point).reindex(index=codes, columns=codes)
    return np.asarray(100 * grid.to_numpy(dtype=float))


def _three_points(shown: pd.DataFrame, model: str, axes: Axes) -> list[Point]:
    """Picks the lowest, middle and highest ratio measured at a size; of another series if the ratio axis is empty."""
    measured = {Point(*place) for place in shown.loc[shown.model == model, ["series", "ratio"]].itertuples(index=False)}
    points = [point for point in axes.points if point in measured]
    points = [point for point in points if point.series == RATIO_SERIES] or points
    return points if len(points) <= 3 else [points[0], points[len(points) // 2], points[-1]]


def _language_panel(panel: Panel, score_QC: np.ndarray, codes: Sequence[str], scale: Normalize) -> None:
    edges = _edges([script_of(code) for code in codes], gap=0.2)
    _draw_cells(panel, score_QC, edges, edges, scale, "{:.0f}" if len(codes) <= _MOST_NUMBERED else "", size=5.5)
    panel.set_aspect("equal")
    panel.set_xticks(edges + 0.5, codes, fontsize=6, rotation=90)
    panel.set_yticks(edges + 0.5, codes, fontsize=6)


def _edges(groups: Sequence[str], gap: float) -> np.ndarray:
    """Says where cells of width 1 begin, with a gap wherever the group changes."""
    changes = [first != second for first, second in pairwise(groups)]
    return np.arange(len(groups)) + gap * np.cumsum([0, *changes])


def _draw_cells(
    panel: Panel, value_RC: np.ndarray, top_R: np.ndarray, left_C: np.ndarray, scale: Normalize, form: str, size: float
) -> None:
    """Draws coloured cells with their values in `form`; cells without a value are hatched."""
    known_RC = ~np.isnan(value_RC)
    shade_N = np.asarray(scale(value_RC[known_RC]), dtype=float)
    blank, known = (_squares(top_R, left_C, shown_RC) for shown_RC in (~known_RC, known_RC))
    panel.add_collection(
        PolyCollection(list(blank), facecolors="#f4f4f4", edgecolors="#b8b8b8", hatch="/////", linewidths=0),
        autolim=False,
    )
    panel.add_collection(
        PolyCollection(list(known), facecolors=_COLOURS(shade_N), edgecolors="white", linewidths=0.6), autolim=False
    )
    for square, value, shade in zip(known, value_RC[known_RC], shade_N, strict=True) if form else ():
        x, y = square.mean(axis=0)
        ink = "black" if shade > 0.42 else "white"  # equal contrast on viridis
        text = panel.text(x, y, form.format(value), ha="center", va="center", color=ink, fontsize=size)
        text.set_in_layout(False)  # it lies inside of its panel, and measuring thousands takes seconds
    panel.set(xlim=(0, left_C[-1] + 1), ylim=(top_R[-1] + 1, 0))
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)


def _squares(top_R: np.ndarray, left_C: np.ndarray, shown_RC: np.ndarray) -> np.ndarray:
    """Corners (x, y), [N, 4, 2], of the cells of width 1 that are shown, row by row."""
    row_N, column_N = np.nonzero(shown_RC)
    corner_N = np.stack([left_C[column_N], top_R[row_N]], axis=-1)
    return np.asarray(corner_N[:, None] + np.array([(0, 0), (1, 0), (1, 1), (0, 1)]), dtype=float)


def _scale(values: Iterable[np.ndarray]) -> Normalize:
    """Scales from the smallest to the largest number; from 0 to 1 where there is none."""
    finite = [value for array in values for value in array.ravel() if np.isfinite(value)]
    return Normalize(min(finite, default=0), max(finite, default=1))
