"""A step has the same gradient from any passes, kept or computed twice, in one process or several."""

import os

import pytest
import torch
from forks import on_ranks
from torch import distributed
from training_fixture import STEPS, config_of, naive_losses, prepare

from mixlingual.model.encoder import DualEncoder
from mixlingual.training import memory
from mixlingual.training.memory import activation_bytes, free_bytes, optimizer_bytes
from mixlingual.training.module import RetrieverModule, make_step

CPU = torch.device("cpu")
NEGATIVES = {"hard_negatives": 2}
EVERY_LOSS = {"symmetric": True, "matryoshka": [8], "margin": 0.1, "score_rows": 3}


def gradients(encoder, batch, config):
    """Returns (losses, gradient of every weight) of a step; the token table is a plain one here."""
    encoder.zero_grad()
    loss_B = make_step(encoder, config).gradient(batch, CPU)
    return loss_B, {name: weight.grad.clone() for name, weight in encoder.named_parameters()}


@pytest.mark.parametrize(
    ("accumulate", "pass_tokens", "loss"),
    [(1, 64, {}), (2, 100_000, {}), (2, 64, EVERY_LOSS), (1, 100_000, EVERY_LOSS)],
)
def test_the_gradient_is_that_of_one_padded_pass_over_all_pairs(accumulate, pass_tokens, loss):
    encoder, _, batches, config = prepare(
        dropout=0.0, accumulate=accumulate, pass_tokens=pass_tokens, loss=loss, batching=NEGATIVES
    )
    batch = batches[3]
    assert len(batch["negative"]) > 0
    loss_B, gradient = gradients(encoder, batch, config)
    encoder.zero_grad()
    expected_B = naive_losses(encoder, batch, config)
    expected_B.mean().backward()
    expected = {name: weight.grad for name, weight in encoder.named_parameters()}
    assert torch.allclose(loss_B, expected_B, atol=1e-4)
    assert gradient.keys() == expected.keys()
    scale = max(float(values.abs().max()) for values in expected.values())
    for name in expected:
        assert torch.allclose(gradient[name], expected[name], rtol=1e-4, atol=1e-5 * scale), name


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_passes_computed_twice_give_the_same_bits_as_those_kept(monkeypatch, precision):
    encoder, _, batches, config = prepare(precision=precision)
    with activation_bytes(encoder) as held:
        gradients(encoder, batches[0], config)
    results = []
    original = DualEncoder.embed
    for kept in (0.0, 0.9 * held.total / 2**30, 64.0):
        encoder, _, batches, config = prepare(precision=precision, activation_gib=kept)
        runs = []
        monkeypatch.setattr(
            DualEncoder, "embed", lambda *args, runs=runs: runs.append(torch.is_grad_enabled()) or original(*args)
        )
        loss_B, gradient = gradients(encoder, batches[0], config)
        results.append((kept, runs, loss_B, gradient))
    (_, cached, *_), (_, mixed, *_), (_, kept, *_) = results
    assert all(kept), "all passes keep their graph"
    assert cached.count(False) == len(kept) - 1, "all but the first, whose memory is measured, run twice"
    assert len(cached) == 2 * len(kept) - 1
    assert len(kept) < len(mixed) < len(cached), "some fit, some do not"
    for _, _, loss_B, gradient in results[1:]:
        assert torch.equal(loss_B, results[0][2])
        for name, values in gradient.items():
            assert torch.equal(values, results[0][3][name]), name


def test_dropout_is_on_and_repeats_with_the_step_alone():
    encoder, _, batches, config = prepare(dropout=0.3)
    first, again = gradients(encoder, batches[0], config), gradients(encoder, batches[0], config)
    assert torch.equal(first[0], again[0])
    other = gradients(encoder, batches[0] | {"step": torch.tensor(1)}, config)
    assert not torch.allclose(first[0], other[0], atol=1e-3), "without dropout the tests above would be vacuous"


def test_each_distinct_text_is_encoded_once(monkeypatch):
    encoder, _, batches, config = prepare(dropout=0.0)
    batch = next(batches[step] for step in range(STEPS) if len(batches[step]["passage"].unique()) < 8)
    seen = []
    original = DualEncoder.embed
    monkeypatch.setattr(
        DualEncoder, "embed", lambda self, ids, lengths: seen.append((ids, lengths)) or original(self, ids, lengths)
    )
    gradients(encoder, batch, config)
    texts = [tuple(text.tolist()) for ids, lengths in seen for text in ids.split(lengths.tolist())]
    assert len(texts) == len(set(texts)) == len(batch["lengths"])
    assert all(len(lengths) * int(lengths.max()) <= config.trainer.pass_tokens for _, lengths in seen)
    assert len(seen) > 2


