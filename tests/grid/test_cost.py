"""A preflight plans for a device that need not be there, counts what is missing, and says what a job must be given."""

import json
from contextlib import chdir

import pytest
from hydra import compose, initialize_config_dir
from transformers import ModernBertConfig, XLMRobertaConfig, XLMRobertaXLConfig

from mixlingual import preflight as door
from mixlingual.config.checks import to_config
from mixlingual.config.devices import DEVICES
from mixlingual.config.identity import config_hash
from mixlingual.config.schema import LoraConfig, ModelConfig, OptimConfig, TrainConfig, TrainerConfig
from mixlingual.grid import compose as compose_module
from mixlingual.grid.compose import compose_runs
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.training.footprint import footprint
from mixlingual.training.forecast import forecast

BIG = {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1}
LADDER = {
    "base": XLMRobertaConfig(
        hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, **BIG
    ),
    "large": XLMRobertaConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, **BIG
    ),
    "xl": XLMRobertaXLConfig(),
}
PAPER_STEP = 9_452
"""So many tokens have 100 pairs of questions and paragraphs."""
BF16 = {"precision": "bf16-mixed"}


@pytest.mark.parametrize(
    ("size", "device", "pass_tokens"),
    [("base", "a100-80gb", 32_768), ("large", "a100-80gb", 16_384), ("xl", "a100-80gb", 1024), ("xl", "h200", 4096)],
)
def test_the_ladder_of_the_paper_fits(size, device, pass_tokens):
    config = TrainConfig(trainer=TrainerConfig(**BF16))
    for step_tokens in (PAPER_STEP, 41 * PAPER_STEP):
        takes = forecast(footprint(LADDER[size], config), config, DEVICES[device], step_tokens, gpu=True)
        assert takes.fits(DEVICES[device])
        assert takes.passes.pass_tokens == pass_tokens


def test_a_footprint_by_hand():
    size = footprint(LADDER["xl"], TrainConfig(trainer=TrainerConfig(**BF16)))
    hidden, layers = 2560, 36
    linear = layers * (4 * hidden * (hidden + 1) + 2 * hidden * 4 * hidden + 5 * hidden)
    assert (round(size.total / 1e6), size.table, size.cast) == (3476, 250_880 * hidden, linear)
    assert size.token_bytes == pytest.approx(3.8e6, rel=0.01), "a copy of the weights in bf16 does not count"


@pytest.mark.parametrize(
    ("change", "fewer"),
    [
        ({"trainer": TrainerConfig(gradient_checkpointing=True, **BF16)}, "token_bytes"),
        ({"model": ModelConfig(lora=LoraConfig(rank=8))}, "trained"),
        ({"model": ModelConfig(train_embeddings=False)}, "table"),
        ({"trainer": TrainerConfig()}, "cast"),
    ],
)
def test_options_that_spare_memory_show(change, fewer):
    plain, sparing = (
        footprint(LADDER["large"], TrainConfig(**({"trainer": TrainerConfig(**BF16)} | options)))
        for options in ({}, change)
    )
    assert getattr(sparing, fewer) < getattr(plain, fewer) / 3


def test_layers_are_counted_one_by_one():
    """Where layers differ only by their number, all of them hold as much as the count says."""
    small = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 90, "pad_token_id": 1}
    modern = ModernBertConfig(
        num_hidden_layers=5, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, **small
    )
    six = ModernBertConfig(num_hidden_layers=6, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, **small)
    config = TrainConfig(trainer=TrainerConfig(**BF16))
    one, more = footprint(modern, config), footprint(six, config)
    assert more.token_bytes - one.token_bytes == pytest.approx(one.token_bytes / 5, rel=0.2)
    assert more.total - one.total == one.layer


def test_sharding_and_dense_tables_change_what_is_fixed():
    config = TrainConfig(trainer=TrainerConfig(**BF16))
    size = footprint(LADDER["xl"], config)
    dense = TrainConfig(trainer=TrainerConfig(**BF16), optim=OptimConfig(embeddings="dense"))
    shared = TrainConfig(
        trainer=TrainerConfig(strategy="shard", devices=4, **BF16), optim=OptimConfig(embeddings="dense")
    )
    alone, whole, quarter = (
        forecast(size, each, DEVICES["a100-80gb"], PAPER_STEP, gpu=True).fixed for each in (config, dense, shared)
    )
    assert whole - alone == 4 * size.table
    assert quarter < whole / 2.5


