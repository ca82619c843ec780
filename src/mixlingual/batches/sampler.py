"""Names the items and languages of any batch of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixlingual.batches.permutation import derive_key, permute
from mixlingual.batches.plan import Kind, Plan

if TYPE_CHECKING:  # plan and sampler need NumPy alone
    from mixlingual.data.items import Members


OTHERS = 4096
"""So many items of a pool are drawn at a time beside those of a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Holds the query-passage pairs of one step, B in number.

    `item_B` are item numbers of the corpus, `pool_B` positions in `Plan.pools`, which know the two
    languages, `monolingual_B` the kinds.
    """

    item_B: NDArray[np.int64]
    pool_B: NDArray[np.int64]
    monolingual_B: NDArray[np.bool_]

    def part(self, where: slice) -> Batch:
        """Returns the pairs at `where`."""
        return Batch(self.item_B[where], self.pool_B[where], self.monolingual_B[where])


class HybridBatchSampler:
    """Gives batches as a pure function of the step: the only state is the step that the caller holds.

    Each pool is a stream: a shuffled pass over its items, then another pass in another order, and so
    on. The plan gives each pair its place in a stream, so that no item comes twice in a pass.
    """

    def __init__(self, plan: Plan, members: Sequence[Members | None], *, seed: int) -> None:
        """Takes the item numbers of each pool of `plan.pools`, or None where they are 0 .. size - 1."""
        self.plan = plan
        self._members = members
        self._keys = [derive_key(seed, "items", pool.label) for pool in plan.pools]

    def batch(self, step: int, kind: Kind | None = None) -> Batch:
        """Returns the whole batch of a step, over all micro-batches and ranks; `kind` is that of `Plan.at`."""
        drawn = self.plan.at(step, kind)
        item_B = np.empty_like(drawn.position_B)
        for number in np.flatnonzero(np.bincount(drawn.pool_B)).tolist():
            here = drawn.pool_B == number
            item_B[here] = self._items(number, drawn.position_B[here])
        return Batch(item_B, drawn.pool_B, drawn.monolingual_B)

    def others(self, step: int, number: int) -> Iterator[NDArray[np.int64]]:
        """Yields all items of a pool once, in an order drawn for the step, some thousands at a time."""
        size, members = self.plan.pools[number].size, self._members[number]
        key = derive_key(self._keys[number], "others", step)
        for start in range(0, size, OTHERS):
            within = permute(np.arange(start, min(start + OTHERS, size)), size, key)
            yield within if members is None else members.at(within)

    def _items(self, number: int, position: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the item numbers at positions of a pool's stream."""
        size, members = self.plan.pools[number].size, self._members[number]
        passes, place = np.divmod(position, size)
        within = np.empty_like(place)
        for turn in range(passes.min(), passes.max() + 1):  # the positions of one step are consecutive
            in_turn = passes == turn
            within[in_turn] = permute(place[in_turn], size, derive_key(self._keys[number], turn))
        return within if members is None else members.at(within)


def exposure(sampler: HybridBatchSampler, steps: int) -> dict[str, object]:
    """Counts what `steps` batches held, pair by pair.

    Returns:
        `steps`, `pairs`, `planned_ratio` (mean of the schedule), `monolingual_ratio` (realised share of
        monolingual pairs), `language_pairs` and `sources` (name -> query-passage pairs), and `passes`
        (pool label -> pairs drawn / items held).
    """
    pools = sampler.plan.pools
    drawn = np.zeros(len(pools), np.int64)
    for step in range(steps):
        drawn += np.bincount(sampler.plan.at(step).pool_B, minlength=len(pools))
    counts = drawn.tolist()
    total = sum(counts)
    by_languages: Counter[str] = Counter()
    by_source: Counter[str] = Counter()
    for pool, count in zip(pools, counts):
        by_languages[f"{pool.query_language}-{pool.passage_language}"] += count
        by_source[pool.source] += count
    monolingual = sum(count for pool, count in zip(pools, counts) if pool.kind is Kind.MONOLINGUAL)
    return {
        "steps": steps,
        "pairs": total,
        "planned_ratio": sampler.plan.ratio.mean(),
        "monolingual_ratio": monolingual / total if total else None,
        "language_pairs": dict(by_languages),
        "sources": dict(by_source),
        "passes": {pool.label: count / pool.size for pool, count in zip(pools, counts)},
    }
