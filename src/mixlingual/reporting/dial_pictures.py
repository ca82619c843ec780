"""Draws the ratio as a dial of own language first, and what a small model would have told about a larger one."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes as Panel
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.statistics.dial import POOL, PREFERENCE, RELEVANCE
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.statistics.transfer import Told
from mixlingual.analysis.tables.grid import Axes
from mixlingual.measures.registry import METRICS, SETTING_TITLES
from mixlingual.reporting.figures import Picture, style
from mixlingual.reporting.labels import LETTER, label_width, size_label

_MARKERS = "os^DvPX*"


def dial_picture(results: pd.DataFrame, estimates: Estimates, axes: Axes) -> list[Picture]:
    """Draws mAP in the pool of all against own language first, a line for each size along the ratio.

    Returns:
        One picture with a panel for each benchmark; none where no size has both measures at two ratios.
    """
    means = _dial_means(results)
    names = list(dict.fromkeys(benchmark for benchmark, _ in means))
    if not names:
        return []
    with style():
        figure = Figure(figsize=(3.1 * len(names) + label_width(axes) + 0.6, 3.0))
        for name, panel in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
            for place, model in enumerate(axes.sizes):
                if (name, model) in means:
                    _draw_dial(panel, means[name, model], _colour(place, axes), _MARKERS[place % len(_MARKERS)])
            for found in estimates.moved:
                if found.benchmark == name and found.model in axes.sizes:
                    colour = _colour(list(axes.sizes).index(found.model), axes)
                    panel.plot(100 * found.preference, found.relevance, "D", color=colour, mfc="white", markersize=5)
            panel.set_title(name)
            panel.set_xlabel("own language first (% of questions)")
            panel.set_ylabel("mAP in the pool of all (higher is better)")
            panel.grid(color="#dddddd", linewidth=0.6)
            panel.set_axisbelow(True)
        handles = [
            Line2D([], [], color=_colour(i, axes), marker=_MARKERS[i % len(_MARKERS)], label=size_label(model, axes))
            for i, model in enumerate(axes.sizes)
            if any(size == model for _, size in means)
        ]
        if estimates.moved:
            handles.append(Line2D([], [], color="#555555", marker="D", mfc="white", linestyle="", label="corrected"))
        figure.legend(handles=handles, loc="outside right upper")
    title = "What own language first costs"
    caption = (
        "Each line leads along the ratio, whose least and greatest value stand at its ends; means over seeds. Further "
        "right, more questions have an answer in their own language as their first result, which is a preference to "
        "some and a bias to others. Further up, the pool of all is ranked better."
    )
    ends = [
        f"{name}, {model}: {100 * rows[PREFERENCE].iloc[0]:.1f} to {100 * rows[PREFERENCE].iloc[-1]:.1f} % and mAP "
        f"{rows[RELEVANCE].iloc[0]:.3f} to {rows[RELEVANCE].iloc[-1]:.3f}"
        for (name, model), rows in means.items()
    ]
    return [
        Picture("dial", title, caption, f"{title}. From the least ratio to the greatest: {'; '.join(ends)}.", figure)
    ]


def small_models_picture(estimates: Estimates) -> list[Picture]:
    """Draws the regret of taking the smaller size's best ratio at the larger, for each pair of sizes.

    Returns:
        One picture of mAP at the end of training, a row for each benchmark and a column for each setting; or none.
    """
    told = [each for each in estimates.told if each.pairs is None and each.measure == RELEVANCE]
    if not told:
        return []
    rows = list(dict.fromkeys(each.benchmark for each in told))
    columns = [setting for setting in SETTING_TITLES if any(each.setting == setting for each in told)]
    pairs = list(dict.fromkeys((each.transfer.small, each.transfer.large) for each in told))
    names = [f"{small} for {large}" for small, large in pairs]
    with style():
        width = 2.3 * len(columns) + LETTER * max(map(len, names)) + 0.6
        figure = Figure(figsize=(width, (0.24 * len(pairs) + 0.85) * len(rows) + 0.4))
        panels = figure.subplots(len(rows), len(columns), squeeze=False, sharey=True)
        for benchmark, across in zip(rows, panels, strict=True):
            for setting, panel in zip(columns, across, strict=True):
                own = [each for each in told if (each.benchmark, each.setting) == (benchmark, setting)]
                _draw_regret(panel, own, pairs)
                panel.set_title(f"{benchmark}, {SETTING_TITLES[setting]}")
                panel.set_yticks(range(len(pairs)), names)
                panel.set_ylim(len(pairs) - 0.5, -0.5)
        for panel in panels[-1]:
            panel.set_xlabel("mAP lost (lower is better)")
    title = "What a small model would have told you"
    caption = (
        "A row is a pair of sizes. Dot: what the larger size loses when it takes the ratio at which the smaller one is "
        "best, named beside it, against its own best ratio. Bar: where the true loss lies, whichever ratio was picked."
    )
    words = [
        f"{each.benchmark}, {SETTING_TITLES[each.setting]}, {each.transfer.small} for {each.transfer.large}: ratio "
        f"{each.transfer.choice:g}, {each.transfer.regret.value:.{METRICS[RELEVANCE].decimals}f} lost"
        for each in told
    ]
    return [Picture("small_models", title, caption, f"{title}. {'; '.join(words)}.", figure)]


def _dial_means(results: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """(benchmark, size) -> means of both measures by ratio, ascending, where there are two ratios."""
    own = results[(results.setting == POOL) & (results.series == RATIO_SERIES)]
    own = own[own.metric.isin([PREFERENCE, RELEVANCE])]
    found = {}
    for (benchmark, model), rows in own.groupby(["benchmark", "model"], sort=True, observed=True):
        table = rows.pivot_table(index="ratio", columns="metric", values="value", aggfunc="mean", observed=True)
        if {PREFERENCE, RELEVANCE} <= {*table.columns} and len(table := table.dropna()) > 1:
            found[str(benchmark), str(model)] = table.sort_index()
    return found


def _draw_dial(panel: Panel, rows: pd.DataFrame, colour: str, marker: str) -> None:
    at, value = (100 * rows[PREFERENCE]).tolist(), rows[RELEVANCE].tolist()
    panel.plot(at, value, color=colour, marker=marker, markersize=4, linewidth=1.3)
    for place in (0, -1):
        panel.annotate(
            f"{rows.index[place]:g}", (at[place], value[place]), (0, 5), textcoords="offset points", ha="center"
        )


def _draw_regret(panel: Panel, told: Sequence[Told], pairs: Sequence[tuple[str, str]]) -> None:
    for each in told:
        found, row = each.transfer, pairs.index((each.transfer.small, each.transfer.large))
        panel.plot([found.regret.low, found.regret.high], [row, row], color="#7a7a7a", linewidth=1.6)
        panel.plot(found.regret.value, row, "o", color="#d55e00", markersize=4)
        panel.annotate(
            f"α = {found.choice:g}", (found.regret.high, row), (4, 0), textcoords="offset points", va="center"
        )
    panel.set_xlim(left=0)
    panel.margins(x=0.35)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def _colour(place: int, axes: Axes) -> str:
    return to_hex(mpl.colormaps["plasma"](0.62 * place / max(1, len(axes.sizes) - 1)))
