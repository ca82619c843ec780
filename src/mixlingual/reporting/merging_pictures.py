"""Draws encoders merged between the two pure ratios beside those trained at the ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes as Panel
from matplotlib.lines import Line2D

from mixlingual.analysis.statistics.effects import Effects
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.statistics.merging import Merging
from mixlingual.analysis.tables.grid import Axes
from mixlingual.measures.registry import METRICS
from mixlingual.reporting.answer import PLACES
from mixlingual.reporting.effect_pictures import first_families, look, panels
from mixlingual.reporting.figures import Picture, style
from mixlingual.reporting.labels import RATIO, label_width, size_label

_DASHES: tuple[Literal["--", ":"], ...] = ("--", ":")
_MARKERS = "Ds"


def merging_pictures(estimates: Estimates, axes: Axes) -> list[Picture]:
    """Draws what merging gives less training at the ratio, and both as curves; none where nothing was merged."""
    if not estimates.merging:
        return []
    places = list(dict.fromkeys((found.benchmark, found.setting, found.measure) for found in estimates.merging))
    with style():
        return [_differences(places, estimates, axes), _curves(places, estimates, axes)]


Place = tuple[str, str, str]
"""Benchmark, setting and measure."""


def _differences(places: Sequence[Place], estimates: Estimates, axes: Axes) -> Picture:
    figure, found = panels(places, (2.4, 2.0), 0.9 + label_width(axes))
    kinds = _kinds(estimates)
    for panel, place in found:
        own = [each for each in estimates.merging if _place(each) == place]
        lines = list(dict.fromkeys((each.model, each.kind) for each in own))
        shares = sorted({each.share for each in own})
        for number, (model, kind) in enumerate(lines):
            shift = 0.12 * (number / max(1, len(lines) - 1) - 0.5) if len(lines) > 1 else 0.0
            colour = _colour(model, axes)
            for each in own:
                if (each.model, each.kind) == (model, kind):
                    at, difference = each.share + shift, each.difference
                    panel.plot([at, at], [difference.low_all, difference.high_all], color=colour, linewidth=1.2)
                    fill = colour if kind == kinds[0] else "white"
                    marker = _MARKERS[kinds.index(kind) % len(_MARKERS)]
                    panel.plot([at], [difference.value], marker, color=colour, mfc=fill, markersize=4)
        if smallest := estimates.config.smallest_effect.get(place[2]):
            panel.axhspan(-smallest, smallest, color="#e4e4e4", zorder=0)
        panel.axhline(0, color="#333333", linewidth=0.9, zorder=1)
        panel.set_ylabel(f"merged less trained\n({METRICS[place[2]].direction})")
        panel.set_xlabel(RATIO)
        panel.set_xticks(shares, [f"{share:g}" for share in shares])
    handles = [_size(model, axes) for model in _models(estimates, axes)]
    handles += [
        Line2D([], [], color="#555555", marker=_MARKERS[i % len(_MARKERS)], linestyle="", markersize=4, label=kind,
               markerfacecolor="#555555" if i == 0 else "white")
        for i, kind in enumerate(kinds)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside right upper")
    title = "Merging the pure ends against training at the ratio"
    caption = (
        "Encoders between those of ratio 0 and ratio 1 of a seed, less the one trained at that ratio, paired by seed "
        "and question. Bars hold together over the ratios of a size. Line at 0: merging gives what training gives; "
        "grey: too small to matter, as declared."
    )
    figure.suptitle(title, fontsize=9.5)
    told = [
        f"{each.benchmark}, {PLACES[each.setting].lower()}, {METRICS[each.measure].label}, {each.model}, {each.kind}, "
        f"{each.share:g}: {each.difference.value:+.{METRICS[each.measure].decimals}f}."
        for each in estimates.merging
        if each.measure == places[0][2]
    ]
    return Picture("merging", title, caption, f"{title}. {' '.join(told)}", figure)


def _curves(places: Sequence[Place], estimates: Estimates, axes: Axes) -> Picture:
    """Trained encoders as solid lines, merged ones as broken ones, all less the reference of their size."""
    figure, found = panels(places, (2.4, 2.0), 0.9 + label_width(axes))
    families, kinds = first_families(estimates), _kinds(estimates)
    for panel, place in found:
        if family := families.get(place):
            for model in _models(estimates, axes):
                own = [each for each in estimates.merging if _place(each) == place and each.model == model]
                _draw_curves(panel, model, family, own, kinds, _colour(model, axes))
            panel.set_ylabel(f"less {family.reference}\n({METRICS[place[2]].direction})")
        panel.axhline(0, color="#333333", linewidth=0.9, zorder=1)
        panel.set_xlabel(RATIO)
        panel.xaxis.set_major_formatter("{x:g}")
    handles = [_size(model, axes) for model in _models(estimates, axes)]
    handles += [Line2D([], [], color="#555555", label="trained at the ratio")]
    handles += [
        Line2D([], [], color="#555555", linestyle=_DASHES[i % len(_DASHES)], label=f"merged, {kind}")
        for i, kind in enumerate(kinds)
    ]
    figure.legend(handles=handles, loc="outside right upper")
    title = "Mixing curve and merging curve"
    caption = (
        "Means over seeds, less the reference of the same size. The curves share their ends, which are not merged."
    )
    figure.suptitle(title, fontsize=9.5)
    return Picture("merging_curves", title, caption, f"{title}. Every value is in statistics_merging.csv.", figure)


def _draw_curves(
    panel: Panel, model: str, family: Effects, merged: Sequence[Merging], kinds: Sequence[str], colour: str
) -> None:
    trained = {each.ratio: each.estimate.value for each in family.effects if each.model == model}
    if model in family.at:
        trained[family.at[model]] = 0.0
    ratios = sorted(trained)
    panel.plot(ratios, [trained[ratio] for ratio in ratios], "-o", color=colour, linewidth=1.3, markersize=3)
    for i, kind in enumerate(kinds):
        between = {each.share: each.difference.value for each in merged if each.kind == kind and each.share in trained}
        line = {ratio: trained[ratio] + between.get(ratio, 0.0) for ratio in ratios if ratio in (0.0, 1.0, *between)}
        panel.plot([*line], [*line.values()], _DASHES[i % len(_DASHES)], color=colour, linewidth=1.1)


def _place(found: Merging) -> Place:
    return found.benchmark, found.setting, found.measure


def _kinds(estimates: Estimates) -> list[str]:
    return list(dict.fromkeys(found.kind for found in estimates.merging))


def _models(estimates: Estimates, axes: Axes) -> list[str]:
    return [model for model in axes.sizes if any(found.model == model for found in estimates.merging)]


def _colour(model: str, axes: Axes) -> str:
    return look("plasma", list(axes.sizes).index(model), len(axes.sizes), 0.62)[0]


def _size(model: str, axes: Axes) -> Line2D:
    return Line2D([], [], color=_colour(model, axes), label=size_label(model, axes))