def test_passes_hold_texts_of_like_length():
    encoder, _, batches, config = prepare(pass_tokens=64)
    passes = list(make_step(encoder, config)._passes(batches[0], 64))
    lengths = batches[0]["lengths"].tolist()
    assert [row for one in passes for row in range(len(lengths))[one.rows]] == list(range(len(lengths)))
    assert sum(one.padded for one in passes) < 1.2 * sum(lengths)
    assert len({one.seed for one in passes}) == len(passes)
    assert [one.tokens.stop - one.tokens.start for one in passes] == [sum(lengths[one.rows]) for one in passes]


def test_a_text_beyond_the_budget_is_a_pass_of_its_own():
    encoder, _, batches, config = prepare(dropout=0.0)
    config.trainer.pass_tokens = 1
    loss_B, _ = gradients(encoder, batches[0], config)
    assert len(list(make_step(encoder, config)._passes(batches[0], 1))) == len(batches[0]["lengths"])
    config.trainer.pass_tokens = 10_000
    assert torch.allclose(loss_B, gradients(encoder, batches[0], config)[0], atol=1e-5)


def test_what_a_forward_pass_holds_is_counted_once_without_the_weights():
    layer = torch.nn.Linear(100, 50, bias=False)
    values = torch.randn(10, 100, requires_grad=True)
    with activation_bytes(layer) as saved:
        output = layer(values)
        (output * output).sum()
    assert saved.total == 4 * (10 * 100 + 10 * 50)


def test_what_the_optimiser_will_hold_is_set_aside(monkeypatch):
    encoder, _, _, config = prepare(optim={"embeddings": "dense"})
    dense = optimizer_bytes(encoder)
    assert dense == 12 * sum(weight.numel() for weight in encoder.parameters())
    RetrieverModule(encoder, config_of(), steps=1, diverged=None)
    assert optimizer_bytes(encoder) == dense - 12 * encoder.backbone.get_input_embeddings().weight.numel()
    monkeypatch.setattr("mixlingual.training.step.free_bytes", lambda _: dense + 1000)
    encoder, _, _, config = prepare(optim={"embeddings": "dense"})
    assert make_step(encoder, config)._allowed_bytes(CPU) == 500


def test_free_memory_is_what_the_system_and_the_control_group_leave(tmp_path, monkeypatch):
    """Files in the cache of the group count as free."""
    assert 0 < free_bytes(CPU) <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name, text in {"max": "1000\n", "current": "900\n", "stat": "anon 300\ninactive_file 600\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    (tmp_path / "cgroup").write_text("0::/\n")
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUP", tmp_path / "cgroup")
    assert free_bytes(CPU) == 700


OPTIONS = {
    "dropout": 0.0,
    "accumulate": 2,
    "loss": {"symmetric": True},
    "batching": NEGATIVES,
    "optim": {"embeddings": "rows"},
}


def step_of(rank, world):
    """Returns (losses of the whole step, gradients of all that is trained, sizes of the exchanges) of one step."""
    encoder, _, batches, config = prepare(**OPTIONS)
    module = RetrieverModule(encoder, config, steps=STEPS, diverged=None)
    module.configure_optimizers()
    exchanges = []
    original = distributed.all_reduce
    distributed.all_reduce = lambda tensor: exchanges.append(tensor.numel()) or original(tensor)
    with module.gradient(batches.dealt(rank, world)[1]) as loss_N:
        held = [tensor.grad.clone() for tensor in module.optimizer.tensors_with_gradients()]
    distributed.all_reduce = original
    return loss_N, held, exchanges


def one_of_several():
    """Returns what `step_of` gives on a process of several."""
    distributed.init_process_group("gloo")
    found = step_of(distributed.get_rank(), distributed.get_world_size())
    distributed.destroy_process_group()
    return found


@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_have_the_gradient_of_one(tmp_path, world):
    loss_N, held, exchanges = step_of(0, 1)
    assert exchanges == []
    for losses, gradients, exchanged in on_ranks(tmp_path, world, one_of_several):
        torch.testing.assert_close(losses, loss_N, rtol=1e-4, atol=0)
        assert exchanged == [sum(gradient.numel() for gradient in held)], "one exchange of all gradients"
        scale = max(float(mine.abs().max()) for mine in held)
        for theirs, mine in zip(gradients, held, strict=True):
            assert torch.allclose(theirs, mine, rtol=1e-3, atol=1e-5 * scale)
