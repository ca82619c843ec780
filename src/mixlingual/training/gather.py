"""Shares rows and gradients between the processes of a run; with one process, nothing changes.

A batch is dealt to the W processes in turn, so that pair i of process r is pair i * W + r of it.

Shape suffixes: B rows of a process, N rows of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather
from torch.distributed.tensor import DTensor

from mixlingual.model.transfer import moved
from mixlingual.runs.lease import global_rank as global_rank

Content = TypeVar("Content")


def processes() -> int:
    """Returns how many connected processes the run has."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def lost_peer(error: BaseException) -> bool:
    """Tells whether the error says that another process of the run has ended, or cannot be reached."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def largest(number: int, device: torch.device) -> int:
    """Returns the largest of all processes' numbers."""
    if processes() == 1:
        return number
    shared = moved(torch.tensor(number), device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared)


def least(number: float, device: torch.device) -> float:
    """Returns the smallest of all processes' numbers."""
    shared = moved(torch.tensor(number, dtype=torch.float64), device)
    distributed.all_reduce(shared, distributed.ReduceOp.MIN)
    return float(shared)


def own_first(local_B: Tensor) -> Tensor:
    """Returns the rows of all processes, [N, ...], this one's first; gradients flow back to where rows came from."""
    if processes() == 1:
        return local_B
    gathered = _gathered(local_B)
    del gathered[distributed.get_rank()]
    return torch.cat([local_B, *gathered])


def own_first_ragged(local_B: Tensor, counts: list[int]) -> Tensor:
    """Does what `own_first` does for numbers of rows that differ between processes; `counts` are those of each."""
    if processes() == 1 or not any(counts):
        return local_B
    padding = local_B.new_zeros(max(counts) - len(local_B), *local_B.shape[1:])
    gathered = _gathered(torch.cat([local_B, padding]))
    others = [
        rows[:count] for rank, (rows, count) in enumerate(zip(gathered, counts)) if rank != distributed.get_rank()
    ]
    return torch.cat([local_B, *others])


def in_order(local_B: Tensor) -> Tensor:
    """Returns the rows of all processes, [N, ...], in the order of the batch and without a gradient."""
    return torch.stack(_gathered(local_B.detach()), dim=1).flatten(0, 1)


def from_first(content: Content) -> Content:
    """Returns what the first process has, in every process."""
    if processes() == 1:
        return content
    shared = [content]
    distributed.broadcast_object_list(shared, src=0)
    return shared[0]


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Adds up the gradients of all processes, in one exchange; those of sharded weights are summed already."""
    if processes() == 1:
        return
    whole = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    gradients = [parameter.grad for parameter in whole if parameter.grad is not None]
    if not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, total in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients])):
        gradient.copy_(total.view_as(gradient))


def _gathered(local_B: Tensor) -> list[Tensor]:
    if processes() == 1:
        return [local_B]
    if local_B.requires_grad:
        return list(all_gather(local_B.contiguous()))  # type: ignore[no-untyped-call]
    rows = [torch.empty_like(local_B) for _ in range(processes())]
    distributed.all_gather(rows, local_B.contiguous())
    return rows
