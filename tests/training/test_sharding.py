"""Encoders in parts over several processes are trained as by one, resumed, and whole in the end."""

import json
import os
import subprocess
import sys

import pytest
import torch
from forks import on_ranks
from torch.distributed.tensor import DTensor
from training_fixture import interrupted, prepare, train, weights
from transformers import AutoModel, XLMRobertaXLConfig

from mixlingual.config.schema import LoraConfig, ScratchConfig
from mixlingual.model.tokenizer import train_tokenizer
from mixlingual.training import sharding
from mixlingual.training.sharding import ShardedStep
from mixlingual.training.step import ContrastiveStep


def sharded(dropout=0.0, *, world=2, rank=0, **options):
    """Returns (encoder, data, config) of a run with the encoder cut over the processes, and LoRA if it has a rank."""
    if world > 1:
        options["strategy"] = "shard"
    encoder, data, _, config = prepare(
        dropout,
        model={
            "learn_temperature": False,
            "lora": LoraConfig(rank=rank),
            "scratch": ScratchConfig(2, 16, 2, 32, 400, dropout),
        },
        optim={"embeddings": "dense"},
        devices=world,
        **options,
    )
    return encoder, data, config


def sharded_run(folder, **options):
    """Returns (losses of all steps, weights of the encoder if it is whole, own passes of each step) of a run."""
    encoder, data, config = sharded(**options)
    counts = []
    original = ContrastiveStep._passes

    def counting(self, batch, device):
        own = original(self, batch, device)
        counts.append(len(own))
        return own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContrastiveStep, "_passes", counting)
        losses = train(folder, encoder, data, config).losses
    whole = not any(isinstance(weight, DTensor) for weight in encoder.parameters())
    return losses, weights(encoder) if whole else None, counts


@pytest.mark.parametrize(
    "options",
    [{"gradient_checkpointing": True}, {"activation_gib": 0.0, "rank": 4}],
    ids=["passes kept, layers computed again", "passes computed twice, adapters"],
)
def test_a_cut_encoder_trains_as_a_whole_one_does(tmp_path, options):
    losses, end, _ = sharded_run(tmp_path / "one", world=1, **options)
    first, other = on_ranks(tmp_path, 2, lambda: sharded_run(tmp_path / "all", **options))
    for seen, _, counts in (first, other):
        assert seen == pytest.approx(losses, rel=1e-4)
        assert max(counts) > 1
    assert first[2] != other[2], "the processes cut their texts into different numbers of passes"
    torch.testing.assert_close(first[1], end, rtol=0, atol=1e-4)
    assert other[1] is None


@pytest.mark.parametrize("checkpointing", [False, True])
def test_in_bf16_layers_are_gathered_so_and_the_numbers_are_those_of_replicated_processes(tmp_path, checkpointing):
    options = {"precision": "bf16-mixed", "gradient_checkpointing": checkpointing, "activation_gib": 0.0}

    def replicated():
        encoder, data, config = sharded(**options)
        config.trainer.strategy = "replicate"
        return train(tmp_path / "replicated", encoder, data, config).losses

    def cut():
        seen = {torch.nn.Linear: set(), torch.nn.LayerNorm: set()}
        with pytest.MonkeyPatch.context() as patch:
            for kind, dtypes in seen.items():
                computed = kind.forward

                def noting(self, values, dtypes=dtypes, computed=computed):
                    dtypes.add(self.weight.dtype)
                    return computed(self, values)

                patch.setattr(kind, "forward", noting)
            losses, _, _ = sharded_run(tmp_path / "all", **options)
        return losses, list(seen.values())

    whole, _ = on_ranks(tmp_path, 2, replicated)
    for losses, (linear, norm) in on_ranks(tmp_path, 2, cut):
        assert losses == pytest.approx(whole, rel=2e-3)
        assert (linear, norm) == ({torch.bfloat16}, {torch.float32})


def test_an_interrupted_run_ends_where_a_whole_one_does(tmp_path):
    options = {"dropout": 0.1, "rank": 4}

    def one_process():
        whole = sharded_run(tmp_path / "whole", **options)
        with interrupted(7):
            sharded_run(tmp_path / "cut", checkpoint_steps=3, **options)
        return whole, sharded_run(tmp_path / "cut", checkpoint_steps=3, **options)

    ((losses, end, _), (resumed_losses, resumed_end, _)), other = on_ranks(tmp_path, 2, one_process)
    assert resumed_losses == other[0][0] == other[1][0] == losses
    assert torch.equal(resumed_end, end)


@pytest.mark.parametrize("kept_bytes", [None, 0])
def test_passes_that_fill_up_add_nothing(monkeypatch, kept_bytes):
    monkeypatch.setattr(sharding, "_largest", lambda numbers, _: [*numbers, 64, 64])
    monkeypatch.setattr(sharding, "least", lambda number, _: number)
    gradients = []
    for kind in (ContrastiveStep, ShardedStep):
        encoder, _, batches, config = prepare(dropout=0.1)
        step = kind(encoder, config.loss, parts=1, pass_tokens=64, kept_bytes=kept_bytes, bf16=False, seed=0)
        for batch in (batches[0], batches[1]):
            step.gradient(batch, torch.device("cpu"))
        gradients.append(torch.cat([weight.grad.flatten() for weight in encoder.parameters()]))
    assert torch.equal(*gradients)


def test_the_shipped_experiment_runs_on_a_tiny_encoder(tmp_path):
    """Its own settings, but for the device, the budget, and the data: train, save and evaluate."""
    tokenizer = train_tokenizer(
        ["Which city is the capital of the country?", "Die Hauptstadt ist eine Stadt."] * 3, 300
    )
    geometry = XLMRobertaXLConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=130, type_vocab_size=1, pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModel.from_config(geometry).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    launched = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "mixlingual.train", "experiment=xlmr_xl_sharded", "model.checkpoint=tiny", "data=atlas",
         "evaluation=atlas", "data.languages=[de,en]", "evaluation.languages=[de,en]", "evaluation.precision=fp32",
         "trainer.accelerator=cpu", "trainer.devices=2", "trainer.pairs=256", "trainer.workers=0",
         "optim.learning_rate=1e-3", "sweep_name=dry", "run_name=run"],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr[-4000:]
    result = json.loads((tmp_path / "multirun/dry/run/result.json").read_text())
    assert result["training"]["steps"] == 256 // result["config"]["batching"]["batch_size"]
    options = result["config"]["trainer"]
    assert (options["strategy"], options["gradient_checkpointing"]) == ("shard", True)
    assert 0 < result["benchmarks"]["atlas"]["cross"]["map"] < 1
    start, end = (
        AutoModel.from_pretrained(tmp_path / folder, add_pooling_layer=False)
        for folder in ("tiny", "multirun/dry/run/model")
    )
    moved = [name for (name, old), new in zip(start.named_parameters(), end.parameters()) if not torch.equal(old, new)]
    assert {name.partition(".")[0] for name in moved} == {"embeddings", "encoder"}
