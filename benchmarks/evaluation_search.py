"""Measures exact search over random vectors: ours, from memory-mapped fp16 shards, against faiss IndexFlatIP.

Ours reads the shards while it searches; the peer's time leaves out building its index. Each search runs in a process
of its own, in turn, and both must find the same passages. Memory is read from /proc, hence on Linux alone: the kernel's
`getrusage` is of no use here, as a new process inherits the peak of the one that starts it.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rows import Row
from mixlingual.evaluation.search import search
from mixlingual.evaluation.shards import SHARD_PASSAGES, open_shards

WIDTH, DEPTH, SEED = 384, 100, 1


@dataclass(frozen=True)
class Found:
    """Holds what a search gave: its seconds, the most memory held beyond that before it, and what it found."""

    seconds: float
    memory_mib: float
    position_QK: NDArray[np.int64]


def write_shards(folder: Path, size: int) -> None:
    """Writes unit vectors into the files of `evaluation.shards`."""
    rng = np.random.default_rng(SEED)
    count = 0
    for start in range(0, size, SHARD_PASSAGES):
        rows = min(SHARD_PASSAGES, size - start)
        vector_ND = rng.standard_normal((rows, WIDTH), dtype=np.float32)
        vector_ND /= np.linalg.norm(vector_ND, axis=1, keepdims=True)
        np.save(folder / f"{count:05d}.npy", vector_ND.astype(np.float16))
        np.save(folder / f"{count:05d}.ids.npy", np.array([b"%012d" % n for n in range(start, start + rows)]))
        count += 1
    (folder / "encoding.json").write_text(json.dumps({"shard_passages": SHARD_PASSAGES}))
    (folder / "complete.json").write_text(json.dumps({"shards": count}))


def queries(number: int) -> NDArray[np.float32]:
    """Returns [Q, D] random vectors."""
    return np.random.default_rng(SEED + 1).standard_normal((number, WIDTH)).astype(np.float32)


def ours(folder: Path, query_QD: NDArray[np.float32], memory_mib: int) -> Found:
    """Searches the shards block by block."""
    before = _held_mib()
    start = time.perf_counter()
    hits = search(query_QD, open_shards(folder), DEPTH, memory_mib=memory_mib, device=torch.device("cpu"))
    return Found(time.perf_counter() - start, _peak_mib() - before, hits.position_QK)


def faiss_flat(folder: Path, query_QD: NDArray[np.float32], memory_mib: int) -> Found:  # noqa: ARG001
    """Searches an IndexFlatIP over the same vectors as float32."""
    import faiss

    before = _held_mib()
    index = faiss.IndexFlatIP(WIDTH)
    for _, vector_ND in open_shards(folder).blocks(SHARD_PASSAGES):
        index.add(vector_ND.astype(np.float32))
    start = time.perf_counter()
    position_QK = index.search(query_QD, DEPTH)[1]
    return Found(time.perf_counter() - start, _peak_mib() - before, position_QK)


def _held_mib() -> float:
    """Returns the MiB that this process holds now, and sets its peak to that (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_mib("VmRSS")


def _peak_mib() -> float:
    """Returns the most MiB since `_held_mib`: memory of its own, libraries, and pages of mapped files."""
    return _status_mib("VmHWM")


def _status_mib(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, name
    return int(found[1]) / 1024


SIDES = {"ours": ours, "faiss": faiss_flat}


def in_own_process(side: str, folder: Path, number: int, memory_mib: int) -> Found:
    """Searches in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(SIDES[side], folder, queries(number), memory_mib).result()


def compare(sizes: list[int], repeats: int, number: int, memory_mib: int, peer_gib: float) -> list[Row]:
    """Returns medians at every size; prints how many of the results agree, and why the peer is not tried."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            write_shards(Path(name), size)
            need = size * WIDTH * 4 / (1 << 30)
            installed = find_spec("faiss") is not None
            sides = list(SIDES) if installed and need <= peer_gib else ["ours"]
            rounds = [{s: in_own_process(s, Path(name), number, memory_mib) for s in sides} for _ in range(repeats)]
        if len(sides) == 1:
            why = "it is not installed" if not installed else f"it would hold {need:.0f} GiB (limit {peer_gib:.0f})"
            print(f"{size:,} vectors: no faiss, {why}")
        else:
            same = np.mean([set(a) == set(b) for a, b in zip(*(rounds[0][s].position_QK.tolist() for s in sides))])
            print(f"{size:,} vectors: {same:.2%} of the queries have the same {DEPTH} results")
        label = f"exact search, {number} queries over {size:,} vectors of width {WIDTH}"
        scores = [median(size * number / found[s].seconds for found in rounds) for s in sides]
        memory = [median(found[s].memory_mib for found in rounds) for s in sides]
        rows.append(Row(f"{label}, rate", "scores/s", scores[0], scores[1] if len(sides) > 1 else None))
        rows.append(Row(f"{label}, peak memory", "MiB", memory[0], memory[1] if len(sides) > 1 else None))
    return rows


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Says in one line for each goal whether it is met."""
    rates = [row.ratio for row in rows if row.unit == "scores/s" and row.ratio is not None]
    if rates:
        yield f"goal faiss's speed: {'met' if min(rates) >= 1 else 'NOT MET'}, {min(rates):.2f} times at the least"
    memory = [row.ours for row in rows if row.unit == "MiB"]
    yield f"goal bounded memory: {min(memory):,.0f} to {max(memory):,.0f} MiB whatever the number of vectors"
