"""Repeats a contrast on other scales: a verdict that depends on the scale says little.

A gain from .90 to .95 is as large as one from .30 to .35 in points, ten times as large as a share of what is missing,
and between the two in logits. No scale is the right one. Errors follow to first order (the delta method).

Shape suffixes: K cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import logit

from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import Estimate, Interaction, estimate
from mixlingual.analysis.statistics.spread import Vector
from mixlingual.measures.registry import METRICS

_EDGE = 1e-4


class Scale(NamedTuple):
    """A scale, larger values being larger."""

    name: str
    forward: Callable[[Vector], Vector]
    slope: Callable[[Vector], Vector]


def _held(values_K: Vector) -> Vector:
    """Scores off 0 and 1, where logits are infinite."""
    held_K: Vector = np.clip(values_K, _EDGE, 1 - _EDGE)
    return held_K


LOGITS = Scale("logits", lambda x: logit(_held(x)), lambda x: 1 / (_held(x) * (1 - _held(x))))
LOGARITHMS = Scale("logarithms", lambda x: np.log(np.maximum(x, 0.5)), lambda x: 1 / np.maximum(x, 0.5))
HEADROOM = "share of the headroom"
"""Gain over what the pure ratio leaves to gain, 1 less its score."""


def scale_of(measure: str) -> Scale:
    """That on which levels of a measure can be compared: logarithms for ranks, else logits."""
    return LOGARITHMS if METRICS[measure].direction.startswith("ranks") else LOGITS


def on_scales(contrast: Interaction, means: CellMeans, measure: str, level: float) -> dict[str, Estimate]:
    """Scale -> the contrast on it; the pure ratios are those that are better in the cell means.

    Args:
        contrast: of two sizes.
        means: of the cells.
        measure: its name; ranks have no headroom.
        level: of the intervals.
    """
    weight_K = contrast.weights(means)
    if weight_K is None:
        return {}
    scale = scale_of(measure)
    found = {
        scale.name: estimate(
            means, weight_K * scale.slope(means.mean_K), level, float(weight_K @ scale.forward(means.mean_K))
        )
    }
    if scale is LOGITS:
        value, slope_K = _headroom(contrast, means)
        found[HEADROOM] = estimate(means, slope_K, level, value)
    return found


def _headroom(contrast: Interaction, means: CellMeans) -> tuple[float, Vector]:
    value, slope_K = 0.0, np.zeros(len(means.cells))
    for side, sign in zip(contrast.sides(), (-1.0, 1.0), strict=True):
        places = side.places(means)
        assert places is not None
        mixed, pure = means.mean_K[places[0]], means.mean_K[places[1]]
        room = max(1 - pure, _EDGE)
        value += sign * (mixed - pure) / room
        slope_K[places[0]] += sign / room
        slope_K[places[1]] -= sign * (1 - mixed) / room**2
    return float(value), slope_K
