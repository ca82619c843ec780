"""Measures how much memory a forward pass holds for its backward pass, and how much there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from mixlingual.model.encoder import DualEncoder
from mixlingual.model.token_rows import TokenRows

CONTROL_GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Linux shows the control groups (v2), and that of this process, at these paths."""


def held_bytes(run: Callable[[], Tensor]) -> int:
    """Returns the bytes that autograd holds for the backward pass of one more `run`, which is called twice.

    What both calls hold, as weights and their copies in low precision, counts as there already.
    """
    held: list[dict[int, torch.UntypedStorage]] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[-1][storage._cdata] = storage
        return tensor

    outputs = []
    for _ in range(2):
        held.append({})
        with torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
            outputs.append(run())
    return sum(storage.nbytes() for key, storage in held[1].items() if key not in held[0])


def graph_bytes(encoder: DualEncoder, tokens: int, run: Callable[[], Tensor]) -> int:
    """Returns the bytes that one more `run` of so many tokens takes until its backward pass is done.

    Where layers are computed again, those are their inputs, which autograd does not see, and one layer in full.
    """
    again = [part for part in encoder.backbone.modules() if getattr(part, "gradient_checkpointing", False)]
    for part in again:
        part.gradient_checkpointing = False  # type: ignore[assignment]
    try:
        whole = held_bytes(run)
    finally:
        for part in again:
            part.gradient_checkpointing = True  # type: ignore[assignment]
    config = encoder.backbone.config
    layers = config.num_hidden_layers
    return whole // layers + 4 * config.hidden_size * layers * tokens if again else whole


def optimizer_bytes(module: nn.Module, optimizer: Optimizer | None) -> int:
    """Returns the bytes that a step will add for the module's weights: a gradient, and AdamW's moments not there yet.

    Of a table that is stepped by row, the moments alone.
    """
    rows = {id(part.weight) for part in module.modules() if isinstance(part, TokenRows)}
    total = 0
    for weight in module.parameters():
        if weight.requires_grad:
            numbers = (weight.to_local() if isinstance(weight, DTensor) else weight).numel()
            has_moments = optimizer is not None and bool(optimizer.state.get(weight))
            total += numbers * (4 * (id(weight) not in rows) + 8 * (not has_moments))
    return total


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether the error says that a device, or the machine, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    )


_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""What PyTorch says on a CPU, and what the libraries below it say on a GPU."""


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
