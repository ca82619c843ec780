"""Pools token states into one vector per text: mean, cls and last pooling.

Shape suffixes: B texts, T tokens, D width. Rows are padded on the right and hold at least one real token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def mean(hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Returns the average state of the real tokens, special tokens included (Reimers & Gurevych 2019), [B, D]."""
    weight_BT1 = mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
    return (hidden_BTD * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1)


def cls(hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: ARG001
    """Returns the state of the first token, [B, D]."""
    return hidden_BTD[:, 0]


def last(hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Returns the state of the last real token, [B, D]."""
    row_B = torch.arange(len(mask_BT), device=mask_BT.device)
    return hidden_BTD[row_B, mask_BT.sum(dim=1) - 1]


POOLING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": mean, "cls": cls, "last": last}
"""Each value of `model.pooling` names a pooling function."""
