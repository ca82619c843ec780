"""A training step waits for a GPU once, and never in a pass; the GPU is played by a CPU that counts."""

from itertools import pairwise
from types import SimpleNamespace
from unittest.mock import PropertyMock

import pytest
import torch
from pretend_gpu import GPU, OnGpu, pretend_gpu, to_gpu
from torch.nn import functional
from training_fixture import prepare

from mixlingual.config.schema import LoraConfig, ScratchConfig
from mixlingual.model import attention
from mixlingual.model import encoder as encoder_module
from mixlingual.training.module import RetrieverModule
from mixlingual.training.step import ContrastiveStep

CASES = {
    "padded": {"dropout": 0.1},
    "packed": {"precision": "bf16-mixed"},
    "computed twice": {"activation_gib": 0.0, "precision": "bf16-mixed", "dropout": 0.1},
    "negatives in parts": {"accumulate": 2, "batching": {"hard_negatives": 2}, "loss": {"symmetric": True}},
    "dense": {"optim": {"embeddings": "dense", "gradient_clip": None}},
    "adapters": {"model": {"lora": LoraConfig(rank=4)}, "precision": "bf16-mixed"},
}


def attend_by_text(query_THD, key_THD, value_THD, ends, longest, scale, dropout, window):
    """Attends text by text; where texts end is looked up behind the GPU's back, as a kernel does."""
    assert (dropout, window) == (0.0, None)
    ends = ends.inner.tolist()
    outputs = []
    for start, stop in pairwise(ends):
        query, key, value = (part[start:stop].transpose(0, 1) for part in (query_THD, key_THD, value_THD))
        outputs.append(functional.scaled_dot_product_attention(query, key, value, scale=scale).transpose(0, 1))
    return torch.cat(outputs)


def stepped(monkeypatch, case, pass_tokens, *, gpu):
    """Takes two steps; returns (what the second gave, its counts on the GPU, passes of both)."""
    options = {"dropout": 0.0} | CASES[case]
    dropout = options["dropout"]
    options["model"] = {"scratch": ScratchConfig(2, 16, 2, 32, 400, dropout)} | options.get("model", {})
    encoder, _, batches, config = prepare(pass_tokens=pass_tokens, **options)
    passes = []
    run = ContrastiveStep._run
    monkeypatch.setattr(ContrastiveStep, "_run", lambda *a, **k: passes.append(1) or run(*a, **k))
    monkeypatch.setattr(RetrieverModule, "global_step", 0)
    monkeypatch.setattr(RetrieverModule, "optimizers", lambda self: self.optimizer)
    monkeypatch.setattr(RetrieverModule, "lr_schedulers", lambda _: SimpleNamespace(step=lambda: None))
    monkeypatch.setattr(RetrieverModule, "device", PropertyMock(return_value=GPU if gpu else torch.device("cpu")))

    def steps(pinned):
        module = RetrieverModule(encoder, config, steps=2, diverged=None)
        module.configure_optimizers()
        module.training_step(pinned(batches[0]), 0)
        if counts:
            counts.reset()
        return module.training_step(pinned(batches[1]), 1)

    if not gpu:
        counts = None
        found = steps(lambda batch: batch)
    else:
        kernel = attend_by_text if case == "packed" else None
        monkeypatch.setattr(attention, "varlen_kernel", lambda *_: kernel)
        monkeypatch.setattr(encoder_module, "varlen_kernel", lambda *_: kernel)
        with pretend_gpu() as counts:
            to_gpu(encoder)
            found = steps(lambda batch: {name: values.pin_memory() for name, values in batch.items()})
    monkeypatch.undo()
    return found, counts, len(passes)


@pytest.mark.parametrize("case", CASES)
def test_a_step_waits_once_whatever_the_number_of_passes(monkeypatch, case):
    few, few_counts, few_passes = stepped(monkeypatch, case, 4096, gpu=True)
    many, many_counts, many_passes = stepped(monkeypatch, case, 48, gpu=True)
    assert many_passes > few_passes + 4
    for counts in (few_counts, many_counts):
        assert sum(counts.waits.values()) == 1, counts.waits
        assert "module.py" in next(iter(counts.waits)), "where losses and the norm are read back"
    assert few_counts.sent == many_counts.sent, "no pass sends anything"
    if not CASES[case].get("dropout"):
        expected, _, _ = stepped(monkeypatch, case, 48, gpu=False)
        tolerance = 0.05 if "precision" in CASES[case] else 1e-3
        for found in (few, many):
            assert torch.allclose(found["loss_N"], expected["loss_N"], rtol=tolerance, atol=tolerance)
            assert found["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=tolerance)


def test_waiting_is_counted():
    """The test above would pass if the pretended GPU saw nothing."""
    with pretend_gpu() as counts:
        values = OnGpu(torch.arange(6.0))
        for wait in (
            lambda: float(values.sum()),
            lambda: values.tolist(),
            lambda: values.cpu(),
            lambda: values[values > 2],
            lambda: values.nonzero(),
            lambda: torch.ones(3).to(GPU),
            lambda: torch.ones(3).to(GPU, non_blocking=True),
            lambda: torch.arange(6, device=GPU).repeat_interleave(torch.ones(6, dtype=torch.long, device=GPU)),
        ):
            counts.reset()
            wait()
            assert sum(counts.waits.values()) == 1
        counts.reset()
        torch.ones(3).pin_memory().to(GPU, non_blocking=True)
        assert not counts.waits
        assert counts.sent == 1
        with pytest.raises(AssertionError, match="mixes the GPU"):
            values + torch.ones(6)
