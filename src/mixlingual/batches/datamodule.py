"""Joins corpus, sampler and tokenizer into the batches that Lightning trains on.

Shape suffixes: B pairs of a batch, T tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mixlingual.batches.sampler import HybridBatchSampler
from mixlingual.records import ParallelCorpus


class Tokens(Protocol):
    """What a batch needs of a tokenizer."""

    def encode(self, texts: Sequence[str], side: Literal["query", "passage"]) -> list[list[int]]:
        """Token ids of each text, special tokens included."""

    def pad(self, token_ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Right-padded (input_ids_BT, attention_mask_BT)."""


class MicroBatches(Dataset[dict[str, Tensor]]):
    """Every micro-batch of a run, addressed by its number: any order and any worker give the same ones."""

    def __init__(
        self, corpus: ParallelCorpus, sampler: HybridBatchSampler, tokenizer: Tokens, *, steps: int, accumulate: int
    ) -> None:
        """Args: steps of the run, each of `accumulate` micro-batches."""
        self._corpus = corpus
        self._sampler = sampler
        self._tokenizer = tokenizer
        self._steps = steps
        self._accumulate = accumulate
        self._rank, self._world = 0, 1

    def dealt(self, rank: int, world: int) -> MicroBatches:
        """The same micro-batches, of which only the pairs of `rank` among `world` processes are read."""
        mine = copy.copy(self)
        mine._rank, mine._world = rank, world
        return mine

    def __len__(self) -> int:
        return self._steps * self._accumulate

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Token tensors of both sides (`query_ids`, `query_mask`, `passage_ids`, `passage_mask`: B x T),
        `item` numbers and `monolingual` flags (B), and the micro-batch's own `index`.
        """
        batch = self._sampler.micro_batch(index, parts=self._accumulate, rank=self._rank, world=self._world)
        items = [self._corpus.items[number] for number in batch.item_B]
        pools = [self._sampler.plan.pools[number] for number in batch.pool_B]
        queries = [item.query[pool.query_language] for item, pool in zip(items, pools)]
        passages = [item.passage[pool.passage_language] for item, pool in zip(items, pools)]
        query_ids_BT, query_mask_BT = self._tokenizer.pad(self._tokenizer.encode(queries, "query"))
        passage_ids_BT, passage_mask_BT = self._tokenizer.pad(self._tokenizer.encode(passages, "passage"))
        return {
            "query_ids": query_ids_BT,
            "query_mask": query_mask_BT,
            "passage_ids": passage_ids_BT,
            "passage_mask": passage_mask_BT,
            "item": torch.from_numpy(batch.item_B),
            "monolingual": torch.from_numpy(batch.monolingual_B),
            "index": torch.tensor(index),
        }


class ResumableLoader(DataLoader[dict[str, Tensor]]):
    """Hands out micro-batches in order and knows how many it has handed out.

    Lightning saves and restores that number with its checkpoints. It counts where batches leave the
    loader, so that those which workers prepared ahead are not taken for trained ones.
    """

    def __init__(self, batches: MicroBatches, *, workers: int) -> None:
        """Args: all micro-batches of the run; workers that load them beside the training process."""
        self._order = _FromPosition(len(batches))
        super().__init__(
            batches, batch_size=None, sampler=self._order, num_workers=workers, pin_memory=torch.cuda.is_available()
        )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        """The micro-batches from the current position on."""
        for batch in super().__iter__():
            self._order.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The number of micro-batches handed out."""
        return {"position": self._order.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on after the micro-batches that were handed out before."""
        self._order.position = state["position"]


class _FromPosition(Sampler[int]):
    """The numbers from `position` to `length`; its length stays that of the whole run."""

    def __init__(self, length: int) -> None:
        self.position = 0
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.position, self._length))


class HybridDataModule(LightningDataModule):
    """Training batches of one run."""

    def __init__(self, batches: MicroBatches, *, workers: int) -> None:
        """Args: all micro-batches; workers that load them beside the training process."""
        super().__init__()
        self._batches = batches
        self._workers = workers

    def train_dataloader(self) -> ResumableLoader:
        """One pass over this process's pairs of all micro-batches of the run."""
        assert self.trainer is not None
        mine = self._batches.dealt(self.trainer.global_rank, self.trainer.world_size)
        return ResumableLoader(mine, workers=self._workers)
