"""Measures our batch sampler and those of sentence-transformers: rate, start-up and memory by the size of a pool.

Ours draws from the 49 language pairs of 7 languages. Two of the peer's samplers do the same work over 49
datasets; the third draws batches without duplicates from one. Each measurement runs in a process of its
own on one thread, ours and the peer's in turn.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import Row, number, write_rows
from mixlingual.batches.plan import Plan, Pool
from mixlingual.batches.ratio import RatioSchedule
from mixlingual.batches.sampler import HybridBatchSampler

PAIRS = tuple(itertools.product(("ar", "de", "en", "es", "hi", "vi", "zh"), repeat=2))
BATCH_SIZE, SEED = 256, 1

OURS = "ours"
PEER_MODULE = "sentence_transformers.base.sampler"
PEER_SECONDS, PEER_GIB = 10.0, 4.0
"""A peer is not tried at a size at which it would take longer to start, or hold more, than this."""

GOAL_IDS_PER_S, GOAL_STARTUP_MS, GOAL_MEMORY_GROWTH = 1e6, 10.0, 1.25


@dataclass(frozen=True, slots=True)
class Cost:
    """Holds what a sampler takes; `startup_ms` is from its construction to its first batch, `memory_mib` the peak."""

    ids_per_s: float
    startup_ms: float
    memory_mib: float


QUANTITIES = {
    "ids_per_s": ("rate", "ids/s"),
    "startup_ms": ("start-up", "ms"),
    "memory_mib": ("peak memory beyond the imports", "MiB"),
}
Costs = dict[str, dict[int, Cost]]  # by side and size


@dataclass(frozen=True)
class Rows:
    """Is the least that the peer's samplers take for a dataset: rows without text, at no cost."""

    size: int
    column_names = ("id",)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"id": index}


def ours(size: int) -> Iterator[Sized]:
    """Yields homogeneous batches, half of them monolingual, from 49 pools of `size` items each."""
    pools = [Pool("source", *pair, size, 1.0) for pair in PAIRS]
    plan = Plan(pools, RatioSchedule(0.5, 0.5, "constant", 0), seed=SEED, batch_size=BATCH_SIZE)
    sampler = HybridBatchSampler(plan, [None] * len(pools), seed=SEED)
    return (sampler.batch(step).item_B for step in itertools.count())


def round_robin(size: int) -> Iterator[Sized]:
    """Yields homogeneous batches from 49 datasets of `size` rows each, one dataset after the other."""
    return _multi_dataset("RoundRobinBatchSampler", size)


def proportional(size: int) -> Iterator[Sized]:
    """Yields homogeneous batches from 49 datasets of `size` rows each, in random order: the peer's default."""
    return _multi_dataset("ProportionalBatchSampler", size)


def no_duplicates(size: int) -> Iterator[Sized]:
    """Yields batches without duplicates from one dataset of `size` rows, a 49th of the others' work to start."""
    import torch

    sampler = importlib.import_module(PEER_MODULE).NoDuplicatesBatchSampler
    return _epochs(sampler(Rows(size), BATCH_SIZE, drop_last=True, generator=torch.Generator(), seed=SEED))


def _multi_dataset(name: str, size: int) -> Iterator[Sized]:
    """Builds what the peer's trainer does: a shuffle for each dataset, and the named sampler over them."""
    import torch
    from torch.utils.data import ConcatDataset, RandomSampler

    peer = importlib.import_module(PEER_MODULE)
    generator = torch.Generator()
    datasets: list[Any] = [Rows(size) for _ in PAIRS]
    shuffles = [RandomSampler(dataset, generator=generator) for dataset in datasets]
    samplers = [peer.DefaultBatchSampler(shuffle, BATCH_SIZE, drop_last=True) for shuffle in shuffles]
    return _epochs(getattr(peer, name)(ConcatDataset(datasets), samplers, generator, SEED))


def _epochs(sampler: Any) -> Iterator[Sized]:
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from sampler


SIDES: dict[str, Callable[[int], Iterator[Sized]]] = {
    OURS: ours,
    "round robin": round_robin,
    "proportional": proportional,
    "no duplicates": no_duplicates,
}
PEERS = tuple(side for side in SIDES if side != OURS)


def measure(side: str, size: int, batches: int) -> Cost:
    """Starts a sampler, takes half of `batches` to reach every pool, then measures the rate over `batches`.

    Times are processor times, so that other programs of the machine count as little as they can.
    """
    if side != OURS:
        importlib.import_module(PEER_MODULE)
    before = _peak_mib()
    start = time.process_time()
    stream = SIDES[side](size)
    next(stream)
    startup = time.process_time() - start
    _take(stream, batches // 2)
    start = time.process_time()
    ids = _take(stream, batches)
    seconds = time.process_time() - start
    return Cost(ids / seconds, 1e3 * startup, _peak_mib() - before)


def _take(stream: Iterator[Sized], batches: int) -> int:
    return sum(len(batch) for batch in itertools.islice(stream, batches))


def _peak_mib() -> float:
    """Returns the most memory that this process has held; Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def in_own_process(side: str, size: int, batches: int) -> Cost:
    """Calls `measure` in a new process; the peer's are forked from one that has done its imports of many seconds."""
    context = multiprocessing.get_context("spawn" if side == OURS else "forkserver")
    context.set_forkserver_preload([PEER_MODULE])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, side, size, batches).result()


