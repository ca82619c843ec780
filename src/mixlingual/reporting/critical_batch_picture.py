"""Draws steps to the target against the batch size."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes as Panel
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlingual.analysis.statistics.critical_batch import CriticalBatch
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.reporting.effect_pictures import look
from mixlingual.reporting.figures import Picture, style
from mixlingual.reporting.labels import LETTER


def critical_batch_picture(estimates: Estimates) -> list[Picture]:
    """Draws a row for each size and a column for each number of negatives; none where batch sizes do not vary.

    Returns:
        At most one picture.
    """
    arms = estimates.critical.arms
    if not arms:
        return []
    rows = list(dict.fromkeys((each.set, each.arm.model) for each in arms))
    columns = sorted({each.arm.negatives for each in arms})
    kinds = sorted({(each.arm.ratio, each.arm.draw) for each in arms})
    labels = [f"ratio {ratio:g}" + ("" if ratio in (0.0, 1.0) else f", kind by {draw}") for ratio, draw in kinds]
    with style():
        figure = Figure(figsize=(2.9 * len(columns) + LETTER * max(map(len, labels)) + 0.8, 2.4 * len(rows) + 0.5))
        grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True)
        for (name, model), across in zip(rows, grid, strict=True):
            for negatives, panel in zip(columns, across, strict=True):
                own = [e for e in arms if (e.set, e.arm.model, e.arm.negatives) == (name, model, negatives)]
                for each in own:
                    place = kinds.index((each.arm.ratio, each.arm.draw))
                    _draw(panel, each, *look("viridis", place, len(kinds), 0.8))
                panel.set_title(f"{model}, {negatives} negatives")
                panel.set_xscale("log", base=2)
                panel.set_yscale("log", base=2)
                panel.set_xlabel("batch size (pairs)")
                panel.set_ylabel("steps to the target")
                panel.xaxis.set_major_formatter("{x:g}")
                panel.yaxis.set_major_formatter("{x:g}")
                panel.grid(color="#dddddd", linewidth=0.6)
                panel.set_axisbelow(True)
        handles = [
            Line2D([], [], color=colour, marker=marker, markersize=4, label=label)
            for place, label in enumerate(labels)
            for colour, marker in [look("viridis", place, len(kinds), 0.8)]
        ]
        handles.append(Line2D([], [], color="#555555", marker="^", mfc="white", linestyle="", label="not reached"))
        figure.legend(handles=handles, loc="outside right upper")
        title = "Steps to the target against the batch size"
        figure.suptitle(title, fontsize=9.5)
    caption = (
        "A mark is a run. Along a straight line down, twice the batch halves the steps; where a curve turns level, "
        "larger batches no longer pay. Hollow: the run ended before it reached the target, which would be above. Each "
        "ratio has a target of its own."
    )
    told = [
        f"{e.arm.model}, {e.arm.negatives} negatives, ratio {e.arm.ratio:g}: {e.fit.critical.value:.0f} pairs"
        for e in arms
        if e.fit
    ]
    return [Picture("critical_batch", title, caption, f"{title}. Critical batch sizes: {'; '.join(told)}.", figure)]


def _draw(panel: Panel, found: CriticalBatch, colour: str, marker: str) -> None:
    for each in found.reached:
        mark, fill = ("^", "white") if each.censored else (marker, colour)
        panel.plot([each.batch_size], [each.steps], mark, color=colour, mfc=fill, markersize=4)
    if found.fit:
        sizes = [each.batch_size for each in found.reached]
        at = np.geomspace(min(sizes), max(sizes), 50)
        panel.plot(at, found.fit.a + found.fit.b / at, color=colour, linewidth=1.2)
