"""The evaluate entry point, end to end, with an encoder from random weights."""

import json

import judged_folders
import pandas as pd
import pytest

from mixlingual.config import EvaluateConfig, EvaluationConfig, ModelConfig, PostHocConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.evaluate import evaluate
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError
from mixlingual.run import corpus_texts


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A saved encoder with prefixes and lengths of its own."""
    config = ModelConfig(
        scratch=ScratchConfig(1, 32, 2, 64, 900), query_prefix="q: ", passage_prefix="p: ",
        max_query_length=40, max_passage_length=50,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("encoder") / "model"
    save_encoder(*load_encoder(config, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed=0), folder)
    return folder


def config_of(checkpoint, output, *, post_hoc=None, **evaluation):
    return EvaluateConfig(
        model=ModelConfig(checkpoint=str(checkpoint)), evaluation=EvaluationConfig(**evaluation),
        post_hoc=post_hoc or PostHocConfig(), accelerator="cpu", output=str(output),
    )  # fmt: skip


def test_parallel_benchmarks_with_corrections(checkpoint, tmp_path):
    output = tmp_path / "out.json"
    post_hoc = PostHocConfig(methods=["centering", "lir", "shift"], texts=40)
    evaluate(config_of(checkpoint, output, benchmarks=["atlas"], languages=["de", "en"], post_hoc=post_hoc))
    result = json.loads(output.read_text())
    atlas = result["benchmarks"]["atlas"]
    assert (atlas["languages"], atlas["complete"], atlas["unit"]) == (["de", "en"], False, "sentence")
    assert 0 < atlas["multi"]["map"] < 1
    assert atlas["bias"]["geometry"]["language_probe"] > 0.5
    assert list(result["post_hoc"]) == ["centering", "lir", "shift"]
    table = pd.read_parquet(output.with_suffix(".parquet"))
    assert table[table.setting == "multi"]["rank_distance"].mean() == pytest.approx(
        atlas["multi"]["micro"]["rank_distance"]
    )


def test_judged_benchmarks_are_resumed_and_shared(checkpoint, tmp_path, monkeypatch):
    judged_folders.miracl(tmp_path)
    output, embeddings = tmp_path / "out.json", tmp_path / "embeddings"
    options = {"benchmarks": ["miracl"], "root": str(tmp_path), "languages": ["sw", "yo"]}
    evaluate(config_of(checkpoint, output, embeddings=str(embeddings), **options))
    first = json.loads(output.read_text())["benchmarks"]["miracl"]
    assert set(first["mono"]["languages"]) == {"sw", "yo"}
    assert first["mono"]["languages"]["yo"]["queries"] == 2, "a query that only the qrels name counts"
    assert first["mono"]["languages"]["yo"]["ndcg@10"] == 0.5
    shard = next(embeddings.rglob("00000.npy"))
    written = shard.stat().st_mtime_ns
    evaluate(config_of(checkpoint, output, embeddings=str(embeddings), **options))
    assert json.loads(output.read_text())["benchmarks"]["miracl"] == first
    assert shard.stat().st_mtime_ns == written
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MixlingualError, match=r"set evaluation\.embeddings=FOLDER"):
        evaluate(config_of(checkpoint, output, **options))
