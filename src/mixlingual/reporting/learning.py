"""Draws what runs score on a development set against the pairs that they have seen: a panel for each size, a line for
each ratio.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes as Panel
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.tables.grid import Axes, Point
from mixlingual.measures.registry import METRICS, SETTING_TITLES
from mixlingual.reporting.figures import Picture, style
from mixlingual.reporting.labels import LETTER, RATIO, file_name, size_label

_CURVES = ("loss", "mono", "cross", "multi")
"""Columns of a picture: the in-batch loss, and each setting."""
_BESIDE = ("rank_distance", "pool_loss")
"""Measures that are in the table alone."""


def learning_pictures(learning: pd.DataFrame, axes: Axes) -> list[Picture]:
    """Draws one picture for each development set of a sweep.

    Args:
        learning: `learning_table` of the sweep.
        axes: rows and columns of its grids.
    """
    with style():
        return [_picture(name, rows, axes) for name, rows in learning.groupby("set", sort=True)]


def inlined(svg: Path) -> str:
    """Returns the address of a picture that a page carries within itself."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode()}"


def _picture(name: str, rows: pd.DataFrame, axes: Axes) -> Picture:
    rows = rows[~rows.measure.isin(_BESIDE)].assign(curve=rows.setting.where(rows.measure != "loss", "loss"))
    rows = rows[(rows.measure != "loss") | (rows.setting == "all")]
    curves = [curve for curve in _CURVES if (rows.curve == curve).any()]
    models = [model for model in axes.sizes if (rows.model == model).any()]
    points = [point for point in axes.points if ((rows.series == point.series) & (rows.ratio == point.ratio)).any()]
    looks = {
        point: to_hex(mpl.colormaps["viridis"](0.9 * i / max(1, len(points) - 1))) for i, point in enumerate(points)
    }
    legend = LETTER * max(len(RATIO), *(len(point.label) for point in points)) + 0.4
    figure = Figure(figsize=(2.2 * len(curves) + legend, 1.9 * len(models) + 0.5))
    panels = figure.subplots(len(models), len(curves), squeeze=False, sharex=True, sharey="col")
    for model, across in zip(models, panels, strict=True):
        for curve, panel in zip(curves, across, strict=True):
            own = rows[(rows.model == model) & (rows.curve == curve)]
            _panel(panel, own, looks)
            panel.set_title(f"{size_label(model, axes)}\n{_title(curve)}")
            panel.set_ylabel(_label(own))
    for panel in panels[-1]:
        panel.set_xlabel("query-passage pairs seen")
    handles = [Line2D([], [], color=colour, marker=".", label=point.label) for point, colour in looks.items()]
    figure.legend(handles=handles, title=RATIO, loc="outside right upper")
    title = f"Learning curves on the development set {name}"
    figure.suptitle(title, fontsize=9.5)
    caption = (
        "Line: mean over the seeds that got there; band: smallest to largest seed. Measured are the weights that the "
        "run would end with there. Each column has its own scale."
    )
    return Picture(f"{file_name(name)}_learning", title, caption, f"{title}. {_in_words(rows, models)}", figure)


def _panel(panel: Panel, rows: pd.DataFrame, looks: dict[Point, str]) -> None:
    for point, colour in looks.items():
        own = rows[(rows.series == point.series) & (rows.ratio == point.ratio)]
        seeds = own.groupby("pairs").value
        if len(own):
            dash = "-" if point.series == RATIO_SERIES else "--"
            panel.plot(seeds.mean().index, seeds.mean(), dash, color=colour, marker=".")
            panel.fill_between(seeds.min().index, seeds.min(), seeds.max(), color=colour, alpha=0.18, linewidth=0)
    seen = rows.pairs[rows.pairs > 0]
    if len(seen):
        panel.set_xscale("symlog", base=2, linthresh=seen.min(), linscale=0.5)  # log, with room for 0
        panel.set_xticks(sorted({0, *seen} if (rows.pairs == 0).any() else {*seen})[-6:])
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.tick_params(axis="x", labelrotation=45)
        panel.minorticks_off()
    panel.grid(axis="y", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def _title(curve: str) -> str:
    return "in-batch loss" if curve == "loss" else SETTING_TITLES[curve]


def _label(rows: pd.DataFrame) -> str:
    measures = rows.measure.unique()
    if len(measures) != 1:
        return ""
    return "nats (lower is better)" if measures[0] == "loss" else METRICS[measures[0]].label


def _in_words(rows: pd.DataFrame, models: Sequence[str]) -> str:
    last = rows[rows.pairs == rows.pairs.max()]
    found = []
    for model in models:
        means = last[(last.model == model) & (last.curve != "loss")].groupby("curve", sort=False).value.mean()
        found += [f"{model}, {SETTING_TITLES[curve]}: {value:.3f}" for curve, value in means.items()]
    return f"Means over ratios after {rows.pairs.max():,} pairs: {'; '.join(found)}. Every value is in learning.csv."
