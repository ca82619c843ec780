"""Says which kind and which pool each batch is drawn from, as a pure function of (seed, step).

A *pool* is the set of items that a source holds in one (query language, passage language) pair. At
every draw the plan names one monolingual and one cross-lingual pool, whatever the kind turns out to
be; the kind only decides which of the two is used. Pools therefore advance alike for every ratio,
and two runs of one seed use the same pool and the same items at each step where their kinds agree
(common random numbers). See docs/decisions/0002-batch-plan.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mixlingual.batches.permutation import derive_key, permute, uniforms
from mixlingual.batches.ratio import RatioSchedule

URN_SLOTS = 1 << 14
"""An urn has so many slots if its draws are to be all but independent, or its weights need resolution."""


class Kind(StrEnum):
    """Says what a batch teaches: one language on both sides, or two."""

    MONOLINGUAL = "monolingual"
    CROSSLINGUAL = "crosslingual"


@dataclass(frozen=True, slots=True)
class Pool:
    """Names the items of one source in one language pair, and the pool's share among those of its kind."""

    source: str
    query_language: str
    passage_language: str
    size: int
    weight: float

    @property
    def kind(self) -> Kind:
        """Is monolingual where both sides are in one language."""
        return Kind.MONOLINGUAL if self.query_language == self.passage_language else Kind.CROSSLINGUAL

    @property
    def label(self) -> str:
        """Returns a readable name: source, then query language - passage language."""
        return f"{self.source}:{self.query_language}-{self.passage_language}"


