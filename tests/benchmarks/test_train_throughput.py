"""The throughput benchmark: what it says, and that our side does the work it is timed for."""

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


@pytest.fixture
def work(tmp_path):
    if DATA is None or not Path(DATA, "mlqa-r").is_dir():
        pytest.skip("MIXLINGUAL_DATA names no folder with mlqa-r/")
    scratch = ModelConfig(scratch=ScratchConfig(1, 16, 2, 32, 600, 0.1))
    save_encoder(*load_encoder(scratch, lambda: ["some text", "for a few pieces"], seed=0), tmp_path / "encoder")
    return benchmark.Work(str(tmp_path / "encoder"), DATA, "sentence", "32-true", batch_size=16, steps=4)


def test_ratio_share_and_goals_are_said():
    comparison = benchmark.Comparison(WORK, [40.0, 50.0, 60.0], [20.0, 25.0, 26.0], 0.45, 1000.0, 2000.0)
    rate, memory = comparison.rows()
    assert (rate.name, rate.ours, rate.peer, rate.ratio, rate.peak_share) == (
        "training rate, sentences, 32-true", 50.0, 25.0, 2.0, 0.45,
    )  # fmt: skip
    assert memory.ratio == 0.5
    text = "\n".join(benchmark.describe(comparison, (2.0, 0.4)))
    assert "50.0 pairs/s (40.0 to 60.0)" in text
    assert "ratio  2.00 (goal 2.0)" in text
    assert "45% of the matrix product's rate (goal 40%)" in text


def test_without_the_peer_ours_stands_alone():
    rate, _ = benchmark.Comparison(WORK, [40.0], [], 0.45, 1000.0, None).rows()
    assert rate.peer is None
    assert "peer" not in benchmark.describe(benchmark.Comparison(WORK, [40.0], [], 0.45, 1.0, None), (2.0, 0.4))[1]


def test_our_side_trains_on_the_questions_and_their_sentences(work):
    corpus = benchmark.corpus_of(work)
    assert len(corpus.items) == 1148
    assert sum(len(item.query) for item in corpus.items) == 4199
    assert all(item.query.keys() == item.passage.keys() for item in corpus.items)
    speed = benchmark.Ours(work).measure(work)
    assert len(speed.seconds) == len(speed.tokens) == work.steps - benchmark.WARM_UP
    assert min(speed.seconds) > 0


@pytest.mark.parametrize("variant", benchmark.VARIANTS)
def test_every_variant_changes_the_config(variant):
    shipped = benchmark.config_of(WORK)
    changed = benchmark.config_of(benchmark.replace(WORK, variant=variant))
    assert (changed == shipped) == (variant == "as shipped")


@pytest.mark.skipif(find_spec(benchmark.PEER) is None, reason="sentence-transformers is not installed")
def test_the_peer_trains_on_the_same_pairs(work):
    peer = benchmark.Peer(work)
    ours = benchmark.Ours(work)
    pairs = peer._pairs[: work.batch_size]
    items = ours._batches.items(0)
    assert len(pairs["anchor"]) == len(items) == work.batch_size
    for anchor, positive, number in zip(pairs["anchor"], pairs["positive"], items):
        assert anchor.removeprefix("query: ") in ours._corpus.items[number].query.values()
        assert positive.removeprefix("passage: ") in ours._corpus.items[number].passage.values()
