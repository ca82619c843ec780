"""Drops entries by masks that are cheap on a CPU and repeat with the program's random state.

PyTorch draws one number after the other there, which takes a fifth of a training step of a small
encoder. Here a step of the random state seeds a counter-free generator (SFC64) that yields four masks
a word, ten times as fast. A mask follows from the state of `torch.default_generator` alone, so that
seeding it again replays every mask, as gradient caching and gradient checkpointing need.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """Is `nn.Dropout` by `drop`: the distribution is the same, the random numbers are others."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in nn.Dropout
        """Returns the input in eval mode, else what `drop` makes of it."""
        return drop(input, self.p) if self.training else input


def drop(values: Tensor, probability: float) -> Tensor:
    """Sets entries to 0 with the probability, in steps of 2**-16, and scales the others to keep the mean."""
    if values.device.type != "cpu" or probability == 0.0:
        return functional.dropout(values, probability)
    dropped: Tensor = _Dropped.apply(values, round(probability * _LEVELS))  # type: ignore[no-untyped-call]
    return dropped


def use_cheap_dropout(module: nn.Module) -> None:
    """Replaces every `nn.Dropout` inside the module."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p))


def keep_mask(shape: torch.Size, level: int) -> Tensor:
    """Returns a bool mask on the CPU that is False with probability level / 2**16; the generator moves by one draw."""
    size = math.prod(shape)
    words = np.random.SFC64(int(torch.randint(2**63 - 1, ()))).random_raw(-(-size // 4))
    return torch.from_numpy(words.view(np.int16)[:size]).view(shape) >= level - _LEVELS // 2


class _Dropped(torch.autograd.Function):
    """Computes values * mask * scale, forward and backward, in one pass over memory each."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, level: int) -> Tensor:
        mask = keep_mask(values.shape, level)
        ctx.save_for_backward(mask)
        ctx.scale = _LEVELS / (_LEVELS - level)
        return torch.ops.aten.native_dropout_backward(values, mask, ctx.scale)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return torch.ops.aten.native_dropout_backward(gradients[0], mask, ctx.scale), None