def compare(sizes: Iterable[int], repeats: int, batches: int) -> tuple[Costs, dict[str, str]]:
    """Returns medians of every side at every size that it can hold, measured in turn; and why a peer stopped."""
    costs: Costs = {side: {} for side in SIDES}
    stopped: dict[str, str] = {}
    for size in sizes:
        stopped |= {peer: why for peer in PEERS if peer not in stopped and (why := why_not(size, costs[peer]))}
        sides = [side for side in SIDES if side not in stopped]
        rounds = [{side: in_own_process(side, size, batches) for side in sides} for _ in range(repeats)]
        for side in sides:
            costs[side][size] = Cost(*map(median, zip(*(astuple(measured[side]) for measured in rounds))))
    return costs, stopped


def why_not(size: int, known: dict[int, Cost]) -> str:
    """Says why a peer is not tried at a size, given what it took at smaller ones; empty if it is."""
    if find_spec(PEER_MODULE.partition(".")[0]) is None:
        return "sentence-transformers is not installed"
    if not known:
        return ""
    last = max(known)
    gib, seconds = known[last].memory_mib / 1024 * size / last, known[last].startup_ms / 1e3 * size / last
    if gib <= PEER_GIB and seconds <= PEER_SECONDS:
        return ""
    return (
        f"it holds its shuffled order, which at {_power(size)} would take {gib:.0f} GiB and {seconds:.0f} s "
        f"in proportion to {_power(last)} (limits {PEER_GIB:.0f} GiB, {PEER_SECONDS:.0f} s)"
    )


def rows(costs: Costs, quantity: str, size: int) -> list[Row]:
    """Returns one row for each peer."""
    title, unit = QUANTITIES[quantity]
    value = {side: getattr(of_side[size], quantity) for side, of_side in costs.items() if size in of_side}
    name = f"{title}, {_power(size)} items a pool"
    return [Row(f"{name}, {peer}", unit, value[OURS], value.get(peer)) for peer in PEERS]


def table(costs: Costs, quantity: str) -> Iterator[str]:
    """Yields sizes as lines: ours, then each peer and the ratio ours / peer."""
    yield ", ".join(QUANTITIES[quantity])
    yield "  items a pool" + f"{OURS:>12}" + "".join(f"{peer:>16}{'ratio':>9}" for peer in PEERS)
    for size, cost in costs[OURS].items():
        peers = "".join(f"{number(row.peer):>16}{number(row.ratio):>9}" for row in rows(costs, quantity, size))
        yield f"  {_power(size):>12}{number(getattr(cost, quantity)):>12}{peers}"


def verdicts(costs: Iterable[Cost]) -> Iterator[str]:
    """Says in one line for each goal whether it is met."""
    rate, startup, memory = zip(*map(astuple, costs))
    yield _verdict(f"{GOAL_IDS_PER_S:,.0f} ids/s", min(rate) >= GOAL_IDS_PER_S, f"{min(rate):,.0f} at the slowest size")
    flat = max(memory) <= GOAL_MEMORY_GROWTH * min(memory)
    yield _verdict("flat memory", flat, f"{min(memory):.1f} to {max(memory):.1f} MiB")
    fast = max(startup) < GOAL_STARTUP_MS
    yield _verdict(f"start-up under {GOAL_STARTUP_MS:.0f} ms", fast, f"{min(startup):.1f} to {max(startup):.1f} ms")


def _verdict(goal: str, met: bool, measured: str) -> str:
    return f"goal {goal}: {'met' if met else 'NOT MET'}, {measured}"


def _power(size: int) -> str:
    return f"10^{len(str(size)) - 1}"


def main() -> None:
    """Measures, prints the tables and the goals, and writes the rows where --out says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampler", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio}")
    parser.add_argument("--largest", type=int, default=10, help="sizes go from 10^3 to 10^LARGEST items a pool")
    parser.add_argument("--repeats", type=int, default=3, help="measurements behind each median")
    parser.add_argument("--batches", type=int, default=1000, help="batches that a rate is taken over")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    costs, stopped = compare([10**k for k in range(3, options.largest + 1)], options.repeats, options.batches)
    for quantity in QUANTITIES:
        print(*table(costs, quantity), "", sep="\n")
    for peer, why in stopped.items():
        print(f"{peer}: -, {why}")
    print(*verdicts(costs[OURS].values()), sep="\n")
    if options.out:
        write_rows(options.out, (row for name in QUANTITIES for size in costs[OURS] for row in rows(costs, name, size)))


if __name__ == "__main__":
    main()
