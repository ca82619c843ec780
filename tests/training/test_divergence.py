"""A loss, gradient or weight that is no number ends the run, named, with good weights, and again when started again."""

import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from training_fixture import STEPS, prepare, train, weights

import mixlingual.grid.cell
from mixlingual.records import MixlingualError
from mixlingual.runs import lease as attempt_module
from mixlingual.runs.record import RunRecord
from mixlingual.training import step as step_module
from mixlingual.training.checkpoint import VerifiedCheckpointIO, last_good_checkpoint, newest_checkpoint
from mixlingual.training.optimizer import RowAdamW
from mixlingual.training.preemption import Signals

HERE = [str(folder) for folder in Path(__file__).parents[:2]]
AT = 8
"""The step, counted from 0, that goes wrong."""


def break_loss(monkeypatch, value):
    """The loss of the last pair of step `AT` becomes `value`."""
    original = step_module.ContrastiveStep._losses

    def broken(self, embedding_UD, inputs):
        loss_B = original(self, embedding_UD, inputs)
        return loss_B + torch.tensor([0.0] * (len(loss_B) - 1) + [value]) if Current.step == AT else loss_B

    monkeypatch.setattr(step_module.ContrastiveStep, "_losses", broken)


class NotANumber(torch.autograd.Function):
    """What it is given, whose gradient is not a number."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


def break_gradient(monkeypatch):
    """The loss of step `AT` is finite, its gradient is not."""
    original = step_module.ContrastiveStep._losses

    def broken(self, embedding_UD, inputs):
        return original(self, NotANumber.apply(embedding_UD) if Current.step == AT else embedding_UD, inputs)

    monkeypatch.setattr(step_module.ContrastiveStep, "_losses", broken)


class Current:
    step = -1


@pytest.fixture(autouse=True)
def _steps(monkeypatch):
    """Keeps the number of the step that is being computed, and the weights that it starts with."""
    original = step_module.ContrastiveStep.gradient

    def noting(self, batch, device):
        Current.step = int(batch["step"])
        Current.weights = weights(self._encoder)
        return original(self, batch, device)

    monkeypatch.setattr(step_module.ContrastiveStep, "gradient", noting)


BROKEN = [
    ("the loss", lambda patch: break_loss(patch, math.nan)),
    ("the loss", lambda patch: break_loss(patch, math.inf)),
    ("the gradient", break_gradient),
]


@pytest.mark.parametrize(("what", "broken"), BROKEN)
@pytest.mark.parametrize("embeddings", ["rows", "dense"])
def test_a_run_stops_where_it_goes_wrong(tmp_path, monkeypatch, what, broken, embeddings):
    broken(monkeypatch)
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

    again, data, _, config = prepare(checkpoint_steps=3, optim={"embeddings": embeddings})
    with pytest.raises(MixlingualError) as second:
        train(tmp_path, again, data, config)
    assert str(second.value) == str(error.value)


def test_without_a_checkpoint_none_is_named(tmp_path, monkeypatch):
    break_loss(monkeypatch, math.nan)
    encoder, data, _, config = prepare()
    with pytest.raises(MixlingualError, match=r"at step 9, .*There is no good checkpoint\. Lower"):
        train(tmp_path, encoder, data, config)
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
        encoder, data, _, config = prepare(checkpoint_steps=5, keep_checkpoints=2)
        with pytest.raises(MixlingualError, match="the norm of the weights is not a finite number at step 20") as error:
            train(tmp_path, encoder, data, config)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "checkpoint is " in messages[0]
    assert "step-000000015" in messages[0], "that of step 20 has the broken weights"


def test_what_another_config_left_behind_goes(tmp_path):
    (tmp_path / "diverged.json").write_text("{}")
    encoder, data, _, config = prepare()
    train(tmp_path, encoder, data, config)
    assert not (tmp_path / "diverged.json").exists()


def test_the_last_good_checkpoint_is_whole_and_finite(tmp_path, caplog):
    def save(step, weight):
        VerifiedCheckpointIO().save_checkpoint(
            {"state_dict": {"a": torch.ones(2), "b": torch.tensor([weight])}}, tmp_path / f"step-{step:09d}.ckpt"
        )
        return next(tmp_path.glob(f"step-{step:09d}-*"))

    assert last_good_checkpoint(tmp_path) is None
    save(1, 1.0)
    good = save(2, 2.0)
    damaged = save(3, 3.0)
    damaged.write_bytes(damaged.read_bytes()[:-10])
    save(4, math.inf)
    bad = save(5, math.nan)
    assert last_good_checkpoint(tmp_path) == good
    assert f"{damaged} is damaged" in caplog.text
    assert newest_checkpoint(tmp_path) == bad


def test_the_run_is_recorded_as_failed(tmp_path, monkeypatch):
    """Through `train`, which a user starts, on what a tiny run gives `fit`."""
    break_loss(monkeypatch, math.nan)
    encoder, data, _, config = prepare(checkpoint_steps=3)
    monkeypatch.setattr(
        mixlingual.grid.cell, "run", lambda config, folder, signals, save: train(folder, encoder, data, config)
    )
    with pytest.raises(MixlingualError, match="the loss is not a finite number at step 9"):
        mixlingual.grid.cell.train(config, tmp_path)
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "failed"
    assert "the loss is not a finite number at step 9" in status["reason"]
    assert not (tmp_path / "result.json").exists()
    assert not RunRecord(tmp_path, config).is_done()


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
    encoder, data, _, config = prepare()
    with pytest.raises(LeftError, match=str(attempt_module.EXIT_SUPERSEDED)):
        train(tmp_path, encoder, data, config, Signals(attempt_module.Attempt(tmp_path)))
    assert not (tmp_path / "diverged.json").exists()


DEALT = """
    import sys, math
    sys.path[:0] = {here!r}
    import torch
    import mixlingual.grid.cell
    import training_fixture as f
    from pathlib import Path
    from mixlingual.training import step
    from mixlingual.training.gather import global_rank
    original = step.ContrastiveStep.gradient

    def broken(self, batch, device):
        loss_B = original(self, batch, device)
        if int(batch["step"]) == {at} and global_rank() == 1:
            if {what!r} == "the loss":
                loss_B[0] = math.nan
            else:
                next(w for w in self._encoder.parameters() if w.grad is not None).grad.view(-1)[0] = math.inf
        return loss_B

    step.ContrastiveStep.gradient = broken
    encoder, data, _, config = f.prepare(devices=2, checkpoint_steps=3)
    mixlingual.grid.cell.run = lambda config, folder, signals, save: f.train(folder, encoder, data, config)
    try:
        mixlingual.grid.cell.train(config, Path({folder!r}))
    except mixlingual.records.MixlingualError as error:
        print("stopped:", error)
        raise
"""


@pytest.mark.parametrize("what", ["the loss", "the gradient"])
def test_all_processes_stop_where_one_goes_wrong(tmp_path, what):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(DEALT).format(here=HERE, folder=str(tmp_path / "run"), what=what, at=AT))
    launched = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "--log-dir", str(tmp_path / "log"), "--redirects", "3", str(script)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert launched.returncode != 0
    said = [path.read_text() for path in tmp_path.glob("log/**/stdout.log")]
    assert len(said) == 2
    assert all(f"stopped: {what} is not a finite number at step 9" in text for text in said), said
    record = json.loads((tmp_path / "run/diverged.json").read_text())
    assert (record["step"], record["what"], len(record["items"])) == (9, what, 8)
    assert "step-000000006" in record["checkpoint"]
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert status["state"] == "failed"
    assert f"{what} is not a finite number" in status["reason"]
