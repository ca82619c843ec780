"""Searches one corpus by several processes, each over its own shards, that meet in files alone.

The first process writes what to search for as `orders.npz`; each answers with the best of its shards, and the first
merges. All read the same query embeddings and multiply the same blocks, so that any number of processes finds the same.
Shape suffixes: Q queries, K best passages, D width, R directions of a correction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingual.evaluation.post_hoc import Map
from mixlingual.evaluation.search import Hits, merged
from mixlingual.evaluation.shards import Shards, wait_for
from mixlingual.files import written_whole


@dataclass(frozen=True)
class Order:
    """Holds queries for a corpus, and how its passages are corrected."""

    query_QD: NDArray[np.float32]
    correct: Map | None = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns all of it as arrays."""
        if self.correct is None:
            return {"query": self.query_QD}
        return {"query": self.query_QD, **vars(self.correct), "normalize": np.array(self.correct.normalize)}


Orders = Mapping[str, Order]
"""Name of a correction, or what stands for none -> what to search for."""

SearchOne = Callable[[Order, Shards], Hits]


@dataclass(frozen=True)
class Meeting:
    """Is where the processes of one search meet.

    Args:
        folder: of this search alone, in one that all share.
        part: number of this process.
        parts: of all.
        wait_minutes: how long to wait while no file of the others appears.
    """

    folder: Path
    part: int
    parts: int
    wait_minutes: float

    def publish(self, orders: Orders) -> None:
        """Writes what to search for, unless an earlier run wrote the same, whose answers then hold."""
        path = self.folder / "orders.npz"
        if path.exists() and _digest(_read_orders(path)) == _digest(orders):
            return
        arrays = {f"{name}/{key}": array for name, order in orders.items() for key, array in order.arrays().items()}
        _write(path, arrays)

    def answer(self, own: Shards, search_one: SearchOne) -> None:
        """Searches the shards of this process for all orders, and writes what it finds; nothing if it has no shard."""
        if len(own) == 0:
            return
        path = self.folder / "orders.npz"
        wait_for({path: "the queries of process 0"}, self.wait_minutes)
        orders = _read_orders(path)
        answer = self._answer(self.part, orders)
        if not answer.exists():
            hits = {name: search_one(order, own) for name, order in orders.items()}
            _write(answer, {f"{name}/{key}": array for name, hit in hits.items() for key, array in vars(hit).items()})

    def collect(self, orders: Orders, whole: Shards, k: int) -> dict[str, Hits]:
        """Returns the k best of the whole corpus for each order, when all processes that have a shard have answered.

        Raises:
            MixlingualError: a process does not answer.
        """
        parts = min(self.parts, whole.number)
        answers = {self._answer(part, orders): f"the search of process {part}" for part in range(parts)}
        wait_for(answers, self.wait_minutes)
        found: dict[str, list[Hits]] = {name: [] for name in orders}
        for path in answers:
            with np.load(path) as arrays:
                for name, hits in found.items():
                    hits.append(Hits(arrays[f"{name}/score_QK"], arrays[f"{name}/position_QK"]))
        return {name: merged(hits, whole, k) for name, hits in found.items()}

    def _answer(self, part: int, orders: Orders) -> Path:
        """Names the orders, so that an answer to others is never taken for one to these."""
        return self.folder / f"{_digest(orders)}.{part}-of-{self.parts}.npz"


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with written_whole(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _read_orders(path: Path) -> dict[str, Order]:
    with np.load(path) as arrays:
        names = [key.removesuffix("/query") for key in arrays.files if key.endswith("/query")]
        return {name: _read_order(arrays, name) for name in names}


def _read_order(arrays: Mapping[str, NDArray[Any]], name: str) -> Order:
    query_QD = arrays[f"{name}/query"]
    if f"{name}/offset_D" not in arrays:
        return Order(query_QD)
    offset_D, direction_RD, normalize = (arrays[f"{name}/{key}"] for key in ("offset_D", "direction_RD", "normalize"))
    return Order(query_QD, Map(offset_D, direction_RD, bool(normalize)))


def _digest(orders: Orders) -> str:
    digest = hashlib.sha256()
    for name, order in orders.items():
        for key, array in order.arrays().items():
            digest.update(f"{name}/{key} {array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
