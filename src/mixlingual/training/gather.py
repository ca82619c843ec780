"""What the processes of a run share of their micro-batches; with one process, nothing changes.

A micro-batch is dealt to the W processes in turn, so that pair i of process r is pair i * W + r of it.

Shape suffixes: B pairs of a process, N = W * B pairs of all.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather


def global_rank() -> int:
    """Number of this process among those of the run, also before they are connected."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))


def own_first(local_B: Tensor) -> Tensor:
    """The rows of all processes, [N, ...], this one's first; gradients flow back to the processes they came from."""
    if not _connected():
        return local_B
    gathered = _gathered(local_B, with_gradient=local_B.requires_grad)
    del gathered[distributed.get_rank()]
    return torch.cat([local_B, *gathered])


def in_order(local_B: Tensor) -> Tensor:
    """The rows of all processes, [N, ...], in the order of the micro-batch; no gradient."""
    return torch.stack(_gathered(local_B, with_gradient=False), dim=1).flatten(0, 1) if _connected() else local_B


def _connected() -> bool:
    return distributed.is_initialized() and distributed.get_world_size() > 1


def _gathered(local_B: Tensor, *, with_gradient: bool) -> list[Tensor]:
    if with_gradient:
        return list(all_gather(local_B.contiguous()))  # type: ignore[no-untyped-call]
    rows = [torch.empty_like(local_B) for _ in range(distributed.get_world_size())]
    distributed.all_gather(rows, local_B.contiguous())
    return rows