@pytest.mark.parametrize(
    "words",
    [
        ["sweep=paper", "data.root=x", "seed=0,1", "batching.monolingual_ratio=0.5", "model=xlmr_base,labse"],
        [
            "sweep=size_x_ratio",
            "model=scratch_xs,scratch_s",
            "batching.monolingual_ratio=0,1",
            "seed=1",
            "optim=finetune",
            "+data.sources.a.files=[x]",
        ],
        ["experiment=smoke", "batching.monolingual_ratio=0,1", "run_name='x${seed}_${batching.monolingual_ratio}'"],
        ["batching=x_y", "batching.batch_size=8,16", "batching=hybrid", "run_name='b${batching.batch_size}'"],
    ],
)
def test_cells_are_composed_as_hydra_composes_each(words, monkeypatch):
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        found = compose_runs(words)
        monkeypatch.setattr(compose_module, "_composer", lambda primary, _: lambda cell: compose(primary, list(cell)))
        assert found == compose_runs(words)
        assert len(found) > 1


def checked(capsys, folder, *words):
    """Returns what a preflight prints."""
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["preflight", *words])
        door.main()
    return capsys.readouterr().out


TINY = (
    "model=scratch_xs",
    "model.scratch.vocabulary=400",
    "evaluation=none",
    "sweep_name=p",
    "trainer.accelerator=gpu",
)


def test_without_a_gpu_the_usual_one_is_planned_for(capsys, tmp_path):
    said = checked(capsys, tmp_path, *TINY, "trainer.steps=null", "trainer.pairs=64000", "trainer.precision=auto")
    assert "device    a100-80gb (312 TFLOP/s in bf16, 19.5 in fp32, 80 GiB)\n" in said
    assert "precision bf16-mixed to train, fp32 to evaluate\n" in said
    assert "at 30% of that" in said


def test_a_folder_of_a_checkpoint_that_is_not_there_is_named(capsys, tmp_path, caplog):
    with pytest.raises(SystemExit):
        checked(capsys, tmp_path, *TINY, "model.layers=null", "model.checkpoint=multirun/ladder/student/model")
    assert "model.checkpoint=multirun/ladder/student/model: there is no such folder" in caplog.text


def test_the_cluster_names_the_device_and_less_than_a_job_needs_is_said(capsys, tmp_path):
    words = (*TINY, "hydra/launcher=submitit_slurm", "cluster=slurm", "trainer.steps=null", "trainer.pairs=64000")
    said = checked(capsys, tmp_path, *words, "hydra.launcher.gpu=l4", "hydra.launcher.mem_gb=1")
    assert "device    l4 (" in said
    assert "          the cluster's preset has mem_gb=1: raise it\n" in said
    assert "the cluster's preset has" not in checked(capsys, tmp_path, *words, "preflight.device=h100")


def test_what_is_done_is_not_counted(capsys, tmp_path, monkeypatch):
    words = (*TINY, "seed=0,1,2,3", "trainer.steps=10", "preflight.device=h100")
    whole = checked(capsys, tmp_path, *words)
    assert "pairs     2,560 to train on\n" in whole
    monkeypatch.setattr(door, "states_of", lambda _, names, __: [Found(name.endswith(("s1", "s2"))) for name in names])
    left = checked(capsys, tmp_path, *words)
    assert "all valid; 2 are done and not counted below:\n" in left
    assert "pairs     1,280 to train on\n" in left


class Found:
    """Stands for the state of a run."""

    def __init__(self, done):
        self.state, self.words = ("done", "done") if done else ("planned", "planned")


def test_outlines_are_kept_and_a_damaged_one_is_made_anew(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "cache"))
    words = (*TINY, "trainer.steps=10", "preflight.device=h100")
    first = checked(capsys, tmp_path, *words)
    (kept,) = (tmp_path / "cache").glob("outlines-*/*.json")
    content = json.loads(kept.read_text())
    content["query_tokens"] *= 2
    kept.write_text(json.dumps(content))
    assert checked(capsys, tmp_path, *words) != first, "it was read"
    kept.write_text('{"query_tokens": 3}')
    assert checked(capsys, tmp_path, *words) == first


def test_a_model_too_large_for_its_device_is_named(capsys, tmp_path):
    geometry = ("model.scratch.hidden=8192", "model.scratch.heads=64", "model.scratch.intermediate=32768")
    said = checked(
        capsys, tmp_path, *TINY, *geometry, "model.scratch.layers=12", "trainer.steps=1", "preflight.device=l4"
    )
    assert "DOES NOT FIT: see docs/large_models.md\n" in said


def test_options_of_a_preflight_do_not_name_a_run():
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        plain, planned = (to_config(TrainConfig, compose("train", words)) for words in ([], ["preflight.device=l4"]))
    assert config_hash(plain) == config_hash(planned)
