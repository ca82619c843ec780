"""The evaluation benchmark measures equal work: ours and the peers' figures agree. Nothing asserts a time."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from forks import on_ranks

from benchmarks import evaluation, evaluation_encode, evaluation_search, evaluation_suite
from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_benchmark, atlas_corpus
from mixlingual.grid.cell import corpus_texts
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # compiling ranx takes half a minute


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Makes benchmarks small, of two languages, and searches in this process."""

    def search(side, folder, number, mib):
        return evaluation_search.SIDES[side](folder, evaluation_search.queries(number), mib)

    for module in (evaluation_suite, evaluation_encode):
        monkeypatch.setattr(module, "load_lareqa", lambda name, root, languages: atlas_benchmark(["de", "en"]))
    monkeypatch.setattr(evaluation_search, "in_own_process", search)


def test_the_peers_that_are_installed_agree_with_us(capsys):
    rows = evaluation_suite.compare(Path("unused"), repeats=1, pairs=2)
    printed = capsys.readouterr().out
    assert [row.name.partition(",")[0] for row in rows] == ["mlqa_r", "mlqa_r", "xquad_r", "xquad_r"]
    gaps = [float(line.rpartition(" ")[2]) for line in printed.splitlines() if "differ" in line]
    assert len(gaps) == 2 * sum(find_spec(module) is not None for module, _ in evaluation_suite.PEERS.values())
    assert len(gaps) >= 2
    assert max(gaps) < 1e-6
    assert all(row.ratio == pytest.approx(row.ours / row.peer) for row in rows if row.peer is not None)


def test_without_peers_ours_is_measured_alone(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(evaluation_suite, "find_spec", lambda module: None)
    out = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["evaluation", "suite", "--data", "unused", "--repeats", "1", "--out", str(out)])
    evaluation.main()
    rows = json.loads(out.read_text())
    assert all(list(row) == ["name", "unit", "ours", "peer", "ratio"] for row in rows)
    assert all(row["ours"] > 0 and row["peer"] is None for row in rows)
    assert sum(line.startswith("goal ") for line in capsys.readouterr().out.splitlines()) == 1


def test_search_agrees_with_the_peer(capsys):
    rows = evaluation_search.compare([3000], repeats=1, number=5, memory_mib=8, peer_gib=1.0)
    printed = capsys.readouterr().out
    assert [row.unit for row in rows] == ["scores/s", "MiB"]
    assert rows[0].ours > 0
    if find_spec("faiss") is None:
        assert "3,000 vectors: no faiss, it is not installed" in printed
        assert all(row.peer is None for row in rows)
    else:
        assert "100.00% of the queries have the same 100 results" in printed
        assert rows[0].ratio == pytest.approx(rows[0].ours / rows[0].peer)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_search_holds_no_more_than_its_setting_whatever_the_corpus(tmp_path):
    """In processes of their own. With arrays that come and go between blocks the larger one held 96 MiB."""
    query_QD = evaluation_search.queries(300)
    held = []
    for size in (20_000, 80_000):
        folder = tmp_path / str(size)
        folder.mkdir()
        evaluation_search.write_shards(folder, size)
        (found,) = on_ranks(folder, 1, lambda folder=folder: evaluation_search.ours(folder, query_QD, 40))
        held.append(found.memory_mib)
    assert 8 < min(held) <= max(held) <= 40, held


def test_a_peer_that_would_hold_too_much_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(evaluation_search, "find_spec", lambda name: name)
    rows = evaluation_search.compare([8000], repeats=1, number=2, memory_mib=8, peer_gib=0.001)
    assert "no faiss, it would hold 0 GiB (limit 0)" in capsys.readouterr().out
    assert all(row.peer is None and row.ratio is None for row in rows)
    assert next(iter(evaluation_search.verdicts(rows))).startswith("goal bounded memory")


def test_encoding_is_compared_on_equal_embeddings(monkeypatch, tmp_path, capsys):
    config = ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 900))
    corpus = atlas_corpus(["de", "en"])
    save_encoder(*load_encoder(config, lambda: corpus_texts(corpus), seed=0), tmp_path / "model")
    [row] = evaluation_encode.compare(Path("unused"), str(tmp_path / "model"), repeats=1, size=40, peer_batch=8)
    assert (row.unit, row.ours > 0) == ("texts/s", True)
    if row.peer is not None:
        assert "least cosine 1.000000" in capsys.readouterr().out
        assert next(iter(evaluation_encode.verdicts([row]))).startswith("goal 1.5 times the texts/s: ")
