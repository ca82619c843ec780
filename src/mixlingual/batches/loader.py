"""The hybrid plan as a batch sampler of a DataLoader, for HF Trainer, accelerate, Lightning or a plain loop.

    data = ConcatDataset(sets.values())          # sets: "de-en" -> data set of (German query, English passage)
    batches = HybridBatches({pair: len(rows) for pair, rows in sets.items()}, batch_size=64, ratio=0.5, seed=0)
    loader = DataLoader(data, batch_sampler=batches)

Every batch is of one pair of languages. Its pair and rows follow from the seed, the epoch and the step alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mixlingual.batches.plan import Kind, Plan, Pool
from mixlingual.batches.ratio import RatioSchedule
from mixlingual.batches.sampler import HybridBatchSampler
from mixlingual.records import MixlingualError, fingerprint

SCHEDULES = ("constant", "linear", "cosine", "steps")
DRAWS = ("bernoulli", "stratified")

_LANGUAGE = r"[a-z]{2,3}(?:_[A-Za-z0-9]+)*"
_PAIR = re.compile(rf"(?:(?P<source>[^:]+):)?(?P<query>{_LANGUAGE})-(?P<passage>{_LANGUAGE})")


class HybridBatches:
    """Yields lists of row numbers, each of one pair of languages; rows are numbered through all data sets in order.

    Args:
        sizes: pair of languages -> rows of its data set, as {"de-de": 900, "de-en": 800}; before the pair a source may
            stand, as in "faq:de-en". Sources count the same.
        batch_size: rows of a step, over all ranks.
        ratio: probability that a step is monolingual.
        schedule: how the ratio moves to `final_ratio` over all epochs: constant, linear, cosine or steps.
        final_ratio: the ratio at the end; None: as at the start.
        phases: stretches of schedule=steps.
        draw: bernoulli draws each kind independently, stratified spreads them evenly.
        exponent: pairs are drawn in proportion to size ** exponent.
        steps: of an epoch; None: as many as the rows fill.
        epochs: of the training, for the schedule.
        seed: names all draws.
        ranks: processes that share a step. Each step is then that many lists, one after the other, so that a sharding
            of whole lists, as accelerate's, gives all ranks the same pair of languages at a step.
        rank: yields the lists of one process alone, for loops that shard nothing; None: those of all.

    Raises:
        MixlingualError: a key is no pair of languages, an option is out of range, or a data set is smaller than a
            batch.
    """

    drop_last = True

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        batch_size: int,
        ratio: float = 0.5,
        schedule: str = "constant",
        final_ratio: float | None = None,
        phases: int = 2,
        draw: str = "bernoulli",
        exponent: float = 0.0,
        steps: int | None = None,
        epochs: int = 1,
        seed: int = 0,
        ranks: int = 1,
        rank: int | None = None,
    ) -> None:
        last = ratio if final_ratio is None else final_ratio
        _check(ratio, last, schedule, draw)
        if batch_size < 1 or ranks < 1 or batch_size % ranks:
            raise MixlingualError(f"got batch_size={batch_size} for {ranks} ranks; give a multiple of it")
        if rank is not None and not 0 <= rank < ranks:
            raise MixlingualError(f"got rank={rank}; it lies between 0 and {ranks - 1}")
        pools = _pools(sizes, {ratio, last}, exponent)
        if small := [f"{pool.label} ({pool.size})" for pool in pools if pool.size < batch_size]:
            raise MixlingualError(
                f"{', '.join(small)} hold fewer rows than the {batch_size} of a step; lower the batch size, or leave "
                "them out"
            )
        self.steps = sum(pool.size for pool in pools) // batch_size if steps is None else steps
        self.batch_size = batch_size // ranks
        """Rows of one list."""
        self.epoch = 0
        self._ranks, self._rank = ranks, rank
        self._resume = self._handed_out = 0
        self.plan = Plan(
            pools,
            RatioSchedule(ratio, last, schedule, self.steps * epochs, phases),
            seed=seed,
            batch_size=batch_size,
            stratified=draw == "stratified",
        )
        self._sampler = HybridBatchSampler(self.plan, [None] * len(pools), seed=seed)
        starts, first = {}, 0
        for key, size in sizes.items():
            starts[key], first = first, first + size
        own = {key: _PAIR.fullmatch(key) for key in sizes}
        of_pool = {_label(found): starts[key] for key, found in own.items() if found}
        self._starts = [of_pool[pool.label] for pool in self.plan.pools]
        options = (ratio, last, schedule, phases, draw, exponent, self.steps, epochs, seed, batch_size)
        self._identity = fingerprint([*map(repr, options), *(f"{key} {size}" for key, size in sizes.items())])

    def __len__(self) -> int:
        """Returns how many lists an epoch has."""
        return self.steps * (self._ranks if self._rank is None else 1)

    def __iter__(self) -> Iterator[list[int]]:
        """Yields the lists of the epoch, from the step of `load_state_dict` on."""
        first, self._resume = self._resume, 0
        for step in range(first, self.steps):
            rows = self.rows(self.epoch * self.steps + step)
            self._handed_out = step + 1
            for rank in range(self._ranks) if self._rank is None else (self._rank,):
                yield rows[rank * self.batch_size : (rank + 1) * self.batch_size]

    def rows(self, step: int) -> list[int]:
        """Returns the rows of a step, over all ranks, counted from the first epoch's first."""
        batch = self._sampler.batch(step)
        start = self._starts[int(batch.pool_B[0])]
        return [start + row for row in batch.item_B.tolist()]

    def pair(self, step: int) -> str:
        """Returns the pair of languages of a step, as de-en."""
        pool = self.plan.pools[int(self.plan.at(step).pool_B[0])]
        return f"{pool.query_language}-{pool.passage_language}"

    def set_epoch(self, epoch: int) -> None:
        """Moves to an epoch: trainers call this at the start of each. A state that was loaded holds for its own."""
        if epoch != self.epoch:
            self.epoch, self._resume, self._handed_out = epoch, 0, 0

    @property
    def sampler(self) -> HybridBatches:
        """Returns itself: accelerate and Lightning look here for what has `set_epoch`, and miss it on the sampler."""
        return self

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Returns where the sampler is, for `load_state_dict`.

        Args:
            step: of the epoch, up to which was trained; None: up to which lists were handed out, which is further where
                a loader fetches ahead.
        """
        return {"epoch": self.epoch, "step": self._handed_out if step is None else step, "identity": self._identity}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state: the next epoch of `__iter__` starts at its step.

        Raises:
            MixlingualError: it is of other data or options, whose batches would be others.
        """
        if state.get("identity") != self._identity:
            raise MixlingualError(
                "the state is of other data sets or options, so that its batches would be others; give the sampler "
                "those that it had, or start anew"
            )
        self.epoch, self._resume = int(state["epoch"]), int(state["step"])
        self._handed_out = self._resume

    @property
    def identity(self) -> str:
        """Returns a hash of the data sets' sizes and of all options that decide the batches."""
        return self._identity


