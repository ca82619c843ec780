"""Validation leaves the bits of training alone, sees the weights that count, resumes exactly, selects and stops."""

import os
import signal
from contextlib import contextmanager
from itertools import count

import pandas as pd
import pytest
import torch
from forks import on_ranks
from training_fixture import STEPS, interrupted, resumed, trained, weights

from mixlingual.batches.datamodule import StepBatches
from mixlingual.runs.validation import read_points
from mixlingual.training import averaging
from mixlingual.training.preemption import Signals
from mixlingual.training.validation import Validator

EWA = {"average": "ewa", "average_decay": 0.9}


def sums(encoder, device, alone):
    """Figures that any change of a weight shows in; they draw random numbers, as a measure may."""
    torch.rand(3)
    flat = weights(encoder).double()
    return {"s/loss": float(flat.abs().sum()), "s/multi/map": float(flat @ torch.arange(len(flat)).double())}


SUMS = Validator(sums, ["s/multi/map"])


def scripted(*values):
    """A validator whose maps come from a list, one a validation."""
    numbers = count()
    return Validator(lambda *_: {"s/multi/map": values[next(numbers)], "s/loss": 0.0}, ["s/multi/map"])


@contextmanager
def told_to_end(step):
    """Sends this process SIGTERM when it loads the batch of a step."""
    original = StepBatches.__getitem__

    def tells(self, index):
        if index == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepBatches, "__getitem__", tells)
        yield


def steps_of(result):
    return [point["step"] for point in result.validation["points"]]


@pytest.mark.parametrize("optim", [{}, {"embeddings": "dense"}, EWA])
def test_a_run_has_the_same_bits_with_and_without(tmp_path, monkeypatch, optim):
    monkeypatch.setattr(averaging, "EVERY", 4)
    plain, without = trained(tmp_path / "plain", optim=optim)
    watched, result = trained(
        tmp_path / "watched", optim=optim, validator=SUMS, validation={"every": 3, "at": [0, 1, 7]}
    )
    assert steps_of(result) == [0, 1, 3, 6, 7, 9, 12, 15, 18, STEPS]
    assert torch.equal(weights(watched), weights(plain))
    assert result.losses == without.losses
    curves = [pd.read_csv(tmp_path / n / "curves.csv").drop(columns="pairs_per_second") for n in ("plain", "watched")]
    pd.testing.assert_frame_equal(*curves)
    assert without.validation == {}
    assert set(without.timings) == {"train"}
    assert set(result.timings) == {"train", "validate"}


@pytest.mark.parametrize("optim", [{}, EWA])
def test_measured_are_the_weights_that_the_run_would_end_with(tmp_path, monkeypatch, optim):
    """Runs that are stopped there end with them, token rows brought up to date and averages taken."""
    monkeypatch.setattr(averaging, "EVERY", 4)
    _, result = trained(tmp_path / "whole", optim=optim, validator=SUMS, validation={"every": 3})
    points = {point["step"]: point for point in result.validation["points"]}
    for step, patience in ((6, 1), (9, 2)):
        worse = scripted(1.0, *[0.5] * patience)
        end, stopped = trained(
            tmp_path / f"{step}", optim=optim, validator=worse, validation={"every": 3, "patience": patience}
        )
        assert stopped.steps == step
        assert sums(end, None, None)["s/multi/map"] == points[step]["s/multi/map"]


@pytest.mark.parametrize(("stop", "optim"), [(4, EWA), (13, {}), (7, {"embeddings": "dense"})])
def test_an_interrupted_run_leaves_the_same_curve_and_bits(tmp_path, monkeypatch, stop, optim):
    monkeypatch.setattr(averaging, "EVERY", 4)
    options = {"optim": optim, "checkpoint_steps": 3, "validator": SUMS}
    options["validation"] = {"every": 5, "at": [0, 3], "select": "best"}
    whole, result = trained(tmp_path / "whole", **options)
    cut, again = resumed(tmp_path / "cut", stop, **options)
    assert torch.equal(weights(cut), weights(whole))
    points = [[point | {"seconds": 0} for point in one.validation["points"]] for one in (result, again)]
    assert points[0] == points[1]
    assert again.validation["selected"] == result.validation["selected"]
    assert read_points(tmp_path / "cut") == again.validation["points"]
    nothing_left, third = trained(tmp_path / "cut", **options)
    assert torch.equal(weights(nothing_left), weights(whole))
    assert third.validation == again.validation


