"""Draws the differences from a reference: against the ratio, against the size, and as maps of both.

Each picture is about the whole sweep: a row for each benchmark, a column for each setting and measure. The reference is
the first of the analysis: ratio 0 where it was measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes as Panel
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mixlingual.analysis.statistics.effects import Effect, Effects
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.tables.grid import Axes
from mixlingual.measures.registry import METRICS, headlines, larger_is_better
from mixlingual.reporting.answer import PLACES
from mixlingual.reporting.effects import SIGNS, told_apart
from mixlingual.reporting.figures import Picture, style
from mixlingual.reporting.heatmaps import draw_cells, ink
from mixlingual.reporting.labels import RATIO, label_width, short_number, size_label

_MARKERS = "os^DvPX*"
_MOST_COLOUR = 0.42
"""Part of the diverging colours that maps use on either side: letters are hard to read on their ends."""

Families = dict[tuple[str, str, str], Effects]
"""(benchmark, setting, measure) -> what its panel shows."""


class _Line(NamedTuple):
    """The differences of a size against the ratio, or of a ratio against the size."""

    label: str
    colour: str
    marker: str
    points: list[tuple[float, Effect | None]]
    """(place, difference), ascending; None where the line passes its reference."""


def effect_pictures(estimates: Estimates, axes: Axes, *, complete: bool) -> list[Picture]:
    """Draws the three pictures; none without a difference, none against the size where there is but one.

    Args:
        estimates: of the sweep.
        axes: sizes and points of its grids.
        complete: whether no run is missing; else the maps hold no verdicts.
    """
    families = first_families(estimates)
    if not families:
        return []
    with style():
        found = [_lines(families, estimates, axes, by_size=False)]
        if len({each.model for family in families.values() for each in family.effects}) > 1:
            found.append(_lines(families, estimates, axes, by_size=True))
        return [*found, _maps(families, estimates, axes, complete=complete)]


def first_families(estimates: Estimates) -> Families:
    """The differences from the first reference of each panel."""
    families: Families = {}
    for family in estimates.effects:
        families.setdefault((family.benchmark, family.setting, family.measure), family)
    return families


def panels(
    places: Collection[tuple[str, str, str]], panel_size: tuple[float, float], beside: float
) -> tuple[Figure, list[tuple[Panel, tuple[str, str, str]]]]:
    """A figure with a row for each benchmark and a column for each setting and measure.

    Args:
        places: (benchmark, setting, measure) of each panel.
        panel_size: width and height in inches.
        beside: inches for what stands beside the panels.

    Returns:
        The figure, and each panel with its place.
    """
    rows = list(dict.fromkeys(benchmark for benchmark, *_ in places))
    columns = [pair for pair in headlines() if pair in {(setting, measure) for _, setting, measure in places}]
    figure = Figure(figsize=(panel_size[0] * len(columns) + beside, panel_size[1] * len(rows) + 0.5))
    found = []
    for benchmark, across in zip(rows, figure.subplots(len(rows), len(columns), squeeze=False), strict=True):
        for (setting, measure), panel in zip(columns, across, strict=True):
            if (place := (benchmark, setting, measure)) in places:
                panel.set_title(f"{benchmark}, {METRICS[measure].label}\n{PLACES[setting].lower()}")
                found.append((panel, place))
            else:
                panel.set_axis_off()
    return figure, found


def _lines(families: Families, estimates: Estimates, axes: Axes, *, by_size: bool) -> Picture:
    figure, found = panels(families, (2.4, 2.0), 0.6 + label_width(axes))
    legend: dict[str, _Line] = {}
    for panel, place in found:
        family = families[place]
        for line in _against_size(family, axes) if by_size else _against_ratio(family, axes):
            _draw(panel, line, told_apart(family))
            legend.setdefault(line.label, line)
        if smallest := estimates.config.smallest_effect.get(family.measure):
            panel.axhspan(-smallest, smallest, color="#e4e4e4", zorder=0)
        panel.axhline(0, color="#333333", linewidth=0.9, zorder=1)
        panel.set_ylabel(f"less {family.reference}\n({METRICS[family.measure].direction})")
        panel.set_xlabel("weights without embeddings" if by_size else RATIO)
        if by_size:
            panel.set_xscale("log")
            weights = sorted({float(axes.sizes[each.model] or 1) for each in family.effects})
            panel.set_xticks(weights, [short_number(weight) for weight in weights])
            panel.minorticks_off()
        else:
            panel.xaxis.set_major_formatter("{x:g}")
    handles = [
        Line2D([], [], color=line.colour, marker=line.marker, markersize=4, label=line.label)
        for line in legend.values()
    ]
    figure.legend(handles=handles, loc="outside right upper")
    title = f"What the {'ratio changes at each size' if not by_size else 'size makes of each ratio'}"
    caption = (
        f"Differences paired by question and seed. Bands of a panel hold with {100 * estimates.level:g} % together. "
        "Line at 0: no difference; grey: too small to matter, as declared. Hollow: another number of seeds than most."
    )
    return _picture("effect_by_size" if by_size else "effect", title, caption, families, figure)


def _against_ratio(family: Effects, axes: Axes) -> Iterator[_Line]:
    """A line for each size, which passes 0 at its reference."""
    for place, model in enumerate(axes.sizes):
        points = [(each.ratio, each) for each in family.effects if each.model == model]
        zero = [(family.at[model], None)] if points and model in family.at else []
        if points:
            ordered = sorted([*points, *zero], key=lambda point: point[0])
            yield _Line(size_label(model, axes), *look("plasma", place, len(axes.sizes), 0.62), ordered)


def _against_size(family: Effects, axes: Axes) -> Iterator[_Line]:
    """A line for each ratio but the reference."""
    ratios = sorted({each.ratio for each in family.effects})
    for place, ratio in enumerate(ratios):
        points = [(float(axes.sizes[each.model] or 1), each) for each in family.effects if each.ratio == ratio]
        yield _Line(f"α = {ratio:g}", *look("viridis", place, len(ratios), 0.72), [*points])


def look(colours: str, place: int, number: int, most: float) -> tuple[str, str]:
    """Gives (colour, marker) of a line: evenly lighter, so that hue does not matter."""
    return to_hex(mpl.colormaps[colours](most * place / max(1, number - 1))), _MARKERS[place % len(_MARKERS)]


def _draw(panel: Panel, line: _Line, hollow: set[Effect]) -> None:
    at = [place for place, _ in line.points]
    value, low, high = (
        [getattr(each.estimate, end) if each else 0.0 for _, each in line.points]
        for end in ("value", "low_all", "high_all")
    )
    panel.fill_between(at, low, high, color=line.colour, alpha=0.15, linewidth=0)
    panel.plot(at, value, color=line.colour, linewidth=1.3)
    for place, mean, (_, each) in zip(at, value, line.points, strict=True):
        fill = "white" if each in hollow else line.colour
        panel.plot([place], [mean], line.marker, color=line.colour, mfc=fill, markersize=4)


def _maps(families: Families, estimates: Estimates, axes: Axes, *, complete: bool) -> Picture:
    ratios = sorted(
        {ratio for f in families.values() for ratio in (*f.at.values(), *(each.ratio for each in f.effects))}
    )
    models = [model for model in axes.sizes if any(e.model == model for f in families.values() for e in f.effects)]
    size = (0.45 * len(ratios) + 0.25, 0.42 * len(models) + 0.75)
    figure, found = panels(families, size, 0.4 + label_width(axes))
    top_R, left_C = np.arange(len(models)), np.arange(len(ratios))
    corner_N2 = np.stack(np.meshgrid(left_C, top_R), axis=-1).reshape(-1, 2)
    for panel, at in found:
        family = families[at]
        own = {(each.model, each.ratio): each for each in family.effects}
        zero = {(model, ratio) for model, ratio in family.at.items() if any(place[0] == model for place in own)}
        places = [(model, ratio) for model in models for ratio in ratios]
        value_N = np.array(
            [own[place].estimate.value if place in own else 0.0 if place in zero else np.nan for place in places]
        )
        most = float(np.nanmax(np.abs(value_N))) or 1.0
        half = most / (2 * _MOST_COLOUR)
        sign = 1 if larger_is_better(family.measure) else -1
        colours = mpl.colormaps["PuOr" if sign > 0 else "PuOr_r"]
        decimals = METRICS[family.measure].decimals
        draw_cells(panel, corner_N2, value_N, Normalize(-half, half), f"{{:+.{min(decimals, 3)}f}}", 0.24, colours)
        inks = ink(colours(Normalize(-half, half)(value_N)))
        for place, corner, own_ink in zip(places, corner_N2, inks, strict=True):
            if place not in own:
                continue
            word = SIGNS[estimates.verdict(family.measure, own[place].estimate)] if complete else ""
            panel.text(corner[0] + 0.5, corner[1] + 0.8, word, ha="center", va="center", color=own_ink)
            if own[place] in told_apart(family):
                frame = Rectangle(
                    (corner[0] + 0.06, corner[1] + 0.06),
                    0.88,
                    0.88,
                    fill=False,
                    linestyle="--",
                    edgecolor="#444444",
                    linewidth=0.8,
                )
                panel.add_patch(frame)
        panel.set_xticks(left_C + 0.5, [f"{ratio:g}" for ratio in ratios])
        panel.set_yticks(top_R + 0.5, [size_label(model, axes) for model in models])
        panel.label_outer(remove_inner_ticks=True)
        panel.set_xlabel(RATIO)
    caption = (
        "Difference from the reference: purple better, orange worse, each panel by its own largest. Signs: + better, "
        "\N{MINUS SIGN} worse, = as good, ? undecided. Dashed: another number of seeds than most. Hatched: no run."
    )
    return _picture("effect_map", "What the ratio changes, by size and ratio", caption, families, figure)


def _picture(name: str, title: str, caption: str, families: Families, figure: Figure) -> Picture:
    figure.suptitle(title, fontsize=9.5)
    told = []
    for family in families.values():
        last = family.effects[-1]
        value = f"{last.estimate.value:+.{METRICS[family.measure].decimals}f}"
        where = f"{family.benchmark}, {PLACES[family.setting].lower()}, {METRICS[family.measure].label}"
        told.append(f"{where}: {last.model} at ratio {last.ratio:g} less {family.reference}: {value}.")
    return Picture(name, title, caption, f"{title}. {' '.join(told)} Every value: statistics_effects.csv.", figure)
