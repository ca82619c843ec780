"""The Lightning module: one contrastive step over a batch that the sampler composed.

Shape suffixes: B pairs of this process, N pairs of all processes, D embedding width.
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from mixlingual.batches.permutation import derive_key
from mixlingual.config import OptimConfig
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.loss import info_nce
from mixlingual.records import MixlingualError
from mixlingual.training.gather import in_order, own_first
from mixlingual.training.schedule import make_optimizer, make_scheduler

ROWS_TOGETHER = 16
"""Texts of a forward pass on a CPU."""


class RetrieverModule(LightningModule):
    """Trains a dual encoder with InfoNCE over the passages of its batch (arXiv 2408.10536, section 3)."""

    def __init__(self, encoder: DualEncoder, optim: OptimConfig, *, steps: int, seed: int) -> None:
        """Args: steps of the whole run, for the schedule; seed of dropout."""
        super().__init__()
        self.encoder = encoder
        self._optim = optim
        self._steps = steps
        self._seed = seed

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds dropout from (seed, micro-batch, rank), so that a step does not depend on those before it."""
        torch.manual_seed(derive_key(self._seed, "dropout", int(batch["index"]), self.global_rank))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """One micro-batch: this process's queries against the passages of all processes.

        Returns:
            `loss`, the mean over this process's pairs, whose gradient DDP averages over the processes;
            and of all pairs of the micro-batch, in their order: `loss_N`, `monolingual_N`, `tokens_N`.

        Raises:
            MixlingualError: the loss is not finite.
        """
        query_BD = embed(self.encoder, batch["query_ids"], batch["query_mask"])
        passage_BD = embed(self.encoder, batch["passage_ids"], batch["passage_mask"])
        item_N = own_first(batch["item"])
        loss_B = info_nce(query_BD, own_first(passage_BD), batch["item"], item_N, self.encoder.temperature)
        loss = loss_B.mean()
        if not torch.isfinite(loss):
            raise MixlingualError(
                f"the loss is {loss.item()} at step {self.global_step}; lower optim.learning_rate, raise "
                "model.temperature, or train with trainer.precision=32-true"
            )
        tokens_B = batch["query_mask"].sum(1) + batch["passage_mask"].sum(1)
        return {
            "loss": loss,
            "loss_N": in_order(loss_B.detach()),
            "monolingual_N": in_order(batch["monolingual"].int()),
            "tokens_N": in_order(tokens_B),
        }

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the norm of all gradients together.

        Lightning's own refuses fused optimisers under bf16-mixed (its issue 21435), where nothing is scaled.
        """
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """AdamW, with the learning rate moved at every step."""
        optimizer = make_optimizer(self.parameters(), self._optim)
        scheduler = make_scheduler(optimizer, self._optim, self._steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def embed(encoder: nn.Module, input_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
    """Embeddings [B, D] of right-padded texts.

    On a CPU, where padding costs as much as text and small passes are no slower, texts of like length
    go through the encoder together and are padded to the longest among them only.
    """
    if input_ids_BT.device.type != "cpu":
        embedding_BD: Tensor = encoder(input_ids_BT, attention_mask_BT)
        return embedding_BD
    order_B = torch.argsort(attention_mask_BT.sum(1), stable=True)
    parts = []
    for rows in torch.split(order_B, ROWS_TOGETHER):
        mask = attention_mask_BT[rows]
        longest = int(mask.sum(1).max())
        parts.append(encoder(input_ids_BT[rows, :longest], mask[:, :longest]))
    return torch.cat(parts)[order_B.argsort()]
