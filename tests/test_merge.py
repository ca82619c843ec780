"""Encoders merged between the two pure ratios of a sweep, from files to files."""

import json
import shutil

import pandas as pd
import pytest
import torch
from run_folder import result_of, write_plan, write_result
from safetensors.torch import load_file, save_file

from mixlingual.config.schema import (
    BatchingConfig,
    DataConfig,
    EvaluationConfig,
    MergeConfig,
    ModelConfig,
    ScratchConfig,
    TrainConfig,
)
from mixlingual.data.registry import load_benchmarks
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.evaluation.suite import evaluate_encoder
from mixlingual.grid.cell import corpus_texts
from mixlingual.grid.merging import merge_sweep
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.model.merging import MERGES
from mixlingual.records import MixlingualError
from mixlingual.runs.result import read_run

LANGUAGES = ["de", "en"]
EVALUATION = EvaluationConfig(benchmarks=["atlas"], languages=LANGUAGES, precision="fp32")


def write_end(sweep, ratio, seed, start):
    """A finished run with its encoder, of random weights that follow from `start`."""
    model = ModelConfig(name="tiny", scratch=ScratchConfig(1, 32, 2, 64, 500), query_prefix="q: ", pooling="cls")
    config = TrainConfig(
        sweep_name=sweep.name,
        run_name=f"tiny_r{ratio:g}_s{seed}",
        model=model,
        data=DataConfig(languages=LANGUAGES),
        batching=BatchingConfig(monolingual_ratio=ratio),
        evaluation=EVALUATION,
        seed=seed,
    )
    run = write_result(sweep / config.run_name, result_of(config, timings={"train": float(start)}))
    save_encoder(*load_encoder(model, lambda: corpus_texts(atlas_corpus(LANGUAGES)), seed=start), run / "model")
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep of one size with both ends of seeds 0 and 1."""
    sweep = tmp_path_factory.mktemp("multirun") / "tiny"
    for seed in (0, 1):
        for ratio in (0.0, 1.0):
            write_end(sweep, ratio, seed, start=int(10 * seed + ratio))
    return sweep


@pytest.fixture
def sweep(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "tiny")


def merge(sweep, **options):
    return merge_sweep(MergeConfig(sweep_name=sweep.name, root=str(sweep.parent), **{"threads": 1, **options}))


def stamps(sweep):
    return {path.parent.name: path.stat().st_mtime_ns for path in sweep.glob("merged/*/result.json")}


@pytest.mark.parametrize("kind", MERGES)
def test_a_merged_encoder_is_what_its_formula_says_and_is_scored_as_it_is_when_loaded(sweep, kind):
    folder = merge(sweep, kinds=[kind], shares=[0.25], save_model=True) / f"tiny_{kind}_l0.25_s0"
    mono, cross, made = (
        load_file(run / "model/model.safetensors") for run in (sweep / "tiny_r1_s0", sweep / "tiny_r0_s0", folder)
    )
    for name in cross:
        assert torch.equal(made[name], MERGES[kind](mono[name], cross[name], 0.25)), name
    encoder, tokenizer = load_encoder(
        ModelConfig(checkpoint=str(folder / "model"), pooling="cls", query_prefix="q: "), None, seed=0
    )
    scores = evaluate_encoder(encoder, tokenizer, load_benchmarks(EVALUATION), EVALUATION, torch.device("cpu"))
    result = read_run(folder)
    assert json.loads(json.dumps(scores.benchmarks)) == result.benchmarks
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "queries.parquet"), scores.per_query, check_dtype=False)
    assert result.config["batching"]["monolingual_ratio"] == 0.25
    assert result.data == {"atlas": load_benchmarks(EVALUATION)[0].fingerprint}


def test_every_size_seed_kind_and_share_is_merged_and_no_encoder_is_kept_unasked(sweep):
    merge(sweep)
    wanted = {f"tiny_{kind}_l{share}_s{seed}" for kind in MERGES for share in (0.25, 0.5, 0.75) for seed in (0, 1)}
    assert stamps(sweep).keys() == wanted
    assert not [*sweep.glob("merged/*/model")]


def test_what_is_merged_stays_until_its_encoders_change(sweep, caplog):
    only = {"kinds": ["linear"], "shares": [0.5]}
    merge(sweep, **only)
    first = stamps(sweep)
    merge(sweep, **{**only, "shares": [0.5, 0.75]})
    assert {name: stamps(sweep)[name] for name in first} == first
    assert len(stamps(sweep)) == 4
    before = stamps(sweep)
    weights = sweep / "tiny_r1_s0/model/model.safetensors"
    save_file({name: 2 * part for name, part in load_file(weights).items()}, weights, metadata={"format": "pt"})
    merge(sweep, **only)
    changed = {name for name, stamp in stamps(sweep).items() if before[name] != stamp}
    assert changed == {"tiny_linear_l0.5_s0"}
    assert "was merged from other encoders" in caplog.text
    torn = sweep / "merged/tiny_linear_l0.5_s1/result.json"
    torn.write_text(torn.read_text()[:100])
    merge(sweep, **only)
    assert read_run(torn.parent)


def test_a_pair_that_cannot_be_merged_is_named_and_ends_no_other(sweep, caplog):
    shutil.rmtree(sweep / "tiny_r0_s0/model")
    with pytest.raises(MixlingualError, match=r"1 of 2 pairs .*: tiny, seed 0"):
        merge(sweep, kinds=["linear"], shares=[0.5])
    assert "tiny_r0_s0 has kept no encoder; move" in caplog.text
    assert "trainer.save_model=true" in caplog.text
    assert stamps(sweep).keys() == {"tiny_linear_l0.5_s1"}


def _torn(run):
    (run / "model/model.safetensors").write_bytes(b"torn")


def _longer(run):
    path, name = run / "model/model.safetensors", "embeddings.position_embeddings.weight"
    weights = load_file(path)
    weights[name] = torch.cat([weights[name]] * 2)
    save_file(weights, path, metadata={"format": "pt"})
    config = json.loads((run / "model/config.json").read_text()) | {"max_position_embeddings": len(weights[name])}
    (run / "model/config.json").write_text(json.dumps(config))


def _other_prefix(run):
    path = run / "model/mixlingual.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"query_prefix": "other: "}))


def _other_benchmark(run):
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": {"atlas": "0123456789abcdef"}}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_torn, "cannot be read as a Hugging Face encoder"),
        (_longer, "differ in embeddings.position_embeddings.weight"),
        (_other_prefix, "have other tokenizers, prefixes or length limits"),
        (_other_benchmark, "atlas of tiny_r0_s0: the benchmark is not what the run was evaluated on"),
    ],
)
def test_whatever_is_wrong_with_a_pair_the_others_are_merged(sweep, caplog, spoil, said):
    spoil(sweep / "tiny_r0_s0")
    with pytest.raises(MixlingualError, match="tiny, seed 0"):
        merge(sweep, kinds=["linear"], shares=[0.5])
    assert said in caplog.text
    assert stamps(sweep).keys() == {"tiny_linear_l0.5_s1"}


def test_a_seed_without_one_of_the_ends_is_named_and_a_sweep_without_pairs_refused(sweep, caplog):
    shutil.rmtree(sweep / "tiny_r1_s0")
    merge(sweep, kinds=["linear"], shares=[0.5])
    assert "tiny, seed 0: there is no finished run at ratio 1" in caplog.text
    shutil.rmtree(sweep / "tiny_r0_s1")
    with pytest.raises(MixlingualError, match="no size and seed has finished runs at ratio 0 and at ratio 1"):
        merge(sweep)
    with pytest.raises(MixlingualError, match="does not exist"):
        merge(sweep.with_name("other"))


def test_a_name_that_would_leave_the_folder_is_refused(sweep):
    for run in sweep.glob("*_s0"):
        result = json.loads((run / "result.json").read_text())
        result["config"]["model"]["name"] = "../../tiny"
        (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(MixlingualError, match="1 of 2 pairs"):
        merge(sweep, kinds=["linear"], shares=[0.5])
    assert stamps(sweep).keys() == {"tiny_linear_l0.5_s1"}


def test_a_sweep_is_read_as_before_its_merges(sweep):
    from mixlingual.analysis.read.collect import read_sweep

    write_plan(sweep, [("tiny_r0_s0", "tiny", 0.0, 0)])
    before = [run.name for run in read_sweep(sweep).runs]
    merge(sweep, kinds=["linear"], shares=[0.5], save_model=True)
    assert [run.name for run in read_sweep(sweep).runs] == before
