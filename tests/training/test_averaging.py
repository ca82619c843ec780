"""Holds the exponential average to its plain formula, also over interruptions, and a run ends with it."""

import pytest
import torch
from training_fixture import STEPS, config_of, prepare, resumed, train, trained, weights

from mixlingual.training import averaging, fit
from mixlingual.training.averaging import WeightAverage

EWA = {"average": "ewa", "average_decay": 0.9}


@pytest.fixture
def looks(monkeypatch):
    """Records {step: all weights} at the looks of the runs that follow, beside the average."""
    seen = {}
    original = WeightAverage.look

    def recording(self, module, step):
        seen[step] = weights(module.encoder)
        original(self, module, step)

    monkeypatch.setattr(WeightAverage, "look", recording)
    return seen


def plain_average(looks, decay):
    """Returns the mean in which the weights of every step count `decay` times those of the next.

    The weights of a step are taken to be those at the first look from it on.
    """
    total, mass = 0.0, 0.0
    for step in range(1, STEPS + 1):
        weight = decay ** (STEPS - step)
        total = total + weight * looks[min(look for look in looks if look >= step)].double()
        mass += weight
    return (total / mass).float()


@pytest.mark.parametrize(("every", "embeddings"), [(1, "rows"), (3, "dense"), (10, "rows")])
def test_a_run_ends_with_the_plain_average_of_its_weights(tmp_path, monkeypatch, looks, every, embeddings):
    monkeypatch.setattr(averaging, "EVERY", every)
    encoder, _ = trained(tmp_path, optim=EWA | {"embeddings": embeddings})
    assert sorted(looks) == sorted({*range(every, STEPS + 1, every), STEPS})
    torch.testing.assert_close(weights(encoder), plain_average(looks, 0.9), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(weights(encoder), looks[STEPS], atol=1e-3)


def test_the_token_table_takes_part_in_full(tmp_path, monkeypatch):
    """Rows that wait for their motion are brought up to date at a look: as if the table were dense."""
    monkeypatch.setattr(averaging, "EVERY", 1)
    tables = []
    for embeddings in ("rows", "dense"):
        encoder, data, _, config = prepare(dropout=0.0, optim=EWA | {"embeddings": embeddings})
        start = encoder.backbone.get_input_embeddings().weight.detach().clone()
        train(tmp_path / embeddings, encoder, data, config)
        tables.append(encoder.backbone.get_input_embeddings().weight.detach())
    torch.testing.assert_close(*tables, rtol=0, atol=1e-4)
    assert (tables[0] - start).abs().max() > 1e-2


def test_training_is_not_changed_by_the_average(tmp_path):
    plain, averaged = (trained(tmp_path / str(len(x)), optim=x | {"embeddings": "dense"}) for x in ({}, EWA))
    assert plain[1].losses == averaged[1].losses
    assert not torch.allclose(weights(plain[0]), weights(averaged[0]), atol=1e-3)


@pytest.mark.parametrize(("stop", "embeddings"), [(4, "rows"), (13, "dense")])
def test_an_interrupted_average_ends_with_the_same_bits(tmp_path, monkeypatch, stop, embeddings):
    monkeypatch.setattr(averaging, "EVERY", 2)
    options = {"optim": EWA | {"embeddings": embeddings}, "checkpoint_steps": 3}
    whole, _ = trained(tmp_path / "whole", **options)
    second, _ = resumed(tmp_path / "cut", stop, **options)
    assert torch.equal(weights(second), weights(whole))
    third, _ = trained(tmp_path / "cut", **options)
    assert torch.equal(weights(third), weights(whole)), "nothing was left to train, and the average still ends it"


def test_frozen_weights_keep_their_bits():
    module = torch.nn.Linear(2, 2)
    module.bias.requires_grad = False
    bias = module.bias.detach().clone()
    average = WeightAverage(0.5)
    average.look(module, 1)
    with torch.no_grad():
        module.weight += 3
        average.look(module, 2)
        last = module.weight.clone()
        average.take(module)
    torch.testing.assert_close(module.weight, last - 1, msg="(w + 2 (w + 3)) / 3 is w + 2")
    assert torch.equal(module.bias, bias)


def test_a_decay_of_0_is_no_average():
    module = torch.nn.Linear(2, 2)
    average = WeightAverage(0.0)
    average.look(module, 1)
    with torch.no_grad():
        module.weight += 3
    average.look(module, 2)
    last = module.weight.clone()
    average.take(module)
    assert torch.equal(module.weight, last)


@pytest.mark.parametrize(
    ("size", "given", "decay"),
    [(2, None, 0.9995), (512, None, 0.9995), (514, None, 0.999), (1024, None, 0.999), (2048, None, 0.998),
     (4096, None, 0.995), (8192, None, 0.99), (8, 0.0, 0.0), (8, 0.7, 0.7)],
)  # fmt: skip
def test_the_decay_is_the_options_or_that_of_the_batch_size(size, given, decay):
    config = config_of(optim={"average": "ewa", "average_decay": given}, batching={"batch_size": size})
    assert fit._average(config)._decay == decay
