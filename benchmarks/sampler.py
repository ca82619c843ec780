"""Our batch sampler and those of sentence-transformers: rate, start-up and memory by the size of a pool.

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
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import Row, write_rows
from mixlingual.batches.plan import Plan, Pool
from mixlingual.batches.ratio import RatioSchedule
from mixlingual.batches.sampler import HybridBatchSampler

LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
PAIRS = tuple(itertools.product(LANGUAGES, repeat=2))
BATCH_SIZE = 256
SEED = 1

OURS = "ours"
PEER_MODULE = "sentence_transformers.base.sampler"
PEER_SECONDS, PEER_GIB = 10.0, 4.0
"""A peer is not tried at a size at which it would take longer to start, or hold more, than this."""

GOAL_IDS_PER_S, GOAL_STARTUP_MS, GOAL_MEMORY_GROWTH = 1e6, 10.0, 1.25


@dataclass(frozen=True, slots=True)
class Cost:
    """What a sampler takes; `startup_ms` is from its construction to its first batch, `memory_mib` the peak."""

    ids_per_s: float
    batches_per_s: float
    startup_ms: float
    memory_mib: float


UNITS = {"ids_per_s": "ids/s", "batches_per_s": "batches/s", "startup_ms": "ms", "memory_mib": "MiB"}
TITLES = {
    "ids_per_s": "rate, ids/s",
    "batches_per_s": f"rate, batches/s of {BATCH_SIZE}",
    "startup_ms": "start-up, ms",
    "memory_mib": "peak memory beyond the imports, MiB",
}


class Rows:
    """The least that the peer's samplers take for a dataset: rows without text, at no cost."""

    column_names = ("id",)

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"id": index}


def ours(size: int) -> Iterator[Sized]:
    """Homogeneous batches, half of them monolingual, from 49 pools of `size` items each."""
    pools = [Pool("source", *pair, size, 1.0) for pair in PAIRS]
    plan = Plan(pools, RatioSchedule(0.5, 0.5, "constant", 0), seed=SEED, batch_size=BATCH_SIZE)
    sampler = HybridBatchSampler(plan, [None] * len(pools), seed=SEED)
    return (sampler.batch(step).item_B for step in itertools.count())


def round_robin(size: int) -> Iterator[Sized]:
    """Homogeneous batches from 49 datasets of `size` rows each, one dataset after the other."""
    return _multi_dataset("RoundRobinBatchSampler", size)


def proportional(size: int) -> Iterator[Sized]:
    """Homogeneous batches from 49 datasets of `size` rows each, in random order: the peer's default."""
    return _multi_dataset("ProportionalBatchSampler", size)


def no_duplicates(size: int) -> Iterator[Sized]:
    """Batches without duplicates from one dataset of `size` rows, a 49th of the others' work to start."""
    import torch

    sampler = importlib.import_module(PEER_MODULE).NoDuplicatesBatchSampler
    return _epochs(sampler(Rows(size), BATCH_SIZE, drop_last=True, generator=torch.Generator(), seed=SEED))


def _multi_dataset(name: str, size: int) -> Iterator[Sized]:
    """As the peer's trainer builds it: a shuffle for each dataset, and the named sampler over them."""
    import torch
    from torch.utils.data import ConcatDataset, RandomSampler

    peer = importlib.import_module(PEER_MODULE)
    generator = torch.Generator()
    datasets: list[Any] = [Rows(size) for _ in PAIRS]
    samplers = [
        peer.DefaultBatchSampler(RandomSampler(dataset, generator=generator), BATCH_SIZE, drop_last=True)
        for dataset in datasets
    ]
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
    """One start of a sampler, half of `batches` to reach every pool, then the rate over `batches`."""
    if side != OURS:
        importlib.import_module(PEER_MODULE)
    before = _peak_mib()
    start = time.perf_counter()
    stream = SIDES[side](size)
    next(stream)
    startup = time.perf_counter() - start
    _take(stream, batches // 2)
    start = time.perf_counter()
    ids = _take(stream, batches)
    seconds = time.perf_counter() - start
    return Cost(ids / seconds, batches / seconds, 1e3 * startup, _peak_mib() - before)


def _take(stream: Iterator[Sized], batches: int) -> int:
    return sum(len(batch) for batch in itertools.islice(stream, batches))


def _peak_mib() -> float:
    """The most memory that this process has held; Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def in_own_process(side: str, size: int, batches: int) -> Cost:
    """`measure` in a new process; the peer's are forked from one that has done its imports of many seconds."""
    context = multiprocessing.get_context("spawn" if side == OURS else "forkserver")
    context.set_forkserver_preload([PEER_MODULE])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, side, size, batches).result()


