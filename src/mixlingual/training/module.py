"""Defines the Lightning module, which takes one optimiser step over a batch that the sampler composed.

Shape suffixes: B pairs of this process, N pairs of all processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from mixlingual.config.schema import TrainConfig
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.token_rows import TokenRows
from mixlingual.model.transfer import moved
from mixlingual.records import MixlingualError
from mixlingual.training.gather import in_order, largest, sum_gradients
from mixlingual.training.optimizer import RowAdamW, make_optimizer
from mixlingual.training.schedule import make_scheduler
from mixlingual.training.sharding import ShardedStep, shard
from mixlingual.training.step import Batch, ContrastiveStep


class RetrieverModule(LightningModule):
    """Trains a dual encoder with InfoNCE over the passages of its batch (arXiv 2408.10536, section 3).

    The loop's automatic optimisation is off: `ContrastiveStep` computes gradients in many passes.
    """

    optimizer: RowAdamW

    def __init__(
        self, encoder: DualEncoder, config: TrainConfig, *, steps: int, diverged: Callable[[str, int], MixlingualError]
    ) -> None:
        """Takes what is trained.

        Args:
            encoder: trained in place.
            config: the run.
            steps: of the whole run, for the schedule.
            diverged: (what is not finite, step) -> the error that ends the run.
        """
        super().__init__()
        self.automatic_optimization = False
        self.encoder = encoder
        self.step = make_step(encoder, config)
        self._tables = _token_rows(encoder) if config.optim.embeddings == "rows" else []
        self._config = config
        self._steps = steps
        self._diverged = diverged

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Takes one optimiser step.

        Returns:
            Of all pairs of the step, in their order: `loss_N`, `monolingual_N`, `tokens_N`; and `gradient_norm`,
            before clipping.

        Raises:
            MixlingualError: a loss or the gradient is not finite; the weights are then those of the step before.
        """
        with self.gradient(batch) as loss_N:
            step = self._read_back(batch, loss_N, self._clipped())
            if not torch.isfinite(step["loss_N"]).all():
                raise self._diverged("the loss", self.global_step)
            if not math.isfinite(step["gradient_norm"]):
                raise self._diverged("the gradient", self.global_step)
            self.optimizers().step()  # type: ignore[union-attr]
        self.lr_schedulers().step()  # type: ignore[union-attr]
        return step

    def _read_back(self, batch: Batch, loss_N: Tensor, norm: Tensor) -> dict[str, Any]:
        """Returns what `training_step` does, on the CPU: the one time in a step that it waits for a GPU."""
        monolingual_N = in_order(moved(batch["monolingual"], self.device).int())
        tokens_N = in_order(moved(batch["tokens"], self.device))
        rows = [loss_N.double(), monolingual_N.double(), tokens_N.double(), norm.double().expand(1)]
        loss_N, monolingual_N, tokens_N, norm = torch.split(torch.cat(rows).cpu(), [len(row) for row in rows])
        return {
            "loss_N": loss_N,
            "monolingual_N": monolingual_N.long(),
            "tokens_N": tokens_N.long(),
            "gradient_norm": float(norm),
        }

    @contextmanager
    def gradient(self, batch: Batch) -> Iterator[Tensor]:
        """Yields loss_N; in the block, `.grad` of what is trained is that of the mean loss of all pairs."""
        padding = torch.tensor([self.encoder.pad_id])
        token_id_R = torch.unique(torch.cat([batch["vocabulary"], padding]))
        for table in self._tables:
            self.optimizer.bring_up_to_date(table, token_id_R)
            table.open_rows(token_id_R)
        try:
            loss_N = in_order(self.step.gradient(batch, self.device))
            sum_gradients(self.optimizer.tensors_with_gradients())
            yield loss_N
        finally:
            for table in self._tables:
                table.close_rows()
            self.optimizer.zero_grad()

    def on_train_end(self) -> None:
        """Brings the weights up to date and drops AdamW's moments, which Lightning would copy to the host's memory."""
        self.optimizer.finish()
        self.optimizer.state.clear()

    def check_weights(self) -> None:
        """Raises the error of `training_step` for the last step if the norm of the trained weights is not finite."""
        norm = get_total_norm([weight for weight in self.parameters() if weight.requires_grad])
        if not math.isfinite(float(_whole(norm))):
            raise self._diverged("the norm of the weights", self._steps - 1)

    def _clipped(self) -> Tensor:
        """Scales the gradients down to the largest norm allowed, and returns their norm before."""
        trained = self.optimizer.tensors_with_gradients()
        norm = get_total_norm([weight.grad for weight in trained if weight.grad is not None])
        if self._config.optim.gradient_clip is not None:
            clip_grads_with_norm_(trained, self._config.optim.gradient_clip, norm)
        return _whole(norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the size of the passes, by which dropout masks go."""
        checkpoint["pass_tokens"] = self.step.pass_tokens

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with passes of that size; checkpoints of earlier versions name none."""
        self.step.pass_tokens = checkpoint.get("pass_tokens", self.step.pass_tokens)

    def configure_model(self) -> None:
        """Cuts the encoder into parts where the config says so, once the processes are connected."""
        if self._config.trainer.strategy == "shard" and not isinstance(self.encoder.backbone, FSDPModule):
            assert self.device_mesh is not None
            shard(self.encoder, self.device_mesh, bf16=self._config.trainer.precision == "bf16-mixed")

    def on_fit_start(self) -> None:
        """Raises MixlingualError where the processes would compute in several precisions, on unlike devices."""
        bf16 = int(self._config.trainer.precision == "bf16-mixed")
        if largest(bf16, self.device) + largest(-bf16, self.device) != 0:
            raise MixlingualError(
                "trainer.precision=auto became bf16-mixed in some of the run's processes, and 32-true in others, whose "
                "devices lack bf16; set it to 32-true, or take devices of one kind"
            )

    def configure_optimizers(self) -> Any:
        """Returns AdamW and the schedule that moves its learning rate at every step."""
        self.optimizer = make_optimizer(self.encoder.parameters(), self._config.optim, self._tables)
        self.step.optimizer = self.optimizer
        scheduler = make_scheduler(self.optimizer, self._config.optim, self._steps)
        return {"optimizer": self.optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _whole(norm: Tensor) -> Tensor:
    """Returns a norm; that of sharded weights is taken over all parts."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _token_rows(encoder: DualEncoder) -> list[TokenRows]:
    """Turns the token table into one of rows and returns it; the list is empty if the table is frozen."""
    table = encoder.backbone.get_input_embeddings()
    if not table.weight.requires_grad:
        return []
    if not isinstance(table, TokenRows):
        table = TokenRows.from_embedding(table)
        encoder.backbone.set_input_embeddings(table)
    return [table]


def make_step(encoder: DualEncoder, config: TrainConfig) -> ContrastiveStep:
    """Returns the gradient computation that the config describes."""
    trainer = config.trainer
    kept = trainer.activation_gib
    kind = ShardedStep if trainer.strategy == "shard" else ContrastiveStep
    return kind(
        encoder,
        config.loss,
        parts=config.parts,
        pass_tokens=trainer.pass_tokens,
        kept_bytes=None if kept is None else kept * 2**30,
        bf16=trainer.precision == "bf16-mixed",
        seed=config.seed,
    )
