"""Draws a metric against the batch ratio, with a line for each size.

Encoders before any training have no ratio: each is a level across the panel, and no axis of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes as Panel
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlingual.analysis.read.points import RATIO_SERIES, ZERO_SHOT
from mixlingual.analysis.tables.grid import Axes, Grid
from mixlingual.measures.registry import SETTING_TITLES
from mixlingual.reporting.labels import RATIO, label_width, size_label

_MARKERS = "os^DvPX*"
_Dash = Literal["-", "--", ":", "-."]
_DASHES: tuple[_Dash, ...] = ("-", "--", ":", "-.")


class _Look(NamedTuple):
    """How the line of a size and series is drawn: colour and marker say the size, dash and fill the series."""

    model: str
    series: str
    colour: str
    marker: str
    dash: _Dash
    filled: bool


def ratio_lines(grids: Sequence[Grid], axes: Axes) -> Figure:
    """Draws a panel for each grid: lines are means over seeds, markers the seeds, bands their range.

    Dotted levels: before any training, where within the range of the lines; one far off would flatten them.
    """
    figure = Figure(figsize=(2.4 * len(grids) + 0.6 + label_width(axes), 2.6))
    panels = figure.subplots(1, len(grids), squeeze=False)[0]
    for panel, grid in zip(panels, grids, strict=True):
        _line_panel(panel, grid, axes)
    figure.legend(handles=_legend(axes), loc="outside right upper")
    return figure


def _line_panel(panel: Panel, grid: Grid, axes: Axes) -> None:
    levels = []
    for look in _looks(axes):
        mean = grid.mean.loc[look.model, look.series].dropna()
        if look.series.startswith(ZERO_SHOT):
            levels += [(level, look.colour) for level in mean]
            continue
        low, high = (frame.loc[look.model, look.series].loc[mean.index] for frame in (grid.low, grid.high))
        seeds = grid.values[(grid.values.model == look.model) & (grid.values.series == look.series)]
        fill = look.colour if look.filled else "white"
        panel.fill_between(mean.index, low, high, color=look.colour, alpha=0.18, linewidth=0)
        panel.plot(mean.index, mean, look.dash, color=look.colour)
        panel.plot(seeds.ratio, seeds.value, look.marker, color=look.colour, mfc=fill, markersize=4, alpha=0.8)
    low, high = panel.get_ylim()
    for level, colour in levels:
        if low <= level <= high:
            panel.axhline(level, color=colour, linestyle=":", linewidth=1)
    panel.set_title(SETTING_TITLES[grid.setting] if grid.metric == "map" else grid.facts.label)
    panel.set_ylabel(f"{grid.facts.label}\n({grid.facts.direction})")
    panel.set_xlabel(RATIO)
    panel.set_xticks(sorted({point.ratio for point in axes.points if not point.series.startswith(ZERO_SHOT)}))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.grid(axis="y", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def _looks(axes: Axes) -> Iterator[_Look]:
    models, series = list(axes.sizes), list(dict.fromkeys(point.series for point in axes.points))
    for i, model in enumerate(models):
        colour = to_hex(mpl.colormaps["viridis"](0.05 + 0.8 * i / max(1, len(models) - 1)))
        for j, name in enumerate(series):
            filled = name == RATIO_SERIES
            yield _Look(model, name, colour, _MARKERS[i % len(_MARKERS)], _DASHES[j % len(_DASHES)], filled)


def _legend(axes: Axes) -> list[Line2D]:
    """Explains the line of each size and, when there are several, of each series."""
    looks = list(_looks(axes))
    sizes = [look for look in looks if look.series == looks[0].series]
    kinds = [look for look in looks if look.model == looks[0].model]
    lines = [_sample(size_label(look.model, axes), look.colour, look.marker, "-") for look in sizes]
    return lines + [_kind(look) for look in kinds if len(kinds) > 1]


def _kind(look: _Look) -> Line2D:
    if look.series.startswith(ZERO_SHOT):
        return Line2D([], [], color="#555555", linestyle=":", linewidth=1, label=f"{look.series}, where in range")
    return _sample(look.series, "#555555", "o", look.dash, filled=look.filled)


def _sample(label: str, colour: str, marker: str, dash: _Dash, *, filled: bool = True) -> Line2D:
    fill = colour if filled else "white"
    return Line2D([], [], color=colour, marker=marker, markersize=4, markerfacecolor=fill, linestyle=dash, label=label)
