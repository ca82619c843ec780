"""The sampler's benchmark runs, and says what it measured; nothing here depends on the machine's speed."""

import itertools
import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import sampler as benchmark

PEERS = ("round robin", "proportional", "no duplicates")
NEEDS_PEER = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")


@pytest.fixture
def ran(tmp_path, monkeypatch, capsys):
    """Returns what the command prints and writes, with the peer out of sight."""
    out = tmp_path / "rows.json"
    monkeypatch.setattr(benchmark, "find_spec", lambda module: None)
    monkeypatch.setattr(benchmark, "in_own_process", benchmark.measure)
    words = ["sampler", "--largest", "4", "--repeats", "1", "--batches", "4", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    benchmark.main()
    return capsys.readouterr().out, json.loads(out.read_text())


def test_rows_hold_every_quantity_size_and_peer_and_ours_is_measured_without_the_peer(ran):
    printed, rows = ran
    assert all(list(row) == ["name", "unit", "ours", "peer", "ratio"] for row in rows)
    titles = {"rate": "ids/s", "start-up": "ms", "peak memory beyond the imports": "MiB"}
    assert [(row["name"], row["unit"]) for row in rows] == [
        (f"{title}, {size} items a pool, {peer}", titles[title])
        for title, size, peer in itertools.product(titles, ["10^3", "10^4"], PEERS)
    ]
    assert all(row["peer"] is None and row["ratio"] is None for row in rows)
    assert all(row["ours"] > 0 for row in rows if row["unit"] != "MiB")
    assert all(f"{peer}: -, sentence-transformers is not installed" in printed for peer in PEERS)
    assert sum(line.startswith("goal ") for line in printed.splitlines()) == 3


def test_each_measurement_is_a_process_of_its_own():
    cost = benchmark.in_own_process("ours", 1000, 2)
    assert min(cost.ids_per_s, cost.startup_ms) > 0
    assert cost.memory_mib >= 0, "the imports may have held more"


def test_a_peer_stops_before_it_would_pass_a_limit(monkeypatch):
    monkeypatch.setattr(benchmark, "find_spec", lambda name: name)
    known = {10**3: benchmark.Cost(1e6, 1.0, 9.0), 10**4: benchmark.Cost(1e6, 10.0, 410.0)}
    assert benchmark.why_not(10**3, {}) == ""
    assert benchmark.why_not(10**5, known | {10**4: benchmark.Cost(1e6, 10.0, 409.0)}) == ""
    assert "which at 10^5 would take 4 GiB and 0 s in proportion to 10^4" in benchmark.why_not(10**5, known)
    slow = {10**4: benchmark.Cost(1e6, 1001.0, 1.0)}
    assert "would take 0 GiB and 10 s" in benchmark.why_not(10**5, slow)


def test_ours_gives_whole_batches_of_pools_of_the_size():
    batches = [np.asarray(batch) for batch in itertools.islice(benchmark.ours(10**6), 20)]
    assert {batch.shape for batch in batches} == {(256,)}
    assert all(len(set(batch.tolist())) == 256 for batch in batches)
    assert 0.9e6 < max(map(np.max, batches)) < 1e6


@NEEDS_PEER
@pytest.mark.parametrize("peer", PEERS)
def test_the_peers_give_whole_batches_epoch_after_epoch(peer):
    batches = list(itertools.islice(benchmark.SIDES[peer](300), 100))
    assert {len(set(batch)) for batch in batches} == {256}
    assert max(map(max, batches)) < 300 * (1 if peer == "no duplicates" else 49)