@dataclass(frozen=True, slots=True)
class Comparison:
    """By side and size: medians, and for the sizes that a peer was not tried at, why."""

    costs: dict[str, dict[int, Cost]]
    reasons: dict[str, dict[int, str]]


def compare(sizes: Iterable[int], repeats: int, batches: int) -> Comparison:
    """Every side at every size that it can hold, in turn, `repeats` times."""
    result = Comparison({side: {} for side in SIDES}, {side: {} for side in SIDES})
    for size in sizes:
        for side in PEERS:
            if reason := why_not(size, result.costs[side]):
                result.reasons[side][size] = reason
        tried = [side for side in SIDES if size not in result.reasons[side]]
        rounds = [{side: in_own_process(side, size, batches) for side in tried} for _ in range(repeats)]
        for side in tried:
            result.costs[side][size] = Cost(*map(median, zip(*(astuple(costs[side]) for costs in rounds))))
    return result


def why_not(size: int, known: dict[int, Cost]) -> str:
    """Why a peer is not tried at a size, given what it took at smaller ones; empty if it is."""
    if find_spec(PEER_MODULE.split(".", maxsplit=1)[0]) is None:
        return "sentence-transformers is not installed"
    if not known:
        return ""
    growth = size / max(known)
    gib, seconds = known[max(known)].memory_mib / 1024 * growth, known[max(known)].startup_ms / 1e3 * growth
    if gib <= PEER_GIB and seconds <= PEER_SECONDS:
        return ""
    return f"its shuffled order would take {gib:,.0f} GiB and {seconds:,.0f} s, judged by {_power(max(known))}"


def rows(comparison: Comparison) -> Iterator[Row]:
    """One row for each quantity, size and peer."""
    for quantity, unit in UNITS.items():
        for size, cost in comparison.costs[OURS].items():
            for peer in PEERS:
                theirs = comparison.costs[peer].get(size)
                name = f"{TITLES[quantity].partition(',')[0]}, {_power(size)} items a pool, {peer}"
                yield Row(name, unit, getattr(cost, quantity), None if theirs is None else getattr(theirs, quantity))


def table(comparison: Comparison, quantity: str) -> Iterator[str]:
    """Sizes as lines; ours, then each peer and the ratio ours / peer."""
    yield TITLES[quantity]
    yield "  items a pool" + f"{OURS:>15}" + "".join(f"{peer:>15}{'ratio':>10}" for peer in PEERS)
    by_size = itertools.groupby(
        (row for row in rows(comparison) if row.unit == UNITS[quantity]), lambda row: row.name.split(", ")[1]
    )
    for size, of_size in by_size:
        group = list(of_size)
        pairs = "".join(f"{_number(row.peer):>15}{_number(row.ratio):>10}" for row in group)
        yield f"  {size.removesuffix(' items a pool'):>12}{_number(group[0].ours):>15}{pairs}"


def verdicts(costs: Sequence[Cost]) -> Iterator[str]:
    """One line for each goal."""
    rate, _, startup, memory = ([getattr(cost, field.name) for cost in costs] for field in fields(Cost))
    met = min(rate) >= GOAL_IDS_PER_S
    yield f"goal {GOAL_IDS_PER_S:,.0f} ids/s: {_met(met)}, {min(rate):,.0f} at the slowest size"
    met = max(memory) <= GOAL_MEMORY_GROWTH * min(memory)
    yield f"goal flat memory: {_met(met)}, {min(memory):.1f} to {max(memory):.1f} MiB"
    met = max(startup) < GOAL_STARTUP_MS
    yield f"goal start-up under {GOAL_STARTUP_MS:.0f} ms: {_met(met)}, {min(startup):.1f} to {max(startup):.1f} ms"


def _met(met: bool) -> str:
    return "met" if met else "NOT MET"


def _power(size: int) -> str:
    exponent = len(str(size)) - 1
    return f"10^{exponent}" if size == 10**exponent else str(size)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and the goals, and writes the rows where --out says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampler", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio}")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**k for k in range(3, 11)], help="items a pool")
    parser.add_argument("--repeats", type=int, default=3, help="measurements behind each median")
    parser.add_argument("--batches", type=int, default=1000, help="batches that a rate is taken over")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    comparison = compare(sorted(options.sizes), options.repeats, options.batches)
    for quantity in UNITS:
        print(*table(comparison, quantity), "", sep="\n")
    for peer, reasons in comparison.reasons.items():
        for size, reason in reasons.items():
            print(f"{peer} at {_power(size)}: not measured, {reason}")
    print(*verdicts(list(comparison.costs[OURS].values())), sep="\n")
    if options.out:
        write_rows(options.out, rows(comparison))


if __name__ == "__main__":
    main()
