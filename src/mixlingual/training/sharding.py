"""Cuts the weights of encoders too large for one device into parts over the processes (FSDP2).

Zhao et al. 2023 (arXiv 2304.11277), in the form of `torch.distributed.fsdp.fully_shard`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import zip_longest

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from mixlingual.model.encoder import DualEncoder
from mixlingual.model.load import encoder_layers
from mixlingual.training.gather import processes
from mixlingual.training.step import Batch, ContrastiveStep, Pass


def sharding_strategy(devices: int) -> ModelParallelStrategy:
    """Returns a strategy of one group of all processes; checkpoints are whole files, written by the first."""
    return ModelParallelStrategy(data_parallel_size=devices, tensor_parallel_size=1, save_distributed_checkpoint=False)


def shard(encoder: DualEncoder, mesh: DeviceMesh) -> None:
    """Cuts each layer, and what lies outside of the layers, into parts. Gradients add up over the processes."""
    for part in (*encoder_layers(encoder.backbone)[1], encoder.backbone):
        sharded = fully_shard(part, mesh=mesh["data_parallel"])
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sums


def whole_weights(module: nn.Module) -> dict[str, Tensor]:
    """Returns all weights in one piece, on the CPU of the first process; others get none. Every process calls this."""
    return get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))  # type: ignore[return-value]


class ShardedStep(ContrastiveStep):
    """Computes a step whose passes are as many, and kept or run again alike, on every process.

    Each pass exchanges weights between all processes, which would otherwise wait for each other forever. A
    process with fewer texts fills up with passes of a single token, which add nothing to its gradient.
    """

    def _passes(self, batch: Batch, pass_tokens: int) -> Iterator[Pass]:
        """Yields this process's passes, each counted with the tokens of the largest of all processes in its place."""
        own = list(super()._passes(batch, pass_tokens))
        largest = _largest([one.padded for one in own])
        rows, tokens = own[-1].rows.stop, own[-1].tokens.stop
        filling = Pass(slice(rows, rows), slice(tokens, tokens), padded=0, seed=0)
        for one, padded in zip(own + [filling] * (len(largest) - len(own)), largest):
            yield dataclasses.replace(one, padded=padded)

    def _first_run(self, one: Pass, token_id_S: Tensor, length_U: Tensor, end: int) -> Tensor:
        """Runs a pass as without sharding, within the memory of the process that has least."""
        measures = self._kept_tokens is None
        output = super()._first_run(one, token_id_S, length_U, end)
        if measures:
            self._kept_tokens = _least(self._kept_tokens, token_id_S.device)
        return output

    def _run(self, one: Pass, token_id_S: Tensor, length_U: Tensor) -> Tensor:
        if one.rows.start < one.rows.stop:
            return super()._run(one, token_id_S, length_U)
        token = dataclasses.replace(one, rows=slice(0, 1), tokens=slice(0, 1))
        return super()._run(token, token_id_S, length_U.new_ones(1))[:0]


def _largest(numbers: list[int]) -> list[int]:
    """Returns place by place the largest of all processes' numbers; they are as many as the longest list has."""
    lists: list[list[int]] = [[] for _ in range(processes())]
    distributed.all_gather_object(lists, numbers)
    return [max(place) for place in zip_longest(*lists, fillvalue=0)]


def _least(number: float | None, device: torch.device) -> float:
    """Returns the smallest of all processes' numbers."""
    least = torch.tensor(number, device=device)
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return float(least)
