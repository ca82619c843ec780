"""The throughput benchmark says what it measures, and both sides do the work they are timed for."""

import dataclasses
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import train_throughput as benchmark
from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder

DATA = os.environ.get("MIXLINGUAL_DATA")
WORK = benchmark.Work("checkpoint", "data", "sentence", "32-true", batch_size=16, steps=4)
OURS = {"ours": [benchmark.Speed(rate, 1e9, 1000.0) for rate in (40.0, 50.0, 60.0)]}
PEERS = {
    "peer, plain loss": [benchmark.Speed(rate, 0.0, 2000.0) for rate in (20.0, 25.0, 26.0)],
    "peer, cached loss": [benchmark.Speed(rate, 0.0, 9.0) for rate in (1.0, 2.0, 99.0)],
}


@pytest.fixture
def work(tmp_path):
    if DATA is None or not Path(DATA, "mlqa-r").is_dir():
        pytest.skip("MIXLINGUAL_DATA names no folder with mlqa-r/")
    scratch = ModelConfig(scratch=ScratchConfig(1, 16, 2, 32, 600, 0.1))
    save_encoder(*load_encoder(scratch, lambda: ["some text", "for a few pieces"], seed=0), tmp_path / "encoder")
    return dataclasses.replace(WORK, checkpoint=str(tmp_path / "encoder"), data=DATA)


def test_ratio_share_and_goals_are_said():
    speeds = OURS | {"torch.compile": [benchmark.Speed(100.0, 1e9, 0.0)]} | PEERS
    rate, memory, compiled = rows = benchmark.rows_of(WORK, speeds, 0.45)
    assert (rate.name, rate.ours, rate.peer, rate.ratio, rate.peak_share) == (
        "training rate, sentences, 32-true", 50.0, 25.0, 2.0, 0.45,
    )  # fmt: skip
    assert (memory.ratio, compiled.ratio) == (0.5, 0.5)
    text = "\n".join(benchmark.describe(WORK, speeds, rows, (2.0, 0.4)))
    for words in (
        "50.0 pairs/s (40.0 to 60.0)",
        "ratio  2.00 (goal 2.0)",
        "45% of the matrix product's rate (goal 40%)",
    ):
        assert words in text


def test_without_the_peer_ours_stands_alone():
    rate, memory = rows = benchmark.rows_of(WORK, OURS, 0.45)
    assert rate.peer is memory.peer is None
    assert "ratio" not in "".join(benchmark.describe(WORK, OURS, rows, (2.0, 0.4)))


def test_our_side_trains_on_the_questions_and_their_sentences(work):
    ours = benchmark.Ours(work)
    assert len(ours.corpus.items) == 1148
    assert sum(len(item.query) for item in ours.corpus.items) == 4199
    assert all(item.query.keys() == item.passage.keys() for item in ours.corpus.items)
    speed = ours.measure()
    assert min(speed.rate, speed.flops, speed.peak_mib) > 0


@pytest.mark.parametrize("variant", benchmark.VARIANTS)
def test_every_variant_changes_the_config(variant):
    assert benchmark.config_of(dataclasses.replace(WORK, variant=variant)) != benchmark.config_of(WORK)


@pytest.mark.skipif(find_spec(benchmark.PEER) is None, reason="sentence-transformers is not installed")
def test_the_peer_trains_on_the_same_pairs(work):
    ours = benchmark.Ours(work)
    pairs = benchmark.Peer(work).pairs[: work.batch_size]
    items = ours.batches.items(0)
    assert len(pairs["anchor"]) == len(items) == work.batch_size
    for anchor, positive, number in zip(pairs["anchor"], pairs["positive"], items):
        assert anchor.removeprefix("query: ") in ours.corpus.items[number].query.values()
        assert positive.removeprefix("passage: ") in ours.corpus.items[number].passage.values()
