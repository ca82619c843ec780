"""Measures how much memory a forward pass holds for its backward pass, and how much there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.tensor import DTensor

from mixlingual.model.token_rows import TokenRows

CONTROL_GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Linux shows the control groups (v2), and that of this process, at these paths."""


@dataclass
class Saved:
    """Counts the bytes that autograd holds after a block; storage that several nodes share counts once."""

    total: int = 0


@contextmanager
def activation_bytes(module: nn.Module) -> Iterator[Saved]:
    """Counts what the block's forward pass saves for the backward pass, weights of the module left out.

    Sharded weights are whole only within their layer: their storage is empty again when the block ends.
    """
    saved = Saved()
    weights = {weight.untyped_storage()._cdata for weight in module.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved
    saved.total = sum(storage.nbytes() for key, storage in storages.items() if key not in weights)


def optimizer_bytes(module: nn.Module) -> int:
    """Returns the bytes that AdamW holds for the module's dense weights: a gradient and two moments each."""
    rows = {id(part.weight) for part in module.modules() if isinstance(part, TokenRows)}
    dense = (weight for weight in module.parameters() if weight.requires_grad and id(weight) not in rows)
    return sum(12 * (weight.to_local() if isinstance(weight, DTensor) else weight).numel() for weight in dense)


def free_bytes(device: torch.device) -> int:
    """Returns the bytes of the device that this process may still take; on a CPU, within its control group's limit."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    return int(min([psutil.virtual_memory().available, *_left_in_groups()]))


def _left_in_groups() -> Iterator[int]:
    """Yields the bytes that each control group of this process leaves it; a batch system limits a job by them."""
    try:
        name = OWN_GROUP.read_text().partition("0::/")[2].strip()
    except OSError:
        return
    own = CONTROL_GROUPS / name
    for folder in [own, *own.parents]:
        if folder.is_relative_to(CONTROL_GROUPS):
            try:
                limit, used = ((folder / f"memory.{kind}").read_text().strip() for kind in ("max", "current"))
            except OSError:
                continue
            if limit != "max":
                yield max(0, int(limit) - int(used) + int(_statistics(folder)["inactive_file"]))


def _statistics(folder: Path) -> dict[str, str]:
    """Returns name -> bytes of a control group; what is cached of files counts as used but can be had."""
    return dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