class Urn:
    """Draws categories in exact proportions, each draw and its past computable on its own.

    An urn holds every category as often as its weight says; it is drawn empty in a keyed order, then
    filled again and drawn in another order. Draw d and the number of earlier draws of its category
    follow from d alone.
    """

    def __init__(self, weights: Sequence[float], slots: int, key: int) -> None:
        """Takes the weights of the categories, not all 0, the slots of one filling, and the key of the orders."""
        self._key = key
        self.counts = _apportion(weights, slots)
        self._category = np.repeat(np.arange(len(weights)), self.counts)
        self._filling = -1
        self._drawn = self._occurrence = np.empty(0, np.int64)

    def draw(self, first: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns draws first .. first + number - 1.

        Returns:
            (category, occurrence), each of shape [number]; occurrence counts the earlier draws of
            that category, from 0.
        """
        slots = len(self._category)
        parts = []
        while number:
            filling, start = divmod(first, slots)
            stop = min(start + number, slots)
            self._fill(filling)
            category = self._drawn[start:stop]
            parts.append((category, filling * self.counts[category] + self._occurrence[start:stop]))
            first, number = first + stop - start, number - (stop - start)
        categories, occurrences = zip(*parts)
        return np.concatenate(categories), np.concatenate(occurrences)

    def _fill(self, filling: int) -> None:
        if filling == self._filling:
            return
        slots = len(self._category)
        self._drawn = self._category[permute(np.arange(slots), slots, derive_key(self._key, filling))]
        by_category = np.argsort(self._drawn.astype(np.min_scalar_type(len(self.counts))), kind="stable")
        self._occurrence = np.empty(slots, np.int64)
        starts = np.cumsum(self.counts) - self.counts
        self._occurrence[by_category] = np.arange(slots) - np.repeat(starts, self.counts)
        self._filling = filling


@dataclass(frozen=True, slots=True)
class Drawn:
    """Holds what one step draws, one entry for each of its B query-passage pairs.

    `monolingual_B` is the kind, `pool_B` the position in `Plan.pools`, and `position_B` the place in
    the pool's endless stream of shuffled passes.
    """

    monolingual_B: NDArray[np.bool_]
    pool_B: NDArray[np.int64]
    position_B: NDArray[np.int64]


class Plan:
    """Gives the kinds and pools of every step.

    A step consists of `groups` equal stretches of pairs, each of one kind: the whole batch, the
    micro-batches of an accumulated step, or the single pairs.

    Attributes:
        pools: all pools, monolingual ones first; `Drawn.pool_B` holds positions in it.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        ratio: RatioSchedule,
        *,
        seed: int,
        batch_size: int,
        groups: int = 1,
        stratified: bool = False,
        mixed: Collection[Kind] = (),
    ) -> None:
        """Takes options that mean what they do in `BatchingConfig`.

        Args:
            pools: those of every kind that is drawn at all.
            ratio: share of monolingual groups at each step.
            seed: names all draws.
            batch_size: pairs of a step.
            groups: stretches of a step that draw their kinds on their own; divides batch_size.
            stratified: spread the kinds evenly instead of drawing them independently.
            mixed: kinds whose pairs draw a pool each; otherwise a group is of one pool.
        """
        self.pools = tuple(sorted(pools, key=lambda pool: (pool.kind is Kind.CROSSLINGUAL, pool.label)))
        self.ratio = ratio
        self.batch_size = batch_size
        self._groups = groups
        self._stratified = stratified
        self._kind_key = derive_key(seed, "kind")
        self._phase = float(uniforms(derive_key(seed, "phase"), np.zeros(1, np.int64))[0])
        size = batch_size // groups
        self._draws = {kind: size if kind in mixed else 1 for kind in Kind}
        self._first, self._urn = {}, {}
        for kind in {pool.kind for pool in self.pools}:
            self._first[kind] = next(i for i, pool in enumerate(self.pools) if pool.kind is kind)
            weights = [pool.weight for pool in self.pools if pool.kind is kind]
            self._urn[kind] = Urn(weights, _urn_slots(weights, even=stratified), derive_key(seed, "pool", kind.value))

    def monolingual(self, step: int) -> NDArray[np.bool_]:
        """Tells whether each group of the step is monolingual, shape [groups]."""
        number = np.arange(step * self._groups, (step + 1) * self._groups)
        if not self._stratified:
            return uniforms(self._kind_key, number) < self.ratio.at(step)
        edges = (*number, number[-1] + 1)
        due = [math.floor(self._groups * self.ratio.total(edge / self._groups) + self._phase) for edge in edges]
        return np.diff(due) > 0

    def at(self, step: int, kind: Kind | None = None) -> Drawn:
        """Returns kinds, pools and stream positions of the pairs of a step, counted from 0.

        With `kind`, those it would have if all of its kinds had been drawn so; the plan must hold pools of the kind.
        """
        groups, size = self._groups, self.batch_size // self._groups
        monolingual_G = self.monolingual(step) if kind is None else np.full(groups, kind is Kind.MONOLINGUAL)
        pool_GS, position_GS = np.empty((2, groups, size), np.int64)
        for drawn, wanted_G in ((Kind.MONOLINGUAL, monolingual_G), (Kind.CROSSLINGUAL, ~monolingual_G)):
            if wanted_G.any():
                draws = self._draws[drawn]
                pool, occurrence = self._urn[drawn].draw(step * groups * draws, groups * draws)
                each = size // draws
                position = (occurrence[:, None] * each + np.arange(each)).reshape(groups, size)
                pool_GS[wanted_G] = np.repeat(pool + self._first[drawn], each).reshape(groups, size)[wanted_G]
                position_GS[wanted_G] = position[wanted_G]
        return Drawn(np.repeat(monolingual_G, size), pool_GS.ravel(), position_GS.ravel())


def _urn_slots(weights: Sequence[float], *, even: bool) -> int:
    """Returns the slots of one filling: a round over equal pools if they are to be spread evenly, else many rounds."""
    equal = min(weights) == max(weights)
    rounds = 1 if even and equal else max(1, URN_SLOTS // len(weights))
    return rounds * len(weights)


def _apportion(weights: Sequence[float], slots: int) -> NDArray[np.int64]:
    """Returns whole numbers, at least 1 each, that sum to `slots` and are nearest to the weights' shares."""
    share = np.asarray(weights, float) / sum(weights) * slots
    counts = np.maximum(np.floor(share), 1).astype(np.int64)
    while counts.sum() < slots:
        counts[np.argmax(share - counts)] += 1
    while counts.sum() > slots:
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    return counts
