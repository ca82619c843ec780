"""A step has the same gradient from any passes, kept or computed twice, in one process or several."""

import os
from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from forks import on_ranks
from torch import distributed
from torch.utils._python_dispatch import TorchDispatchMode
from training_fixture import STEPS, config_of, naive_losses, prepare

from mixlingual.config.schema import LoraConfig
from mixlingual.model.encoder import DualEncoder
from mixlingual.records import MixlingualError
from mixlingual.training import memory
from mixlingual.training import step as step_module
from mixlingual.training.memory import free_bytes, held_bytes, optimizer_bytes
from mixlingual.training.module import RetrieverModule, make_step
from mixlingual.training.passes import PassPlan, plan_passes

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


def same_gradient(found, expected):
    assert found.keys() == expected.keys()
    scale = max(float(values.abs().max()) for values in expected.values())
    return all(torch.allclose(found[name], expected[name], rtol=1e-4, atol=1e-5 * scale) for name in expected)


def test_groups_of_a_batch_are_its_micro_batches_and_a_mask_of_blocks():
    """Three ways to the gradient of 8 pairs that see 3 other passages each."""
    encoder, _, batches, config = prepare(0.0, batching={"negatives": 3})
    batch = batches[0]
    loss_B, gradient = gradients(encoder, batch, config)
    _, _, others, accumulated = prepare(0.0, accumulate=2)
    assert all(torch.equal(batch[name], others[0][name]) for name in batch)
    other_B, other = gradients(encoder, others[0], accumulated)
    assert torch.equal(loss_B, other_B)
    assert all(torch.equal(gradient[name], other[name]) for name in gradient)
    encoder.zero_grad()
    whole = batches._sampler.batch(0)
    query_BD, passage_BD = masked_embeddings(encoder, batch)
    score_BB = query_BD @ passage_BD.T / encoder.temperature
    item_B = torch.from_numpy(whole.item_B)
    left_out_BB = (item_B[:, None] == item_B) & ~torch.eye(8, dtype=torch.bool)
    left_out_BB |= (torch.arange(8)[:, None] // 4) != (torch.arange(8) // 4)
    expected_B = torch.nn.functional.cross_entropy(
        score_BB.masked_fill(left_out_BB, -torch.inf), torch.arange(8), reduction="none"
    )
    expected_B.mean().backward()
    assert torch.allclose(loss_B, expected_B, atol=1e-4)
    assert same_gradient(gradient, {name: weight.grad for name, weight in encoder.named_parameters()})


def masked_embeddings(encoder, batch):
    """Returns embeddings of questions and passages of a batch, each text by itself."""
    texts = batch["token_ids"].split(batch["lengths"].tolist())
    embedding = [encoder(ids[None].long(), torch.ones_like(ids[None]).long())[0] for ids in texts]
    return (torch.stack([embedding[place] for place in batch[side].tolist()]) for side in ("query", "passage"))


@pytest.mark.parametrize("more", [{}, {"hard_negatives": 2}])
def test_passages_of_other_items_are_candidates_like_those_of_the_batch(more):
    encoder, _, batches, config = prepare(0.0, batching={"negatives": 11, "monolingual_ratio": 1.0, **more})
    batch = batches[0]
    loss_B, gradient = gradients(encoder, batch, config)
    encoder.zero_grad()
    expected_B = naive_losses(encoder, batch, config)
    expected_B.mean().backward()
    assert torch.allclose(loss_B, expected_B, atol=1e-4)
    assert same_gradient(gradient, {name: weight.grad for name, weight in encoder.named_parameters()})
    plain = prepare(0.0, batching={"monolingual_ratio": 1.0, **more})[2][0]
    assert len(batch["negative"]) == len(plain["negative"]) + 4


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_passes_computed_twice_give_the_same_bits_as_those_kept(monkeypatch, precision):
    encoder, _, batches, _ = prepare(precision=precision)
    monkeypatch.setattr(step_module, "MEASURED_TOKENS", 64)
    results = []
    original = DualEncoder.embed
    all_passes = held_bytes(lambda: encoder.embed(batches[0]["token_ids"], batches[0]["lengths"]))
    for kept in (0.0, 0.5 * all_passes / 2**30, 64.0):
        encoder, _, batches, config = prepare(precision=precision, activation_gib=kept)
        runs = []
        monkeypatch.setattr(
            DualEncoder, "embed", lambda *args, runs=runs: runs.append(torch.is_grad_enabled()) or original(*args)
        )
        loss_B, gradient = gradients(encoder, batches[0], config)
        results.append((kept, runs[2:], loss_B, gradient))
    (_, cached, *_), (_, mixed, *_), (_, kept, *_) = results
    assert all(kept), "all passes keep their graph"
    assert cached == [False] * len(kept) + [True] * len(kept), "all run twice"
    assert len(kept) < len(mixed) < len(cached), "some fit, some do not"
    for _, _, loss_B, gradient in results[1:]:
        assert torch.equal(loss_B, results[0][2])
        for name, values in gradient.items():
            assert torch.equal(values, results[0][3][name]), name


@pytest.mark.parametrize("rank", [0, 4])
def test_weights_are_cast_once_a_step_and_gradients_keep_their_bits(monkeypatch, rank):
    """Autocast alone would cast them in every pass, the frozen ones beside adapters too."""
    options = {"precision": "bf16-mixed", "activation_gib": 0.0, "model": {"lora": LoraConfig(rank)} if rank else {}}
    results, casts = [], []
    for once in (True, False):
        encoder, _, batches, config = prepare(**options)
        linear = {name for name, part in encoder.named_modules() if isinstance(part, torch.nn.Linear)}
        shapes = {part.weight.shape for part in encoder.modules() if isinstance(part, torch.nn.Linear)}
        if not once:
            monkeypatch.setattr(step_module, "cast_once", lambda *_, **__: nullcontext())
        with Casts(shapes) as counted:
            encoder.zero_grad()
            make_step(encoder, config).gradient(batches[0], CPU)
        casts.append(counted.total)
        results.append({name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None})
        assert not any("weight" in vars(encoder.get_submodule(name)) for name in linear), "the weights are back"
    assert casts[0] == len(linear) < casts[1] / 4
    assert results[0].keys() == results[1].keys()
    assert all(torch.equal(values, results[1][name]) for name, values in results[0].items())


class Casts(TorchDispatchMode):
    """Counts copies to bfloat16 of tensors that have the shape of a weight."""

    def __init__(self, shapes):
        super().__init__()
        self.shapes, self.total = shapes, 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function is torch.ops.aten._to_copy.default and options.get("dtype") == torch.bfloat16:
            self.total += arguments[0].shape in self.shapes
        return function(*arguments, **(options or {}))


def test_out_of_memory_halves_the_passes_and_says_so_once(monkeypatch, caplog):
    """A pass above 40 tokens fails, first while it is computed, later while its gradient is."""
    encoder, _, batches, config = prepare(dropout=0.0)
    expected_B, expected = gradients(encoder, batches[0], config)
    backward, embed = torch.autograd.backward, DualEncoder.embed
    sizes = []

    def fails_late(output, *arguments):
        backward(output, *arguments)
        if arguments and max(sizes) > 40:  # the gradient of a pass
            sizes.clear()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    def fails_early(self, ids, lengths, longest):
        sizes.append(len(lengths) * longest)
        if sizes[-1] > 80:
            sizes.clear()
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return embed(self, ids, lengths, longest)

    monkeypatch.setattr(torch.autograd, "backward", fails_late)
    monkeypatch.setattr(DualEncoder, "embed", fails_early)
    monkeypatch.setattr(step_module, "MEASURED_TOKENS", 40)
    config.trainer.pass_tokens = 160
    encoder.zero_grad()
    step = make_step(encoder, config)
    loss_B = step.gradient(batches[0], CPU)
    assert step.pass_tokens == 40
    step.gradient(batches[1], CPU)
    assert [record.message[:17] for record in caplog.records if record.levelname == "WARNING"] == ["memory ran out (["]
    encoder.zero_grad()
    step.gradient(batches[0], CPU)
    assert torch.allclose(loss_B, expected_B, atol=1e-5)
    for name, weight in encoder.named_parameters():
        assert torch.allclose(weight.grad, expected[name], rtol=1e-4, atol=1e-4), name


def test_where_not_even_one_text_fits_the_next_step_is_said(monkeypatch):
    encoder, _, batches, config = prepare()

    def fails(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    monkeypatch.setattr(DualEncoder, "embed", fails)
    with pytest.raises(MixlingualError, match=r"Tried to allocate 1 GiB\nSet trainer\.pass_tokens=64 and"):
        make_step(encoder, config).gradient(batches[0], CPU)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    encoder, _, batches, config = prepare()
    monkeypatch.setattr(DualEncoder, "embed", lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        make_step(encoder, config).gradient(batches[0], CPU)


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
        DualEncoder,
        "embed",
        lambda self, ids, lengths, *more: seen.append((ids, lengths)) or original(self, ids, lengths, *more),
    )
    gradients(encoder, batch, config)
    del seen[:2]  # the measurement
    texts = [tuple(text.tolist()) for ids, lengths in seen for text in ids.split(lengths.tolist())]
    assert len(texts) == len(set(texts)) == len(batch["lengths"])
    assert all(len(lengths) * int(lengths.max()) <= config.trainer.pass_tokens for _, lengths in seen)
    assert len(seen) > 2


@pytest.mark.parametrize(("most", "packed"), [(64, False), (100_000, False), (300, True)])
def test_passes_hold_texts_of_like_length(monkeypatch, most, packed):
    monkeypatch.setattr(step_module, "FEW_TOKENS", 8)
    monkeypatch.setattr(DualEncoder, "packs", lambda *_: packed)
    encoder, _, batches, config = prepare(batching={"batch_size": 40})
    passes = list(make_step(encoder, config)._cut(batches[0], CPU, most))
    lengths = batches[0]["lengths"].tolist()
    assert [row for one in passes for row in range(len(lengths))[one.rows]] == list(range(len(lengths)))
    assert len({one.seed for one in passes}) == len(passes)
    for one in passes:
        real = sum(lengths[one.rows])
        assert one.tokens.stop - one.tokens.start == real
        assert one.longest == lengths[one.rows.start]
        assert one.size == real if packed else one.longest * len(lengths[one.rows])
        assert one.size <= most
        assert one.size - real <= max(0.1 * one.size, 8)
    assert len(passes) == (-(-sum(lengths) // most) if packed else len(passes)) > 1
    for one, after in pairwise(passes):
        grown = sum(lengths[one.rows]) + after.longest
        padded = grown if packed else one.longest * (len(lengths[one.rows]) + 1)
        assert padded > most or padded - grown > max(0.1 * padded, 8), "no pass ends before it must"


def test_padding_of_a_few_tokens_is_not_worth_a_pass():
    encoder, _, _, config = prepare()
    batch = {"lengths": torch.tensor([20, 20, 10, 10, 4, 4]), "step": torch.tensor(0)}
    assert [one.size for one in make_step(encoder, config)._cut(batch, CPU, 2048)] == [120]
    batch["lengths"] = torch.tensor([20, 20, 10, 10, 4, 4, 4, 4])
    assert [one.size for one in make_step(encoder, config)._cut(batch, CPU, 2048)] == [120, 8]


GIB = 2**30


@pytest.mark.parametrize(
    ("device", "given", "found"),
    [
        ("cuda", {}, (1024, 3200.0)),  # 1,024 tokens hold 4 GiB, a quarter of 25
        ("cuda", {"kept_bytes": 4 * GIB}, (1024, 1024.0)),
        ("cuda", {"pass_tokens": 4096}, (4096, 3200.0)),
        ("cpu", {}, (2048, 3200.0)),
    ],
)
def test_passes_are_sized_by_what_is_free(device, given, found):
    options = {"pass_tokens": None, "kept_bytes": None} | given
    plan = plan_passes(4 * GIB / 1024, 25 * GIB, device, **options)
    assert (plan.pass_tokens, plan.kept_tokens) == found


def test_where_nothing_is_free_passes_stay_larger_than_a_text():
    assert plan_passes(1e6, 0.0, "cuda", pass_tokens=None, kept_bytes=None) == PassPlan(256, 0.0)


def test_a_text_beyond_the_budget_is_a_pass_of_its_own():
    encoder, _, batches, config = prepare(dropout=0.0)
    config.trainer.pass_tokens = 1
    loss_B, _ = gradients(encoder, batches[0], config)
    assert len(list(make_step(encoder, config)._cut(batches[0], CPU, 1))) == len(batches[0]["lengths"])
    config.trainer.pass_tokens = 10_000
    assert torch.allclose(loss_B, gradients(encoder, batches[0], config)[0], atol=1e-5)


def test_what_one_more_forward_pass_holds_is_counted_without_weights_and_their_copies():
    layer = torch.nn.Linear(100, 50, bias=False)
    copy = layer.weight.to(torch.bfloat16)
    values = torch.randn(10, 100, requires_grad=True)

    def run():
        own = values * 1.0
        return (layer(own) ** 2).sum() + (own.to(torch.bfloat16) @ copy.T).sum()

    fp32, bf16 = 10 * 100 + 10 * 50, 10 * 100
    assert held_bytes(run) == 4 * fp32 + 2 * bf16


def test_what_the_optimiser_will_hold_is_set_aside():
    encoder, _, batches, _ = prepare()
    table = encoder.backbone.get_input_embeddings().weight.numel()
    total = sum(weight.numel() for weight in encoder.parameters())
    assert optimizer_bytes(encoder, None) == 12 * total
    module = RetrieverModule(encoder, config_of(), steps=1, diverged=None)
    module.configure_optimizers()
    assert optimizer_bytes(encoder, module.optimizer) == 12 * total - 4 * table, "rows have no gradient of the table"
    with module.gradient(batches[0]):
        module.optimizer.step()
    assert optimizer_bytes(encoder, module.optimizer) == 4 * (total - table), "moments that are there count as used"


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
