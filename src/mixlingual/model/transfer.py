"""Moves what a step needs to its device, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(values: Tensor, device: torch.device) -> Tensor:
    """Returns the tensor on the device; a GPU copies it from pinned memory while the program goes on."""
    if device.type == "cpu" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
