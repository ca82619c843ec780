"""Gives the differences from a reference to the charts of the page: all that they show is computed by the analysis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.statistics.contrasts import Verdict
from mixlingual.analysis.statistics.effects import Effect, Effects
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.tables.grid import Axes, Point, usual_seeds
from mixlingual.reporting.answer import PLACES, missing_runs

SIGNS: dict[Verdict, str] = {"better": "+", "worse": "\N{MINUS SIGN}", "as good": "=", "undecided": "?"}
"""Verdict -> how cells of a map that are too narrow for the word show it."""


def effect_charts(sweep: Sweep, estimates: Estimates, axes: Axes) -> dict[str, list[dict[str, Any]]]:
    """Benchmark -> its families of differences, as JSON types; cells have no verdict while runs are missing."""
    found: dict[str, list[dict[str, Any]]] = {}
    for family in estimates.effects:
        found.setdefault(family.benchmark, []).append(
            {
                "setting": family.setting,
                "metric": family.measure,
                "title": PLACES[family.setting],
                "reference": family.reference,
                "at": {list(axes.sizes).index(model): ratio for model, ratio in family.at.items()},
                "level": estimates.level,
                "smallest": estimates.config.smallest_effect.get(family.measure),
                "cells": [*_cells(family, estimates, axes, complete=not missing_runs(sweep))],
            }
        )
    return found


def told_apart(family: Effects) -> set[Effect]:
    """The differences of cells with another number of seeds than most."""
    usual = usual_seeds(each.seeds for each in family.effects)
    return {each for each in family.effects if each.seeds != usual}


def _cells(family: Effects, estimates: Estimates, axes: Axes, *, complete: bool) -> Iterator[dict[str, Any]]:
    hollow = told_apart(family)
    for effect in family.effects:
        found = effect.estimate
        numbers = {name: getattr(found, name) for name in ("value", "low", "high", "low_all", "high_all", "error", "p")}
        word = estimates.verdict(family.measure, found) if complete else None
        yield {
            "model": list(axes.sizes).index(effect.model),
            "point": axes.points.index(Point(RATIO_SERIES, effect.ratio)),
            "seeds": effect.seeds,
            "hollow": effect in hollow,
            "verdict": word,
            "sign": SIGNS[word] if word else "",
        } | {name: float(f"{number:.7g}") for name, number in numbers.items()}
