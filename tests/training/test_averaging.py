"""The exponential average against its plain formula, over interruptions, and as what a run ends with."""

import copy

import pytest
import torch
from training_fixture import STEPS, prepare, train, weights

from mixlingual.batches.datamodule import StepBatches
from mixlingual.training import averaging
from mixlingual.training.averaging import WeightAverage, decay_for
from mixlingual.training.module import RetrieverModule

EWA = {"average": "ewa", "average_decay": 0.9}


@pytest.fixture
def looks(monkeypatch):
    """{step: all weights at the looks of the runs that follow}, recorded beside the average."""
    seen = {}
    original = WeightAverage.look

    def recording(self, module, step):
        seen[step] = weights(module.encoder)
        original(self, module, step)

    monkeypatch.setattr(WeightAverage, "look", recording)
    return seen


def plain_average(looks, decay):
    """The mean in which the weights of every step count `decay` times those of the next.

    The weights of a step are taken to be those at the first look from it on.
    """
    total, mass = 0.0, 0.0
    for step in range(1, STEPS + 1):
        weight = decay ** (STEPS - step)
        total = total + weight * looks[min(look for look in looks if look >= step)].double()
        mass += weight
    return (total / mass).float()


@pytest.mark.parametrize("embeddings", ["rows", "dense"])
@pytest.mark.parametrize("every", [1, 3, 10])
def test_a_run_ends_with_the_plain_average_of_its_weights(tmp_path, monkeypatch, looks, every, embeddings):
    monkeypatch.setattr(averaging, "EVERY", every)
    encoder, data, _, config = prepare(optim=EWA | {"embeddings": embeddings})
    train(tmp_path, encoder, data, config)
    assert sorted(looks) == sorted({*range(every, STEPS + 1, every), STEPS})
    torch.testing.assert_close(weights(encoder), plain_average(looks, 0.9), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(weights(encoder), looks[STEPS], atol=1e-3)


def test_the_token_table_takes_part_in_full(tmp_path, monkeypatch):
    """Rows that wait for their motion are brought up to date at a look: as if the table were dense."""
    monkeypatch.setattr(averaging, "EVERY", 1)
    tables = []
    for embeddings in ("rows", "dense"):
        encoder, data, _, config = prepare(dropout=0.0, optim=EWA | {"embeddings": embeddings})
        start = copy.deepcopy(encoder.backbone.get_input_embeddings().weight.detach())
        train(tmp_path / embeddings, encoder, data, config)
        tables.append(encoder.backbone.get_input_embeddings().weight.detach())
    torch.testing.assert_close(*tables, rtol=0, atol=1e-4)
    assert (tables[0] - start).abs().max() > 1e-2


def test_training_is_not_changed_by_the_average(tmp_path):
    ends = []
    for name, optim in (("none", {}), ("ewa", EWA)):
        encoder, data, _, config = prepare(optim=optim | {"embeddings": "dense"})
        ends.append((train(tmp_path / name, encoder, data, config).losses, weights(encoder)))
    assert ends[0][0] == ends[1][0]
    assert not torch.allclose(ends[0][1], ends[1][1], atol=1e-3)


class InterruptionError(Exception):
    pass


@pytest.mark.parametrize("embeddings", ["rows", "dense"])
@pytest.mark.parametrize("stop", [4, 13])
def test_an_interrupted_average_ends_with_the_same_bits(tmp_path, monkeypatch, stop, embeddings):
    monkeypatch.setattr(averaging, "EVERY", 2)
    options = {"optim": EWA | {"embeddings": embeddings}, "checkpoint_steps": 3}
    encoder, data, _, config = prepare(**options)
    train(tmp_path / "whole", encoder, data, config)

    original = StepBatches.__getitem__
    with monkeypatch.context() as patch:

        def breaks(self, index):
            if index == stop:
                raise InterruptionError
            return original(self, index)

        patch.setattr(StepBatches, "__getitem__", breaks)
        first, data, _, config = prepare(**options)
        with pytest.raises(InterruptionError):
            train(tmp_path / "cut", first, data, config)
    second, data, _, config = prepare(**options)
    train(tmp_path / "cut", second, data, config)
    assert torch.equal(weights(second), weights(encoder))

    third, data, _, config = prepare(**options)
    train(tmp_path / "cut", third, data, config)
    assert torch.equal(weights(third), weights(encoder)), "nothing was left to train, and the average still ends it"


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


@pytest.mark.parametrize(
    ("size", "decay"),
    [(2, 0.9995), (512, 0.9995), (513, 0.999), (1024, 0.999), (2048, 0.998), (4096, 0.995), (8192, 0.99)],
)
def test_larger_batches_forget_faster(size, decay):
    assert decay_for(size) == decay


@pytest.mark.parametrize(("given", "used"), [(None, 0.9995), (0.0, 0.0), (0.7, 0.7)])
def test_the_decay_is_the_options_or_that_of_the_batch_size(tmp_path, monkeypatch, given, used):
    decays = []
    original = WeightAverage.__init__
    monkeypatch.setattr(WeightAverage, "__init__", lambda self, decay: decays.append(decay) or original(self, decay))
    encoder, data, _, config = prepare(optim={"average": "ewa", "average_decay": given})
    last = []
    monkeypatch.setattr(RetrieverModule, "check_weights", lambda self: last.append(weights(self.encoder)))
    train(tmp_path, encoder, data, config)
    assert decays == [used]
    assert torch.equal(weights(encoder), last[0]) == (used == 0), "a decay of 0 is no average"