def _check(ratio: float, last: float, schedule: str, draw: str) -> None:
    if not (0 <= ratio <= 1 and 0 <= last <= 1):
        raise MixlingualError(f"got the ratios {ratio} and {last}; a ratio lies between 0 and 1")
    for name, value, allowed in (("schedule", schedule, SCHEDULES), ("draw", draw, DRAWS)):
        if value not in allowed:
            raise MixlingualError(f"got {name}={value!r}; allowed: {', '.join(allowed)}")
    if schedule == "constant" and last != ratio:
        raise MixlingualError(f"a constant ratio of {ratio} does not end at {last}; set another schedule")


def _pools(sizes: Mapping[str, int], ratios: set[float], exponent: float) -> list[Pool]:
    """Returns the pools of the kinds that are drawn."""
    found = {key: _PAIR.fullmatch(key) for key in sizes}
    if wrong := [key for key, pair in found.items() if pair is None]:
        raise MixlingualError(
            f"got {', '.join(map(repr, wrong)) or 'no data sets'}; each data set is named by its pair of languages, as "
            "en-de, or faq:en-de"
        )
    wanted = {Kind.MONOLINGUAL: max(ratios) > 0, Kind.CROSSLINGUAL: min(ratios) < 1}
    named = ((pair, sizes[key]) for key, pair in found.items() if pair)
    pools = [Pool(pair["source"] or "", pair["query"], pair["passage"], size, 1.0) for pair, size in named]
    for kind, is_drawn in wanted.items():
        if is_drawn and not any(pool.kind is kind and pool.size for pool in pools):
            example = "de-de" if kind is Kind.MONOLINGUAL else "de-en"
            raise MixlingualError(
                f"the ratio draws {kind.value} batches, and {', '.join(sizes)} hold none; add a data set as {example}, "
                f"or set the ratio to {0 if kind is Kind.MONOLINGUAL else 1}"
            )
    drawn = [pool for pool in pools if wanted[pool.kind]]
    totals: defaultdict[tuple[Kind, str], float] = defaultdict(float)
    for pool in drawn:
        totals[pool.kind, pool.source] += pool.size**exponent
    return [replace(pool, weight=pool.size**exponent / totals[pool.kind, pool.source]) for pool in drawn]


def _label(pair: re.Match[str]) -> str:
    return Pool(pair["source"] or "", pair["query"], pair["passage"], 1, 1.0).label