def test_a_run_that_leaves_at_a_step_measures_it_when_it_is_started_again(tmp_path):
    """The signal is answered first: measuring may take longer than there is time."""
    seen = []

    def recording(*arguments):
        seen.append(1)
        return sums(*arguments)

    options = {"validator": Validator(recording, ["s/multi/map"]), "validation": {"at": [5]}}
    _, whole = trained(tmp_path / "whole", **options)
    seen.clear()
    with Signals(None) as signals, told_to_end(4), pytest.raises(SystemExit):
        trained(tmp_path / "cut", signals=signals, **options)
    assert not seen
    _, again = trained(tmp_path / "cut", **options)
    assert [p["s/loss"] for p in again.validation["points"]] == [p["s/loss"] for p in whole.validation["points"]]


@pytest.mark.parametrize(("measure", "best"), [("multi", 10), ("loss", 15)])
def test_the_best_weights_end_a_run_that_selects_them(tmp_path, measure, best):
    """Of equal points the first is best; a loss is better where it is lower."""
    values = [0.1, 0.3, 0.05, 0.3]
    kept = {}

    def measured(encoder, *_):
        step = 5 * (len(kept) + 1)
        kept[step] = weights(encoder)
        return {"s/x": values[len(kept) - 1]}

    options = {"validation": {"every": 5, "select": "best", "measure": measure}}
    encoder, result = trained(tmp_path, validator=Validator(measured, ["s/x"]), **options)
    assert result.validation["selected"] == best
    assert torch.equal(weights(encoder), kept[best])
    assert not torch.equal(weights(encoder), kept[20])
    assert result.steps == STEPS


def test_training_ends_when_it_gets_no_better(tmp_path):
    options = {"validation": {"every": 2, "patience": 2, "select": "best"}, "checkpoint_steps": 1}
    encoder, result = trained(tmp_path, validator=scripted(0.1, 0.3, 0.2, 0.4, 0.4, 0.1, 0.9), **options)
    assert steps_of(result) == [2, 4, 6, 8, 10, 12]
    assert (result.steps, result.pairs, len(result.losses)) == (12, 96, 12)
    assert (result.validation["stopped"], result.validation["selected"]) == (True, 8)
    assert pd.read_csv(tmp_path / "curves.csv").step.tolist()[-1] == 12
    again, repeated = trained(tmp_path, validator=scripted(), **options)
    assert repeated.steps == 12
    assert torch.equal(weights(again), weights(encoder))


def test_a_stopped_run_that_was_killed_ends_alike(tmp_path):
    """Killed between its last checkpoint and the step at which it stops."""
    options = {"validation": {"every": 4, "patience": 1}, "checkpoint_steps": 3}
    whole, result = trained(tmp_path / "whole", validator=scripted(0.4, 0.5, 0.2), **options)
    with interrupted(7):
        trained(tmp_path / "cut", validator=scripted(0.4), **options)
    cut, again = trained(tmp_path / "cut", validator=scripted(0.5, 0.2), **options)
    assert (result.steps, again.steps) == (12, 12)
    assert torch.equal(weights(cut), weights(whole))


@pytest.mark.parametrize("strategy", ["replicate", "shard"])
def test_processes_agree_on_what_the_first_measures(tmp_path, strategy):
    """Only the first has figures; all of them stop and select by these, and sharded weights are measured whole."""
    options = {"optim": {"embeddings": "dense"}, "model": {"learn_temperature": False}, "dropout": 0.0}
    options["validation"] = {"every": 4, "patience": 1, "select": "best"}
    maps = iter([0.4, 0.5, 0.2])

    def measured(encoder, device, alone):
        figures = sums(encoder, device, alone) | {"s/multi/map": next(maps)}
        return figures if os.environ.get("RANK", "0") == "0" else {}

    validator = Validator(measured, ["s/multi/map"])

    def one_process():
        encoder, result = trained(tmp_path / "all", devices=2, strategy=strategy, validator=validator, **options)
        return result.steps, result.validation, weights(encoder) if os.environ["RANK"] == "0" else None

    first, second = on_ranks(tmp_path, 2, one_process)
    alone, result = trained(tmp_path / "one", validator=validator, **options)
    assert first[0] == second[0] == result.steps == 12
    assert first[1] == second[1] | {"points": first[1]["points"]}
    assert first[1]["selected"] == 8
    losses = [[point["s/loss"] for point in one["points"]] for one in (first[1], result.validation)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    torch.testing.assert_close(first[2], weights(alone), rtol=0, atol=1e-4)
