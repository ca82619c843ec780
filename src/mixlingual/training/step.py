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
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer

from mixlingual.batches.permutation import derive_key
from mixlingual.config.schema import LossConfig
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.loss import contrastive_loss, teacher_loss
from mixlingual.model.token_rows import TokenRows
from mixlingual.model.transfer import moved
from mixlingual.records import MixlingualError
from mixlingual.training.gather import global_rank, least, own_first, own_first_ragged, processes
from mixlingual.training.memory import free_bytes, graph_bytes, is_out_of_memory, optimizer_bytes
from mixlingual.training.passes import FEW_TOKENS, MEASURED_TOKENS, PADDING, plan_passes

log = logging.getLogger(__name__)

Batch = dict[str, Tensor]
"""`batches.datamodule.StepBatches` yields such dicts."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Names texts that go through the encoder together: rows of the distinct texts, and where their tokens lie."""

    rows: slice
    tokens: slice
    longest: int
    """The longest text has so many tokens."""
    size: int
    """The pass has so many tokens, with padding where it is padded."""
    seed: int
    """The seed names the dropout masks."""


class ContrastiveStep:
    """Computes the gradient of the mean loss over the pairs of a step, of all processes.

    Attributes:
        pass_tokens: most tokens of a pass, padding included; a longer text is a pass of its own. None until the first
            step has found it. A resumed run sets it to that of the run before, since dropout masks go by passes.
        optimizer: whose moments count as memory in use once they are there. None: they are all to come.
    """

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
            pass_tokens: as the attribute. None: `PASS_TOKENS`, on a GPU halved until a pass takes at most a quarter of
                the memory that gradients and moments leave.
            kept_bytes: memory that the graphs of a step's passes may take; None: half of that memory.
            bf16: run the encoder under bfloat16 autocast.
            seed: names the dropout masks of all steps.
        """
        self.pass_tokens = pass_tokens
        self.optimizer: Optimizer | None = None
        self._encoder = encoder
        self._loss = loss
        self._parts = parts
        self._kept_bytes = kept_bytes
        self._bf16 = bf16
        self._seed = seed
        self._kept_tokens: float | None = None
        self._halved = False

    def gradient(self, batch: Batch, device: torch.device) -> Tensor:
        """Sets the `.grad` of what is trained, and returns loss_B in nats, without a graph.

        Summed over the processes, the gradients are that of the mean loss over all their pairs. Where memory runs out,
        the step is taken again with passes of half the size.

        Raises:
            MixlingualError: memory ran out for the smallest passes, or in one process of several.
        """
        while True:
            try:
                with cast_once(self._encoder, enabled=self._bf16):
                    return self._gradient(batch, device)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(batch, error)
            self._forget_gradients()  # the failed attempt is let go by now
            if device.type == "cuda":
                torch.cuda.empty_cache()

    def _gradient(self, batch: Batch, device: torch.device) -> Tensor:
        inputs = {name: moved(batch[name], device) for name in (*_DEVICE_INPUTS, *_TARGETS) if name in batch}
        texts = inputs["token_ids"], inputs["lengths"]
        if self._kept_tokens is None:
            self._measure(batch, *texts)
        assert self._kept_tokens is not None
        passes = self._passes(batch, device)
        ends = accumulate(one.size for one in passes)
        kept = [end <= self._kept_tokens for end in ends]
        outputs = [self._run(one, *texts, graph=keep) for one, keep in zip(passes, kept)]
        embedding_UD = torch.cat([output.detach() for output in outputs]).requires_grad_()
        loss_B = self._losses(embedding_UD, inputs | {"negatives_of": batch["negatives_of"]})
        torch.autograd.backward(loss_B.sum() / (len(loss_B) * processes()))
        assert embedding_UD.grad is not None
        for place, one in enumerate(passes):
            output = outputs[place] if kept[place] else self._run(one, *texts, graph=True)
            torch.autograd.backward(output, embedding_UD.grad[one.rows])
            outputs[place] = output.detach()  # its graph is spent
        return loss_B.detach()

    def _passes(self, batch: Batch, device: torch.device) -> list[Pass]:
        """Returns the passes of a step."""
        assert self.pass_tokens is not None, "the first step measures"
        return list(self._cut(batch, device, self.pass_tokens))

    def _cut(self, batch: Batch, device: torch.device, most: int) -> Iterator[Pass]:
        """Cuts the texts, which come longest first, at so many tokens and where padding would exceed a tenth.

        Padding of a few tokens costs less than one more pass and is let be.
        """
        with self._autocast(device):
            packed = self._encoder.packs(device)
        lengths: list[int] = batch["lengths"].tolist()
        row = token = number = 0
        while row < len(lengths):
            stop, real, size = row, 0, 0
            for length in lengths[row:]:
                more = real + length
                padded = more if packed else lengths[row] * (stop + 1 - row)
                if stop > row and (padded > most or padded - more > max(PADDING * padded, FEW_TOKENS)):
                    break
                stop, real, size = stop + 1, more, padded
            seed = derive_key(self._seed, "dropout", int(batch["step"]), number, global_rank())
            yield Pass(slice(row, stop), slice(token, token + real), lengths[row], size, seed)
            row, token, number = stop, token + real, number + 1

    def _measure(self, batch: Batch, token_id_S: Tensor, length_U: Tensor) -> None:
        """Finds how many tokens a pass may have, and all passes whose graph is kept, from a pass over a few texts."""
        device = token_id_S.device
        if device.type == "cuda":
            with self._autocast(device):
                missing = self._encoder.why_padded(device)
            log.info("texts are padded; without padding needs %s" if missing else "texts are packed%s", missing or "")
        small = next(self._cut(batch, device, MEASURED_TOKENS))
        run = partial(self._run, small, token_id_S, length_U, graph=True)
        bytes_per_token = graph_bytes(self._encoder, small.size, run) / small.size
        free = free_bytes(device) / (processes() if device.type == "cpu" else 1)
        plan = plan_passes(
            bytes_per_token, max(0.0, free - optimizer_bytes(self._encoder, self.optimizer)), device.type,
            pass_tokens=self.pass_tokens, kept_bytes=self._kept_bytes,
        )  # fmt: skip
        self.pass_tokens, self._kept_tokens = self._agreed(plan.pass_tokens, plan.kept_tokens, device)
        log.info(
            "a batch is encoded in parts of up to %d tokens; memory keeps the parts of %.0f tokens for the backward "
            "pass, at %.3g MB a token, and parts beyond are computed twice",
            self.pass_tokens, self._kept_tokens, bytes_per_token / 1e6,
        )  # fmt: skip

    def _agreed(self, pass_tokens: int, kept_tokens: float, device: torch.device) -> tuple[int, float]:
        """Returns the sizes of the process that has least: a checkpoint holds one number for all of them."""
        if device.type == "cpu" or processes() == 1:
            return pass_tokens, kept_tokens
        return int(least(pass_tokens, device)), least(kept_tokens, device)

    def _halve(self, batch: Batch, error: BaseException) -> None:
        """Makes passes, and what is kept of them, half as large after an out-of-memory error; says so once."""
        longest = int(batch["lengths"][0])
        if self.pass_tokens is None or self._kept_tokens is None or self.pass_tokens < longest or processes() > 1:
            size = self.pass_tokens or MEASURED_TOKENS
            raise MixlingualError(
                f"no memory is left for a pass of {max(size, longest)} tokens: {str(error).splitlines()[0]}\n"
                f"Set trainer.pass_tokens={max(64, size // 2)} and trainer.activation_gib=0, or "
                "trainer.gradient_checkpointing=true, or take a device with more memory."
            ) from error
        self.pass_tokens, self._kept_tokens = max(1, self.pass_tokens // 2), self._kept_tokens / 2
        if not self._halved:
            self._halved = True
            log.warning(
                "memory ran out (%s): passes have up to %d tokens from now on, and half as many are kept",
                str(error).splitlines()[0], self.pass_tokens,
            )  # fmt: skip

    def _forget_gradients(self) -> None:
        for module in self._encoder.modules():
            for weight in module.parameters(recurse=False):
                weight.grad = None
            if isinstance(module, TokenRows) and module.opened is not None:
                module.opened.rows_RD.grad = None

    def _run(self, one: Pass, token_id_S: Tensor, length_U: Tensor, *, graph: bool) -> Tensor:
        torch.manual_seed(one.seed)
        with torch.set_grad_enabled(graph), self._autocast(token_id_S.device):
            return self._encoder.embed(token_id_S[one.tokens], length_U[one.rows], one.longest)

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self._bf16)

    def _losses(self, embedding_UD: Tensor, inputs: Batch) -> Tensor:
        """Returns loss_B of all parts, each against the passages of its own part, of all processes, or its targets."""
        if _TARGETS[0] in inputs:
            query_BD, passage_BD = embedding_UD[inputs["query"]], embedding_UD[inputs["passage"]]
            return teacher_loss(query_BD, passage_BD, *(inputs[name] for name in _TARGETS))
        size = len(inputs["item"]) // self._parts
        rank = distributed.get_rank() if processes() > 1 else 0
        losses, end = [], 0
        for part, counts in enumerate(inputs["negatives_of"].tolist()):
            pairs, negatives = slice(part * size, (part + 1) * size), slice(end, end + counts[rank])
            end = negatives.stop
            losses.append(
                self._part_losses(
                    embedding_UD[inputs["query"][pairs]],
                    embedding_UD[inputs["passage"][pairs]],
                    own_first_ragged(embedding_UD[inputs["negative"][negatives]], counts),
                    inputs["item"][pairs],
                )
            )
        return torch.cat(losses)

    def _part_losses(self, query_BD: Tensor, positive_BD: Tensor, negative_HD: Tensor, item_B: Tensor) -> Tensor:
        """Returns loss_B of a part; the negatives are those of all processes."""
        item_M = own_first(item_B)
        candidate_ND = torch.cat([own_first(positive_BD), negative_HD])
        item_N = torch.cat([item_M, item_M.new_full((len(negative_HD),), -1)])
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


_DEVICE_INPUTS = ("token_ids", "lengths", "query", "passage", "negative", "item")
_TARGETS = ("target_query", "target_passage")


@contextmanager
def cast_once(encoder: DualEncoder, *, enabled: bool) -> Iterator[None]:
    """Lets linear layers use one bfloat16 copy of their weights in the block, in place of a new one in every pass.

    Autocast would cast them in each pass, and again in one that is computed twice. Gradients go through the copy to the
    weight, pass by pass, as autocast's do. Compiled encoders cast inside of their kernels, sharded ones as they gather.
    """
    linears = [part for part in encoder.modules() if isinstance(part, nn.Linear)]
    if not enabled or encoder.backbone._compiled_call_impl or isinstance(encoder.backbone, FSDPModule):
        linears = []
    try:
        with torch.enable_grad():
            for linear in linears:
                for name, weight in linear.named_parameters(recurse=False):
                    linear.__dict__[name] = weight.to(torch.bfloat16)  # found before the parameter of this name
        yield
    finally:
        for linear in linears:
            for name, _ in linear.named_parameters(recurse=False):
                linear.__dict__.pop(name, None)
