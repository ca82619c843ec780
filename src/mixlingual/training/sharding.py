"""Cuts the weights of encoders too large for one device into parts over the processes (FSDP2).

Zhao et al. 2023 (arXiv 2304.11277), in the form of `torch.distributed.fsdp.fully_shard`.
"""

from __future__ import annotations

import dataclasses

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from mixlingual.model.encoder import DualEncoder
from mixlingual.model.load import encoder_layers
from mixlingual.model.transfer import moved
from mixlingual.training.gather import largest, least
from mixlingual.training.step import Batch, ContrastiveStep, Pass


def sharding_strategy(devices: int) -> ModelParallelStrategy:
    """Returns a strategy of one group of all processes; checkpoints are whole files, written by the first."""
    return ModelParallelStrategy(data_parallel_size=devices, tensor_parallel_size=1, save_distributed_checkpoint=False)


def shard(encoder: DualEncoder, mesh: DeviceMesh, *, bf16: bool) -> None:
    """Cuts each layer, and what lies outside of the layers, into parts. Gradients add up over the processes.

    With `bf16` the linear layers, nearly all of a layer's weights, are gathered in bfloat16, which is what autocast
    would make of them: their numbers stay. Norms and tables are gathered in fp32, and gradients add up in fp32.
    """
    low = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    one_group = mesh["data_parallel"]
    layers = encoder_layers(encoder.backbone)[1]
    for layer in layers if bf16 else ():
        linears: list[nn.Module] = [part for part in layer.modules() if isinstance(part, nn.Linear)]
        fully_shard(linears, mesh=one_group, mp_policy=low)  # one gather for all of them
    for part in (*layers, encoder.backbone):
        fully_shard(part, mesh=one_group)
    for part in encoder.backbone.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sums


def whole_weights(module: nn.Module) -> dict[str, Tensor]:
    """Returns all weights in one piece, on the CPU of the first process; others get none. Every process calls this."""
    return get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))  # type: ignore[return-value]


class ShardedStep(ContrastiveStep):
    """Computes a step whose passes are as many, and kept or run again alike, on every process.

    Each pass exchanges weights between all processes, which would otherwise wait for each other forever. A
    process with fewer texts fills up with passes of a single token, which add nothing to its gradient.
    """

    def _passes(self, batch: Batch, device: torch.device) -> list[Pass]:
        """Returns this process's passes, each counted with the tokens of the largest of all processes in its place."""
        own = super()._passes(batch, device)
        sizes = _largest([one.size for one in own], device)
        rows, tokens = own[-1].rows.stop, own[-1].tokens.stop
        filling = Pass(slice(rows, rows), slice(tokens, tokens), longest=1, size=0, seed=0)
        padded = own + [filling] * (len(sizes) - len(own))
        return [dataclasses.replace(one, size=size) for one, size in zip(padded, sizes, strict=True)]

    def _agreed(self, pass_tokens: int, kept_tokens: float, device: torch.device) -> tuple[int, float]:
        """Returns the sizes of the process that has least, on a CPU too."""
        return int(least(pass_tokens, device)), least(kept_tokens, device)

    def _run(self, one: Pass, token_id_S: Tensor, length_U: Tensor, *, graph: bool) -> Tensor:
        if one.rows.start < one.rows.stop:
            return super()._run(one, token_id_S, length_U, graph=graph)
        token = dataclasses.replace(one, rows=slice(0, 1), tokens=slice(0, 1))
        return super()._run(token, token_id_S, torch.ones_like(length_U[:1]), graph=graph)[:0]


def _largest(numbers: list[int], device: torch.device) -> list[int]:
    """Returns place by place the largest of all processes' numbers; they are as many as the longest list has."""
    shared = torch.zeros(largest(len(numbers), device), dtype=torch.int64)
    shared[: len(numbers)] = torch.tensor(numbers)
    shared = moved(shared, device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    together: list[int] = shared.tolist()
    return together
