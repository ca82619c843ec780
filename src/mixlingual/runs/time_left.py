"""Estimates how long a sweep still takes, from what its finished runs took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixlingual.runs.state import RunState, State

_AT_WORK: tuple[State, ...] = ("running", "evaluating")
_AHEAD: tuple[State, ...] = ("planned", "queued", "requeued")
"""States of runs that nobody has to look after: they begin, or go on, by themselves."""


@dataclass(frozen=True)
class TimeLeft:
    """How long a sweep still takes if as many runs go on at a time as now."""

    seconds: float
    at_work: int
    """Runs that go on at a time."""
    unknown: tuple[str, ...]
    """Sizes with runs ahead and no finished run to go by; the seconds are without them."""


def time_left(runs: Sequence[RunState]) -> TimeLeft | None:
    """Returns the estimate; None while no run is at work, and where nothing is known of any.

    A run ahead takes the mean time of the finished runs of its size. A run at work takes what is left of its training
    and the mean time of their evaluations. Failed, killed and held runs are left out: they wait for somebody.
    """
    at_work = [run for run in runs if run.state in _AT_WORK]
    timings = {
        model: [run.result.timings for run in runs if run.result and run.model == model]
        for model in dict.fromkeys(run.model for run in runs)
    }
    whole = {model: float(np.mean([sum(each.values()) for each in of])) for model, of in timings.items() if of}
    ends = {
        model: float(np.mean([sum(each.values()) - each.get("train", 0.0) for each in of]))
        for model, of in timings.items()
        if of
    }
    current = [
        (run.seconds_left or 0.0) + ends.get(run.model, 0.0)
        for run in at_work
        if run.seconds_left is not None or run.model in ends
    ]
    ahead = [run.model for run in runs if run.state in _AHEAD]
    known = [*current, *(whole[model] for model in ahead if model in whole)]
    if not current:
        return None
    seconds = max(sum(known) / len(at_work), *current)
    return TimeLeft(seconds, len(at_work), tuple(dict.fromkeys(model for model in ahead if model not in whole)))
