"""The evaluate entry point, end to end, with an encoder from random weights."""

import dataclasses
import gzip
import json
from pathlib import Path

import judged_folders
import numpy as np
import pandas as pd
import pytest
import torch

import mixlingual.evaluate
import mixlingual.grid.evaluation
from mixlingual.config.schema import EvaluateConfig, EvaluationConfig, ModelConfig, PostHocConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_benchmark, atlas_corpus
from mixlingual.evaluation.encode import encode
from mixlingual.evaluation.trec import read_run
from mixlingual.grid.cell import corpus_texts
from mixlingual.grid.evaluation import evaluate
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError


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
    assert (result["model"]["query_prefix"], result["model"]["max_passage_length"]) == ("q: ", 50), "as it was saved"
    assert 0 < atlas["multi"]["map"] < 1
    assert atlas["bias"]["geometry"]["language_probe"] > 0.5
    assert list(result["post_hoc"]) == result["corrections"]["methods"] == ["centering", "lir", "shift"]
    for correction, metrics in result["post_hoc"].items():
        own = pd.read_parquet(tmp_path / f"out_{correction}.parquet")
        by_language = own[own.setting == "multi"].groupby("query_language").ap.mean()
        assert by_language.mean() == pytest.approx(metrics["atlas"]["multi"]["map"])
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


def test_a_job_says_where_it_keeps_what_it_has_encoded(tmp_path, monkeypatch):
    """For the script around it, which queues a crashed evaluation again as long as there is more each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mixlingual.grid.evaluation, "evaluate", lambda config: Path(config.output).write_text("{}"))
    words = ["-m", "sweep_name=s", "run_name=a,b", "output='${run_name}.json'", "model.checkpoint=x"]
    monkeypatch.setattr("sys.argv", ["evaluate", *words, "evaluation.embeddings='${run_name}/embeddings'"])
    mixlingual.evaluate.main()
    for run in "ab":
        progress = json.loads((tmp_path / f"multirun/s/evaluation/{run}/progress.json").read_text())
        assert (progress["phase"], progress["embeddings"]) == ("evaluating", str(tmp_path / run / "embeddings"))


def test_embeddings_and_runs_of_others_get_the_same_table(checkpoint, tmp_path):
    output, runs = tmp_path / "out.json", tmp_path / "runs"
    options = {"benchmarks": ["atlas"], "languages": ["de", "en"]}
    evaluate(config_of(checkpoint, output, runs=str(runs), **options))
    ours = json.loads(output.read_text())["benchmarks"]["atlas"]
    benchmark = atlas_benchmark(["de", "en"])
    encoder, tokenizer = load_encoder(ModelConfig(checkpoint=str(checkpoint)), None, seed=0)
    ids = {
        "queries": [f"{q.language}/{q.id}" for q in benchmark.queries],
        "candidates": [c.id for c in benchmark.candidates],
    }
    for side, records, name in (
        ("query", benchmark.queries, "queries"),
        ("passage", benchmark.candidates, "candidates"),
    ):
        embedding_ND = encode(
            encoder.eval(), tokenizer, [record.text for record in records], side,
            precision="fp32", batch_tokens=16384, device=torch.device("cpu"), description="",
        ).embedding_ND  # fmt: skip
        np.save(tmp_path / f"atlas.{name}.npy", embedding_ND[::-1])
        (tmp_path / f"atlas.{name}.txt").write_text("".join(f"{identity}\n" for identity in ids[name][::-1]))
    config = config_of(checkpoint, output, **options)
    evaluate(dataclasses.replace(config, precomputed=str(tmp_path)))
    result = json.loads(output.read_text())
    assert result["source"] == str(tmp_path)
    assert result["benchmarks"]["atlas"]["multi"] == ours["multi"]
    run, qrels = read_run(runs / "atlas.trec.gz"), gzip.decompress((runs / "atlas.qrels.gz").read_bytes()).decode()
    assert len(run) == len(benchmark.queries)
    relevant = {tuple(line.split()[::2]) for line in qrels.splitlines()}
    hits = [any((query, hit) in relevant for hit, _ in listed[:10]) for query, listed in run.items()]
    table = pd.read_parquet(output.with_suffix(".parquet"))
    assert np.mean(hits) == (table[table.setting == "multi"]["rr"] >= 0.1).mean()


def test_runs_of_another_system_are_scored(checkpoint, tmp_path):
    judged_folders.miracl(tmp_path)
    output, runs = tmp_path / "out.json", tmp_path / "runs"
    config = config_of(
        checkpoint, output, benchmarks=["miracl"], root=str(tmp_path), languages=["sw", "yo"], runs=str(runs)
    )
    evaluate(config)
    ours = json.loads(output.read_text())["benchmarks"]["miracl"]
    assert sorted(path.name for path in (runs / "miracl").iterdir()) == [
        "sw-sw.qrels.gz", "sw-sw.trec.gz", "yo-yo.qrels.gz", "yo-yo.trec.gz"
    ]  # fmt: skip
    evaluate(dataclasses.replace(config, score_runs=str(runs)))
    theirs = json.loads(output.read_text())["benchmarks"]["miracl"]
    assert theirs["search"] == "runs of another system"
    assert theirs["mono"] == ours["mono"]
    (runs / "miracl/yo-yo.trec.gz").unlink()
    with pytest.raises(MixlingualError, match=r"yo-yo\.trec\.gz is missing"):
        evaluate(dataclasses.replace(config, score_runs=str(runs)))


@pytest.mark.parametrize("foreign", ["precomputed", "score_runs"])
def test_a_folder_without_what_others_made_is_named(checkpoint, tmp_path, foreign):
    judged_folders.miracl(tmp_path)
    config = config_of(
        checkpoint, tmp_path / "out.json", benchmarks=["miracl"], root=str(tmp_path), languages=["sw", "yo"]
    )
    message = r"neither the embeddings of miracl, which start with miracl.queries.npy, nor its runs, miracl/\*.trec"
    with pytest.raises(MixlingualError, match=message):
        evaluate(dataclasses.replace(config, **{foreign: str(tmp_path / "nothing")}))
    config = config_of(checkpoint, tmp_path / "out.json", benchmarks=["atlas"])
    with pytest.raises(
        MixlingualError, match=r"has no atlas.queries.npy; atlas is scored from embeddings, precomputed="
    ):
        evaluate(dataclasses.replace(config, **{foreign: str(tmp_path / "nothing")}))
