"""The evaluation benchmark measures equal work: ours and the peers' figures agree. Nothing asserts a time."""

import importlib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mixlingual.data.sources.atlas import atlas_benchmark

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # compiling ranx takes half a minute

ROOT = Path(__file__).parents[2]


@pytest.fixture
def suite(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module("benchmarks.evaluation_suite")
    monkeypatch.setattr(module, "load_lareqa", lambda name, root, languages: atlas_benchmark(["de", "en"]))
    return module


def test_tasks_are_all_pairs_and_the_pool_of_each_language(suite):
    tasks = list(suite.tasks(atlas_benchmark(["de", "en"])))
    assert [task.name for task in tasks] == ["de-de", "de-en", "de-all", "en-de", "en-en", "en-all"]
    questions = len(tasks[0].queries)
    assert [len(task.candidates) for task in tasks] == [questions, questions, 2 * questions] * 2
    assert {len(found) for found in tasks[1].relevant.values()} == {1}
    assert {len(found) for found in tasks[2].relevant.values()} == {2}


def test_the_peers_that_are_installed_agree_with_us(suite, capsys):
    rows = suite.compare(Path("unused"), repeats=1, pairs=2)
    printed = capsys.readouterr().out
    assert [row.name.partition(",")[0] for row in rows] == ["mlqa_r", "mlqa_r", "xquad_r", "xquad_r"]
    gaps = [float(line.rpartition(" ")[2]) for line in printed.splitlines() if "differ" in line]
    assert len(gaps) == 2 * sum(find_spec(module) is not None for module, _ in suite.PEERS.values())
    assert len(gaps) >= 2
    assert max(gaps) < 1e-6
    assert all(row.ratio == pytest.approx(row.ours / row.peer) for row in rows if row.peer is not None)


def test_without_peers_ours_is_measured_alone(suite, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(suite, "find_spec", lambda module: None)
    command = importlib.import_module("benchmarks.evaluation")
    out = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["evaluation", "suite", "--data", "unused", "--repeats", "1", "--out", str(out)])
    command.main()
    rows = json.loads(out.read_text())
    assert all(list(row) == ["name", "unit", "ours", "peer", "ratio"] for row in rows)
    assert all(row["ours"] > 0 and row["peer"] is None for row in rows)
    assert sum(line.startswith("goal ") for line in capsys.readouterr().out.splitlines()) == 1
