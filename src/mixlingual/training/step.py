"""Computes the gradient of one optimiser step, exactly at any batch size and at the cost that memory allows.

The texts of a step go through the encoder in *passes* of a few thousand tokens. The loss is taken over
all embeddings at once, and its gradient with respect to them is carried back through each pass in
turn. Passes that fit in memory keep their graph in between; the others run again with the same dropout
(gradient caching: Gao et al. 2021, arXiv 2101.06983). Kept or run again, the gradient has the same bits on a CPU.

Shape suffixes: B pairs of this process, U distinct texts, S tokens, H hard negatives, N candidates,
M queries of all processes, D width of the embedding.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from mixlingual.batches.permutation import derive_key
from mixlingual.config.schema import LossConfig
from mixlingual.model.encoder import PASS_TOKENS, DualEncoder
from mixlingual.model.loss import contrastive_loss
from mixlingual.training.gather import global_rank, own_first, own_first_ragged, processes
from mixlingual.training.memory import activation_bytes, free_bytes, optimizer_bytes

log = logging.getLogger(__name__)

Batch = dict[str, Tensor]
"""`batches.datamodule.StepBatches` yields such dicts."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Names texts that go through the encoder together: rows of the distinct texts, and where their tokens lie."""

    rows: slice
    tokens: slice
    padded: int
    """The pass has so many tokens with padding."""
    seed: int
    """The seed names the dropout masks."""


class ContrastiveStep:
    """Computes the gradient of the mean loss over the pairs of a step, of all processes."""

    def __init__(
        self,
        encoder: DualEncoder,
        loss: LossConfig,
        *,
        parts: int,
        pass_tokens: int | None,
        kept_bytes: float | None,
        bf16: bool,
        seed: int,
    ) -> None:
        """Takes how to compute.

        Args:
            encoder: on its device, in training mode.
            loss: the `loss` options.
            parts: stretches of the batch that do not see each other's passages.
            pass_tokens: most tokens of a pass, padding included; a longer text is a pass of its own. None: as
                `PASS_TOKENS`.
            kept_bytes: memory that the graphs of a step's passes may take; None: half of what is free at
                the first step.
            bf16: run the encoder under bfloat16 autocast.
            seed: names the dropout masks of all steps.
        """
        self._encoder = encoder
        self._loss = loss
        self._parts = parts
        self._pass_tokens = pass_tokens
        self._kept_bytes = kept_bytes
        self._bf16 = bf16
        self._seed = seed
        self._kept_tokens: float | None = None
        self._told = False

    def gradient(self, batch: Batch, device: torch.device) -> Tensor:
        """Adds the gradient to the `.grad` of what is trained, and returns loss_B in nats, without a graph.

        Summed over the processes, the gradients are that of the mean loss over all their pairs.
        """
        token_id_S = batch["token_ids"].to(device, non_blocking=True)
        passes = list(self._passes(batch, self._pass_tokens or PASS_TOKENS[device.type]))
        ends = accumulate(one.padded for one in passes)
        outputs = [self._first_run(one, token_id_S, batch["lengths"], end) for one, end in zip(passes, ends)]
        embedding_UD = torch.cat([output.detach() for output in outputs]).requires_grad_()
        loss_B = self._losses(embedding_UD, {name: batch[name].to(device) for name in _LOSS_INPUTS})
        torch.autograd.backward(loss_B.sum() / (len(loss_B) * processes()))
        assert embedding_UD.grad is not None
        for one, kept in zip(passes, outputs):
            output = kept if kept.requires_grad else self._run(one, token_id_S, batch["lengths"])
            torch.autograd.backward(output, embedding_UD.grad[one.rows])
        return loss_B.detach()

    def _passes(self, batch: Batch, pass_tokens: int) -> Iterator[Pass]:
        """Cuts the texts, which come longest first."""
        lengths = batch["lengths"].tolist()
        row = token = number = 0
        while row < len(lengths):
            stop = min(len(lengths), row + max(1, pass_tokens // lengths[row]))
            real = sum(lengths[row:stop])
            seed = derive_key(self._seed, "dropout", int(batch["step"]), number, global_rank())
            yield Pass(slice(row, stop), slice(token, token + real), lengths[row] * (stop - row), seed)
            row, token, number = stop, token + real, number + 1

    def _first_run(self, one: Pass, token_id_S: Tensor, length_U: Tensor, end: int) -> Tensor:
        """Returns the embeddings of a pass, with its graph if the `end` tokens of all passes up to it fit in memory."""
        if self._kept_tokens is None:
            with activation_bytes(self._encoder) as measured:
                output = self._run(one, token_id_S, length_U)
            self._kept_tokens = self._allowed_bytes(token_id_S.device) / (measured.total / one.padded)
            return output
        if end > self._kept_tokens and not self._told:
            self._told = True
            log.info("graphs of about %.0f tokens fit in memory; passes beyond are computed twice", self._kept_tokens)
        with torch.set_grad_enabled(end <= self._kept_tokens):
            return self._run(one, token_id_S, length_U)

    def _allowed_bytes(self, device: torch.device) -> float:
        """Returns the bytes for graphs: those configured, or half of what gradients and moments will leave."""
        if self._kept_bytes is not None:
            return self._kept_bytes
        free = free_bytes(device) / (processes() if device.type == "cpu" else 1)
        return max(0.0, free - optimizer_bytes(self._encoder)) / 2

    def _run(self, one: Pass, token_id_S: Tensor, length_U: Tensor) -> Tensor:
        torch.manual_seed(one.seed)
        with torch.autocast(token_id_S.device.type, torch.bfloat16, enabled=self._bf16):
            return self._encoder.embed(token_id_S[one.tokens], length_U[one.rows])

    def _losses(self, embedding_UD: Tensor, inputs: Batch) -> Tensor:
        """Returns loss_B of all parts, each against the passages of its own part, of all processes."""
        ends = inputs["negative_count"].cumsum(0)
        size = len(inputs["item"]) // self._parts
        parts = []
        for start in range(0, len(inputs["item"]), size):
            pairs = slice(start, start + size)
            first = int(ends[start - 1]) if start else 0
            negatives = slice(first, int(ends[start + size - 1]))
            parts.append(
                self._part_losses(
                    embedding_UD[inputs["query"][pairs]],
                    embedding_UD[inputs["passage"][pairs]],
                    embedding_UD[inputs["negative"][negatives]],
                    inputs["item"][pairs],
                )
            )
        return torch.cat(parts)

    def _part_losses(self, query_BD: Tensor, positive_BD: Tensor, negative_HD: Tensor, item_B: Tensor) -> Tensor:
        item_M = own_first(item_B)
        candidate_ND, item_N = own_first(positive_BD), item_M
        if (negative := own_first_ragged(negative_HD)) is not None:
            candidate_ND = torch.cat([candidate_ND, negative])
            item_N = torch.cat([item_M, item_M.new_full((len(negative),), -1)])
        return contrastive_loss(
            query_BD,
            candidate_ND,
            item_B,
            item_N,
            self._encoder.temperature.to(query_BD.device),
            self._loss,
            normalized=self._encoder.normalize,
            all_query_MD=own_first(query_BD) if self._loss.symmetric else None,
            all_query_item_M=item_M if self._loss.symmetric else None,
        )


_LOSS_INPUTS = ("query", "passage", "negative", "negative_count", "item")
