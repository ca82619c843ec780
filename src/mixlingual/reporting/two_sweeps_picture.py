"""Draws what the ratio changes in two sweeps."""

from __future__ import annotations

from typing import Literal

from matplotlib.lines import Line2D

from mixlingual.analysis.statistics.two_sweeps import Comparison
from mixlingual.measures.registry import METRICS
from mixlingual.reporting.effect_pictures import look, panels
from mixlingual.reporting.figures import Picture, style
from mixlingual.reporting.labels import LETTER, RATIO

_DASHES: tuple[Literal["-", "--"], ...] = ("-", "--")


def two_sweeps_picture(comparison: Comparison) -> Picture | None:
    """Draws a panel for each benchmark, setting and measure: the first sweep solid, the second broken.

    Returns:
        None where the sweeps share one ratio only.
    """
    own = [each for each in comparison.changed if each.reference is not None]
    if not own:
        return None
    places = list(dict.fromkeys((each.benchmark, each.setting, each.measure) for each in own))
    names = [sweep.name for sweep in comparison.sweeps]
    sizes = [first if first == second else f"{first} / {second}" for first, second in comparison.sizes]
    colours = [look("plasma", place, len(sizes), 0.62)[0] for place in range(len(sizes))]
    with style():
        figure, found = panels(places, (2.4, 2.0), 0.9 + LETTER * max(map(len, (*names, *sizes))))
        for panel, place in found:
            here = [each for each in own if (each.benchmark, each.setting, each.measure) == place]
            for models, colour in zip(comparison.sizes, colours, strict=True):
                line = [each for each in here if each.models == models]
                for side, dash in zip(("first", "second"), _DASHES, strict=True):
                    points = sorted((each.ratio, getattr(each, side)) for each in line)
                    zero = [(each.reference, 0.0, 0.0, 0.0) for each in line[:1]]
                    rows = sorted([*zero, *((ratio, e.value, e.low, e.high) for ratio, e in points)])
                    at, value, low, high = zip(*rows, strict=True) if rows else ((), (), (), ())
                    panel.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
                    panel.plot(at, value, dash, color=colour, marker="o", markersize=3, linewidth=1.3)
            panel.axhline(0, color="#333333", linewidth=0.9, zorder=1)
            panel.set_ylabel(f"less ratio {here[0].reference:g}\n({METRICS[place[2]].direction})")
            panel.set_xlabel(RATIO)
            panel.xaxis.set_major_formatter("{x:g}")
        handles = [Line2D([], [], color=colour, label=size) for size, colour in zip(sizes, colours, strict=True)]
        handles += [
            Line2D([], [], color="#555555", linestyle=dash, label=name)
            for name, dash in zip(names, _DASHES, strict=True)
        ]
        figure.legend(handles=handles, loc="outside right upper")
        title = f"What the ratio changes in {names[0]} and in {names[1]}"
        figure.suptitle(title, fontsize=9.5)
    caption = "Differences from the reference, paired by question and seed; the band of each point is its own interval."
    return Picture("two_sweeps", title, caption, f"{title}. Every value is in the table.", figure)
