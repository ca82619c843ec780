"""A loss, gradient or weight that is no number ends the run, named, with good weights, and again when started again."""

import json
import math

import pytest
import torch
from forks import on_ranks
from training_fixture import STEPS, prepare, train, trained, weights

import mixlingual.grid.cell
from mixlingual.records import MixlingualError
from mixlingual.runs import lease as attempt_module
from mixlingual.runs.exits import ExitCode
from mixlingual.runs.record import RunRecord
from mixlingual.training import step as step_module
from mixlingual.training.checkpoint import newest_checkpoint
from mixlingual.training.gather import global_rank
from mixlingual.training.optimizer import RowAdamW
from mixlingual.training.preemption import Signals

AT = 8
"""This step, counted from 0, goes wrong."""


class Current:
    """Holds what the step that is being computed began with."""

    step = -1
    weights = None


class NotANumber(torch.autograd.Function):
    """Returns what it is given, and makes its gradient no number."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


def break_loss(monkeypatch, value):
    """Makes the loss of the last pair of step `AT` `value`; if that is None, the gradient alone is not finite."""
    original = step_module.ContrastiveStep._losses

    def broken(self, embedding_UD, inputs):
        if Current.step != AT:
            return original(self, embedding_UD, inputs)
        if value is None:
            return original(self, NotANumber.apply(embedding_UD), inputs)
        loss_B = original(self, embedding_UD, inputs)
        return loss_B + torch.tensor([0.0] * (len(loss_B) - 1) + [value])

    monkeypatch.setattr(step_module.ContrastiveStep, "_losses", broken)


@pytest.fixture(autouse=True)
def _steps(monkeypatch):
    """Keeps `Current` up to date."""
    original = step_module.ContrastiveStep.gradient

    def noting(self, batch, device):
        Current.step = int(batch["step"])
        Current.weights = weights(self._encoder)
        return original(self, batch, device)

    monkeypatch.setattr(step_module.ContrastiveStep, "gradient", noting)


@pytest.mark.parametrize(
    ("what", "value", "embeddings"),
    [("the loss", math.nan, "rows"), ("the loss", math.inf, "dense"), ("the gradient", None, "rows"),
     ("the gradient", None, "dense")],
)  # fmt: skip
def test_a_run_stops_where_it_goes_wrong(tmp_path, monkeypatch, what, value, embeddings):
    break_loss(monkeypatch, value)
    encoder, data, batches, config = prepare(checkpoint_steps=3, optim={"embeddings": embeddings})
    with pytest.raises(MixlingualError) as error:
        train(tmp_path, encoder, data, config)
    (checkpoints,) = (tmp_path / "checkpoints").iterdir()
    good = newest_checkpoint(checkpoints)
    ids = [str(number) for number in batches.items(AT)]
    assert good.name.startswith("step-000000006")
    assert str(error.value).startswith(
        f"{what} is not a finite number at step 9, on a batch of 8 items ({ids[0]}, ...; all are in "
        f"{tmp_path / 'diverged.json'}). The last good checkpoint is {good}. Lower optim.learning_rate"
    )
    record = json.loads((tmp_path / "diverged.json").read_text())
    assert record == {"step": 9, "what": what, "items": ids, "checkpoint": str(good)}
    assert (tmp_path / "curves.csv").read_text().splitlines()[-1].startswith("8,")
    assert torch.isfinite(weights(encoder)).all()
    assert torch.equal(weights(encoder), Current.weights), "the weights are those that the step began with"
    assert encoder.backbone(input_ids=torch.arange(20)[None]).last_hidden_state.isfinite().all(), "any token is known"

    with pytest.raises(MixlingualError) as second:
        trained(tmp_path, checkpoint_steps=3, optim={"embeddings": embeddings})
    assert str(second.value) == str(error.value)


def test_without_a_checkpoint_none_is_named(tmp_path, monkeypatch):
    break_loss(monkeypatch, math.nan)
    with pytest.raises(MixlingualError, match=r"at step 9, .*There is no good checkpoint\. Lower"):
        trained(tmp_path)
    assert json.loads((tmp_path / "diverged.json").read_text())["checkpoint"] is None


def test_a_last_step_that_breaks_the_weights_gives_no_result(tmp_path, monkeypatch):
    """No later loss would tell; started again, the run has nothing left to train, and fails all the same."""
    original = RowAdamW.step

    def broken(self, *arguments, **options):
        result = original(self, *arguments, **options)
        if Current.step == STEPS - 1:
            self.param_groups[0]["params"][-1].data.view(-1)[0] = math.inf
        return result

    monkeypatch.setattr(RowAdamW, "step", broken)
    messages = []
    for _ in range(2):
        with pytest.raises(MixlingualError, match="the norm of the weights is not a finite number at step 20") as error:
            trained(tmp_path, checkpoint_steps=5, keep_checkpoints=2)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "checkpoint is " in messages[0]
    assert "step-000000015" in messages[0], "that of step 20 has the broken weights"


def test_what_another_config_left_behind_goes(tmp_path):
    (tmp_path / "diverged.json").write_text("{}")
    trained(tmp_path)
    assert not (tmp_path / "diverged.json").exists()


class LeftError(Exception):
    pass


def test_a_superseded_attempt_leaves_no_word_of_its_divergence(tmp_path, monkeypatch):
    break_loss(monkeypatch, math.nan)
    monkeypatch.setattr(attempt_module, "_LEASE_SECONDS", math.inf)
    monkeypatch.setattr(attempt_module, "leave", lambda code: (_ for _ in ()).throw(LeftError(code)))
    original = step_module.ContrastiveStep.gradient

    def superseded(self, batch, device):
        if int(batch["step"]) == AT:
            attempt_module.Attempt(tmp_path)
        return original(self, batch, device)

    monkeypatch.setattr(step_module.ContrastiveStep, "gradient", superseded)
    with pytest.raises(LeftError, match=str(ExitCode.SUPERSEDED)):
        trained(tmp_path, signals=Signals(attempt_module.Attempt(tmp_path)))
    assert not (tmp_path / "diverged.json").exists()


@pytest.mark.parametrize("what", ["the loss", "the gradient"])
def test_all_processes_stop_where_one_goes_wrong(tmp_path, monkeypatch, what):
    """Through `train`, which a user starts, on what a tiny run gives `fit`; the run is recorded as failed."""
    original = step_module.ContrastiveStep.gradient

    def broken(self, batch, device):
        loss_B = original(self, batch, device)
        if Current.step == AT and global_rank() == 1:
            wrong = next(w.grad for w in self._encoder.parameters() if w.grad is not None)
            (loss_B if what == "the loss" else wrong).view(-1)[0] = math.nan
        return loss_B

    def one_process():
        encoder, data, _, config = prepare(devices=2, checkpoint_steps=3)
        mixlingual.grid.cell.run = lambda config, folder, signals, save: train(folder, encoder, data, config)
        with pytest.raises(MixlingualError, match=f"^{what} is not a finite number at step 9"):
            mixlingual.grid.cell.train(config, tmp_path / "run")
        return RunRecord(tmp_path / "run", config).finished()

    monkeypatch.setattr(step_module.ContrastiveStep, "gradient", broken)
    assert on_ranks(tmp_path, 2, one_process) == [None, None]
    record = json.loads((tmp_path / "run/diverged.json").read_text())
    assert (record["step"], record["what"], len(record["items"])) == (9, what, 8)
    assert "step-000000006" in record["checkpoint"]
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert status["state"] == "failed"
    assert f"{what} is not a finite number" in status["reason"]
    assert not (tmp_path / "run/result.json").exists()
