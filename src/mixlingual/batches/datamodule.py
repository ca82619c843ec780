"""Joins sampler and tokens into the steps that a run trains on.

Shape suffixes: N pairs of a step over all processes, B those of this one, C hard negatives that pairs
could bring along, M those that they do, H those of this process, U distinct texts, T tokens,
V distinct token ids.
"""

from __future__ import annotations

import copy
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mixlingual.batches.permutation import derive_key, uniforms
from mixlingual.batches.plan import Kind
from mixlingual.batches.sampler import Batch, HybridBatchSampler
from mixlingual.batches.targets import Targets, pair_columns, text_numbers
from mixlingual.batches.tokens import TokenStore
from mixlingual.records import DataError, ParallelCorpus

Ints = NDArray[np.int64]


class StepBatches(Dataset[dict[str, Tensor]]):
    """Holds every optimiser step of a run by its number: any order and any worker give the same ones."""

    def __init__(
        self,
        corpus: ParallelCorpus,
        sampler: HybridBatchSampler,
        store: TokenStore,
        *,
        steps: int,
        accumulate: int,
        hard_negatives: int,
        seed: int,
        extra: int = 0,
    ) -> None:
        """Takes what belongs to one corpus.

        Args:
            corpus: the items, whose languages are the columns of the store.
            sampler: names the pairs of each step.
            store: token ids of the corpus.
            steps: length of the run.
            accumulate: parts of a step, which are equal stretches of it in every process.
            hard_negatives: largest number of its item's own negatives that a pair brings along.
            seed: names the draw among more negatives than that.
            extra: passages of other items that a step of one part brings along as negatives.
        """
        assert accumulate == 1 or not extra, "a step of several parts has more pairs than wanted, not fewer"
        self._sampler = sampler
        self._store = store
        self._steps = steps
        self._accumulate = accumulate
        self._hard_negatives = hard_negatives
        self._seed = seed
        self._extra = extra
        self._rank, self._world = 0, 1
        self._columns = pair_columns(sampler, corpus.languages)
        self._targets: Targets | None = None

    def taught(self, targets: Targets) -> StepBatches:
        """Returns the same steps, whose pairs bring along what a teacher makes of their texts."""
        with_targets = copy.copy(self)
        with_targets._targets = targets
        return with_targets

    def dealt(self, rank: int, world: int) -> StepBatches:
        """Returns the same steps, of which only the pairs of `rank` among `world` processes are handed out."""
        parts = self._accumulate * world
        assert self._sampler.plan.batch_size % parts == 0, "TrainConfig.problems refuses shares that are not whole"
        mine = copy.copy(self)
        mine._rank, mine._world = rank, world
        return mine

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """Returns this process's share of a step: pairs rank, rank + world, rank + 2 world ... of it.

        Returns:
            The texts, each distinct one once, longest first and equally long ones by row of the store:
            `token_ids` (T, int32; one text after the other) and `lengths` (U, int32; tokens of each).
            The pairs: `query` and `passage` (B; position of each one's text in U), `item` (B; number in
            the corpus), `monolingual` (B, bool), `tokens` (B; of query and passage together) and
            `negative_count` (B; hard negatives that each brings along).
            The hard negatives, in the order of their pairs, and then passages of other items: `negative` (H; position
            in U).
            Of pairs that are taught: `target_query` and `target_passage` (B x D, float32).
            Of the whole step, over all processes: `vocabulary` (V; the distinct token ids, ascending),
            `negatives_of` (parts x processes; members of `negative` that each has) and `step`. All int64 where
            nothing else is said.

        Raises:
            DataError: a pool has too few other passages than those of the step.
        """
        return self._assembled(self._sampler.batch(step), step)

    def items(self, step: int) -> list[int]:
        """Returns the numbers of the items of a step, in its order, over all processes."""
        numbers: list[int] = self._sampler.batch(step).item_B.tolist()
        return numbers

    def probe(self, step: int) -> dict[Kind, list[dict[str, Tensor]]]:
        """Returns what the step would hold if it were of the one kind or of the other, each as two halves.

        Kinds that the run does not draw are left out. Each half has a `step` of its own, which names its
        dropout masks and its draw of hard negatives: a negative one, so that no step of training has it.
        """
        parts = 2 * self._accumulate * self._world
        assert self._sampler.plan.batch_size % parts == 0, "TrainConfig.problems refuses halves that do not divide"
        size = self._sampler.plan.batch_size // 2
        halves: dict[Kind, list[dict[str, Tensor]]] = {}
        drawn = {pool.kind for pool in self._sampler.plan.pools}
        for number, kind in enumerate(Kind):
            if kind in drawn:
                batch = self._sampler.batch(step, kind)
                pair = batch.part(slice(0, size)), batch.part(slice(size, 2 * size))
                first = 4 * step + 2 * number
                halves[kind] = [self._assembled(half, ~(first + turn)) for turn, half in enumerate(pair)]
        return halves

    def _assembled(self, batch: Batch, step: int) -> dict[str, Tensor]:
        column_N = {side: columns[batch.pool_B] for side, columns in self._columns.items()}
        query_N = self._store.query_IL[batch.item_B, column_N["query"]]
        passage_N = self._store.passage_IL[batch.item_B, column_N["passage"]]
        pair_M, negative_M = self._negatives(step, batch.item_B, column_N["passage"])
        new_M = self._are_new(pair_M, negative_M, passage_N)
        pair_M, negative_M = pair_M[new_M], negative_M[new_M]
        hard_M = pair_M
        if self._extra:
            pair_E, other_E = self._others(step, batch, column_N["passage"], np.concatenate([passage_N, negative_M]))
            pair_M, negative_M = np.concatenate([pair_M, pair_E]), np.concatenate([negative_M, other_E])
        mine = slice(self._rank, None, self._world)
        query_B, passage_B = query_N[mine], passage_N[mine]
        negative_H = negative_M[pair_M % self._world == self._rank]
        row_U, place = self._longest_first(np.concatenate([query_B, passage_B, negative_H]))
        query, passage, negative = np.split(place, [len(query_B), 2 * len(query_B)])
        arrays = {
            "token_ids": self._store.tokens(row_U),
            "lengths": self._store.lengths(row_U).astype(np.int32),
            "query": query,
            "passage": passage,
            "negative": negative,
            "negative_count": np.bincount(hard_M, minlength=len(query_N))[mine],
            "item": batch.item_B[mine],
            "monolingual": batch.monolingual_B[mine],
            "tokens": self._store.lengths(query_B) + self._store.lengths(passage_B),
            "negatives_of": self._negatives_of(pair_M, len(query_N)),
            "vocabulary": self._vocabulary(np.concatenate([query_N, passage_N, negative_M])),
            "step": np.array(step),
        }
        if self._targets is not None:
            for side, columns in column_N.items():
                numbers = text_numbers(batch.item_B[mine], columns[mine], side)
                arrays[f"target_{side}"] = self._targets.of(numbers)
        return {name: torch.from_numpy(values).contiguous() for name, values in arrays.items()}

    def _negatives(self, step: int, item_N: Ints, column_N: Ints) -> tuple[Ints, NDArray[np.int32]]:
        """Returns pair and row of each hard negative that pairs bring along, by pair and then as in the data.

        Of more than wanted, a pair takes those with the smallest of numbers that are drawn for (seed,
        step, pair, place among the item's negatives).
        """
        start_N = self._store.negative_start[item_N]
        count_N = self._store.negative_start[item_N + 1] - start_N
        pair_C, place_C = _ragged(count_N if self._hard_negatives else np.zeros_like(count_N))
        row_C = self._store.negative_NL[start_N[pair_C] + place_C, column_N[pair_C]]
        pair_C, place_C, row_C = (values[row_C >= 0] for values in (pair_C, place_C, row_C))
        drawn_C = uniforms(derive_key(self._seed, "negatives", step), pair_C << 32 | place_C)
        order_C = np.lexsort((drawn_C, pair_C))
        _, turn_C = _ragged(np.bincount(pair_C, minlength=len(item_N)))
        taken = np.sort(order_C[turn_C < self._hard_negatives])
        return pair_C[taken], row_C[taken]

    def _others(
        self, step: int, batch: Batch, column_N: Ints, held: NDArray[np.int32]
    ) -> tuple[Ints, NDArray[np.int32]]:
        """Returns pair and row of each passage of another item that the step brings along.

        Pairs bring them in turn, each from its own pool. They are texts that the step does not hold, of items that it
        does not hold in any language.
        """
        pair_E = np.arange(self._extra) % len(batch.item_B)
        row_E = np.empty(self._extra, np.int32)
        for number in np.unique(batch.pool_B[pair_E]).tolist():
            places = np.flatnonzero(batch.pool_B[pair_E] == number)
            column = column_N[np.flatnonzero(batch.pool_B == number)[0]]
            found = np.empty(0, np.int32)
            for item_O in self._sampler.others(step, number):
                row_O = self._store.passage_IL[item_O[~np.isin(item_O, batch.item_B)], column]
                found = np.concatenate([found, row_O])
                found = found[np.sort(np.unique(found, return_index=True)[1])]
                found = found[~np.isin(found, held)]
                if len(found) >= len(places):
                    break
            if len(found) < len(places):
                pool = self._sampler.plan.pools[number]
                raise DataError(
                    f"batching.negatives: step {step} needs {len(places)} passages of {pool.label} beside its own, and "
                    f"there are {len(found)}; lower it, raise batching.batch_size, or give more data"
                )
            row_E[places] = found[: len(places)]
            held = np.concatenate([held, row_E[places]])
        return pair_E, row_E

    def _are_new(self, pair_M: Ints, negative_M: NDArray[np.int32], passage_N: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tells which negatives are texts that their part of the step does not hold yet.

        Another one would count twice and, if it is the passage of a pair, stand against that pair's answer.
        """
        size = len(passage_N) // self._accumulate
        held_N = np.arange(len(passage_N)) // size << 32 | passage_N.astype(np.int64)
        brought_M = pair_M // size << 32 | negative_M.astype(np.int64)
        is_first_M = np.zeros(len(brought_M), bool)
        is_first_M[np.unique(brought_M, return_index=True)[1]] = True
        return is_first_M & ~np.isin(brought_M, held_N)

    def _negatives_of(self, pair_M: Ints, pairs: int) -> Ints:
        """Returns how many of the hard negatives are in each part of the step, and of it in each process."""
        part_M = pair_M // (pairs // self._accumulate)
        counts = np.bincount(part_M * self._world + pair_M % self._world, minlength=self._accumulate * self._world)
        return counts.reshape(self._accumulate, self._world)

    def _longest_first(self, row: NDArray[np.int32]) -> tuple[NDArray[np.int32], Ints]:
        """Returns the distinct rows, longest first and then by number, [U]; and where among them each given row is."""
        distinct_U, place = np.unique(row, return_inverse=True)
        order_U = np.argsort(-self._store.lengths(distinct_U), kind="stable")
        moved_U = np.empty_like(order_U)
        moved_U[order_U] = np.arange(len(order_U))
        return distinct_U[order_U], moved_U[place]

    def _vocabulary(self, row: NDArray[np.int32]) -> Ints:
        token_T = self._store.tokens(np.unique(row))
        seen = np.zeros(token_T.max() + 1, bool)
        seen[token_T] = True
        return np.flatnonzero(seen)


def _ragged(count_N: Ints) -> tuple[Ints, Ints]:
    """Returns for each of the sum(count_N) members of N groups in turn its group, and its place in it from 0."""
    group = np.repeat(np.arange(len(count_N)), count_N)
    return group, np.arange(len(group)) - (np.cumsum(count_N) - count_N)[group]


class ResumableLoader(DataLoader[dict[str, Tensor]]):
    """Hands out the steps of a run in order and knows how many it has handed out.

    Lightning saves and restores that number with its checkpoints. It counts where steps leave the
    loader, so that those which workers prepared ahead are not taken for trained ones.
    """

    def __init__(self, batches: StepBatches, *, workers: int) -> None:
        """Takes all steps of the run, and the number of workers that load them beside the training process."""
        self._order = _FromPosition(len(batches))
        super().__init__(
            batches,
            batch_size=None,
            sampler=self._order,
            num_workers=workers,
            worker_init_fn=_leave_signals_to_parent,
            pin_memory=torch.cuda.is_available(),
        )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        """Yields the steps from the current position on."""
        self._iterator = super().__iter__()  # Lightning looks there for workers to end
        for batch in self._iterator:
            self._order.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Returns the number of steps handed out."""
        return {"position": self._order.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on after the steps that were handed out before."""
        self._order.position = state["position"]


def _leave_signals_to_parent(_worker: int) -> None:
    """Makes a worker deaf to signals that Slurm and terminals send to all processes: its death would end the run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


class _FromPosition(Sampler[int]):
    """Gives the numbers from `position` to `length`; its own length stays that of the whole run."""

    def __init__(self, length: int) -> None:
        self.position = 0
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.position, self._length))


class HybridDataModule(LightningDataModule):
    """Hands the training batches of one run to Lightning."""

    def __init__(self, batches: StepBatches, corpus: ParallelCorpus, *, workers: int) -> None:
        """Takes all steps of the run, the corpus that they are drawn from, and the number of loading workers."""
        super().__init__()
        self._batches = batches
        self._corpus = corpus
        self._workers = workers

    def train_dataloader(self) -> ResumableLoader:
        """Returns a loader that goes once over this process's pairs of all steps of the run."""
        return ResumableLoader(self._mine(), workers=self._workers)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leaves the batch on the CPU: a training step moves what it needs."""
        return batch

    def item_ids(self, step: int) -> list[str]:
        """Returns the ids of the items of a step, in its order, over all processes."""
        return [self._corpus.items[number].id for number in self._batches.items(step)]

    def probe(self, step: int) -> dict[Kind, list[dict[str, Tensor]]]:
        """Returns this process's share of `StepBatches.probe`."""
        return self._mine().probe(step)

    def _mine(self) -> StepBatches:
        assert self.trainer is not None
        return self._batches.dealt(self.trainer.global_rank, self.trainer.world_size)
