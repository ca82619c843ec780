"""Moves the learning rate over the steps of a fixed budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mixlingual.config.schema import OptimConfig

if TYPE_CHECKING:
    from torch.optim import AdamW
    from torch.optim.lr_scheduler import LambdaLR


def make_scheduler(optimizer: AdamW, config: OptimConfig, steps: int) -> LambdaLR:
    """Multiplies the peak learning rate by `rate_factor` at every step."""
    from torch.optim.lr_scheduler import LambdaLR  # here, so that budgets are known without PyTorch

    return LambdaLR(optimizer, lambda step: rate_factor(step, steps, config.warmup, config.schedule))


def rate_factor(step: int, steps: int, warmup: float, schedule: str) -> float:
    """Returns the share of the peak learning rate at `step` of `steps`, in (0, 1].

    It rises linearly over the first `warmup` share of the steps and then stays, falls linearly or
    falls as a half cosine; step 0 already moves the weights and the last step still does.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    left = (steps - step) / max(1, steps - rising)
    if schedule == "linear":
        return max(0.0, left)
    if schedule == "cosine":
        return max(0.0, (1 - math.cos(math.pi * left)) / 2)
    return 1.0


def budget_steps(steps: int | None, pairs: int | None, batch_size: int) -> int:
    """Returns the optimiser steps of a budget in steps or in query-passage pairs (rounded up)."""
    if steps is not None:
        return steps
    assert pairs is not None
    return math.ceil(pairs / batch_size)
