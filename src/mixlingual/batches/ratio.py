"""Moves the share of monolingual batches, alpha, over the steps of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RatioSchedule:
    """Moves from `first` to `last` over `steps` steps, then stays.

    `shape` is constant (`last` is not used), linear, cosine (a half period: slow, fast, slow) or
    steps (`phases` equally long stretches, with ratios evenly spaced from `first` to `last`).
    """

    first: float
    last: float
    shape: str
    steps: int
    phases: int = 2

    def total(self, step: float) -> float:
        """Returns the integral of the ratio from 0 to `step`: how many monolingual batches are due by then."""
        if self.shape == "constant" or not self.steps:
            return self.first * step
        inside = min(step, self.steps)
        return self.first * inside + (self.last - self.first) * self._risen(inside) + self.last * (step - inside)

    def at(self, step: int) -> float:
        """Returns the ratio of the batch at `step`: the mean of the schedule over it."""
        return self.first if self.shape == "constant" else self.total(step + 1) - self.total(step)

    def mean(self) -> float:
        """Returns the mean ratio of the run; schedules of equal mean see as many batches of each kind."""
        return self.total(self.steps) / self.steps if self.steps else self.first

    def _risen(self, step: float) -> float:
        """Returns the integral from 0 to `step` of the share of the way from first to last."""
        if self.shape == "linear":
            return step * step / (2 * self.steps)
        if self.shape == "cosine":
            return step / 2 - self.steps / (2 * math.pi) * math.sin(math.pi * step / self.steps)
        length = self.steps / self.phases
        phase = min(int(step / length), self.phases - 1)
        share = [i / (self.phases - 1) for i in range(self.phases)]
        return length * sum(share[:phase]) + (step - phase * length) * share[phase]
