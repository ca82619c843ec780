"""Training through Lightning gives the numbers of a plain loop, resumes exactly and fails honestly."""

import copy
import json
import os
import signal
import time

import pandas as pd
import pytest
import torch
from forks import fork, on_ranks, wait
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import Strategy
from training_fixture import STEPS, naive_losses, prepare, resumed, train, trained, weights

from mixlingual.batches.datamodule import StepBatches
from mixlingual.model.encoder import DualEncoder
from mixlingual.records import MixlingualError
from mixlingual.training.checkpoint import newest_checkpoint
from mixlingual.training.fit import UnwrappedDDP
from mixlingual.training.schedule import make_scheduler


@pytest.mark.parametrize(("accumulate", "embeddings"), [(1, "rows"), (2, "rows"), (1, "dense")])
def test_lightning_trains_as_a_plain_loop_does(tmp_path, monkeypatch, accumulate, embeddings):
    """The plain loop: padded texts, one backward pass, the dense AdamW of PyTorch over the whole token table."""
    served = []
    original = StepBatches.__getitem__
    monkeypatch.setattr(StepBatches, "__getitem__", lambda self, i: served.append(i) or original(self, i))
    encoder, data, batches, config = prepare(dropout=0.0, accumulate=accumulate, optim={"embeddings": embeddings})
    plain = copy.deepcopy(encoder)
    result = train(tmp_path, encoder, data, config)
    assert served == list(range(STEPS)), "Lightning uses our batches in our order"

    matrices = [weight for weight in plain.parameters() if weight.ndim > 1]
    others = [weight for weight in plain.parameters() if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.optim.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.optim.learning_rate, eps=config.optim.eps)
    scheduler = make_scheduler(optimizer, config.optim, STEPS)
    losses, rates, norms = [], [], []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        loss = naive_losses(plain, batches[step], config).mean()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(plain.parameters(), config.optim.gradient_clip)))
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert curves.step.tolist() == list(range(1, STEPS + 1))
    assert curves.loss.tolist() == pytest.approx(losses, rel=1e-4)
    assert curves.gradient_norm.tolist() == pytest.approx(norms, rel=1e-3)
    assert max(norms) > config.optim.gradient_clip > min(norms), "some gradients are clipped"
    assert curves.learning_rate.tolist() == pytest.approx(rates)
    assert torch.allclose(weights(encoder), weights(plain), atol=1e-4)
    assert not torch.allclose(weights(encoder), weights(prepare()[0]), atol=1e-3), "the weights moved"
    assert result.summary() == {
        "steps": STEPS,
        "pairs": STEPS * 8,
        "final_loss": pytest.approx(sum(losses[-2:]) / 2, rel=1e-4),
    }
    kinds = [bool(batches[step]["monolingual"].all()) for step in range(STEPS)]
    tokens = [int(batches[step]["tokens"].sum()) for step in range(STEPS)]
    assert result.tokens["monolingual"] == sum(n for n, mono in zip(tokens, kinds) if mono)
    assert result.tokens["crosslingual"] == sum(n for n, mono in zip(tokens, kinds) if not mono)
    assert sum(losses[-8:]) < sum(losses[:8])
    if accumulate == 1:
        assert set(kinds) == {True, False}
        assert curves.loss_mono.notna().tolist() == curves.loss_cross.isna().tolist() == kinds


@pytest.mark.parametrize(("accumulate", "stop", "workers"), [(1, 7, 2), (2, 11, 0)])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, accumulate, stop, workers):
    """The second attempt also has other workers."""
    options = {"accumulate": accumulate, "checkpoint_steps": 3}
    encoder, whole = trained(tmp_path / "whole", **options)
    second, result = resumed(tmp_path / "cut", stop, workers=workers, **options)
    assert result.losses == whole.losses
    assert torch.equal(weights(second), weights(encoder))
    curves = [pd.read_csv(tmp_path / name / "curves.csv").drop(columns="pairs_per_second") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*curves)


@pytest.mark.parametrize("options", [{}, {"optim": {"average": "ewa"}}])
def test_a_run_that_was_cut_off_after_its_training_has_the_same_bits(tmp_path, options):
    """As after an interrupted evaluation: the checkpoint is of the end, no step is left, and not all rows are done."""
    encoder, _ = trained(tmp_path, checkpoint_steps=STEPS, **options)
    again, _ = trained(tmp_path, checkpoint_steps=STEPS, **options)
    assert torch.equal(weights(again), weights(encoder))


def test_passes_that_ran_out_of_memory_stay_small_in_a_resumed_run(tmp_path, monkeypatch):
    """Dropout masks go by passes; memory suffices again where the run goes on."""
    embed, full = DualEncoder.embed, []

    def fails_once(self, ids, lengths, longest):
        if len(lengths) * longest > 32 and full:
            full.clear()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(self, ids, lengths, longest)

    monkeypatch.setattr(DualEncoder, "embed", fails_once)
    monkeypatch.setattr("mixlingual.training.step.MEASURED_TOKENS", 32)
    ends = []
    for run in (
        lambda: trained(tmp_path / "one", checkpoint_steps=3),
        lambda: resumed(tmp_path / "cut", 7, checkpoint_steps=3),
    ):
        full.append(True)
        ends.append(weights(run()[0]))
        assert not full
    plain, _ = trained(tmp_path / "plain", checkpoint_steps=3)
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], weights(plain)), "smaller passes draw other masks"


def test_the_moments_are_gone_before_lightning_moves_things_to_the_host(tmp_path, monkeypatch):
    held = []
    original = Strategy.teardown
    monkeypatch.setattr(
        Strategy, "teardown", lambda self: held.append([len(one.state) for one in self.optimizers]) or original(self)
    )
    trained(tmp_path)
    assert held == [[0]]


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    encoder, _ = trained(tmp_path, checkpoint_steps=3, keep_checkpoints=3)
    (folder,) = (tmp_path / "checkpoints").iterdir()
    kept = sorted(folder.iterdir())
    assert [path.name.split("-")[1] for path in kept] == ["000000015", "000000018", "000000020"]
    assert newest_checkpoint(folder) == kept[2]
    kept[2].write_bytes(kept[2].read_bytes()[:-100])
    content = bytearray(kept[1].read_bytes())
    content[len(content) // 2] ^= 1
    kept[1].write_bytes(content)
    assert newest_checkpoint(folder) == kept[0]
    assert f"{kept[2]} is damaged; going back to the checkpoint before it" in caplog.text

    again, _ = trained(tmp_path, checkpoint_steps=3, keep_checkpoints=3)
    assert torch.equal(weights(again), weights(encoder))
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_a_checkpoint_of_another_config_is_not_used(tmp_path):
    trained(tmp_path, checkpoint_steps=3)
    other, alone = (trained(folder, optim={"learning_rate": 0.5})[0] for folder in (tmp_path, tmp_path / "alone"))
    assert torch.equal(weights(other), weights(alone))


@pytest.mark.parametrize("world", [2, 4])
def test_any_number_of_processes_trains_alike(tmp_path, monkeypatch, world):
    """`test_sharding` starts a run through torchrun itself."""
    served = []
    original = StepBatches.__getitem__

    def recording(self, index):
        served.append((batch := original(self, index))["item"].tolist())
        return batch

    monkeypatch.setattr(StepBatches, "__getitem__", recording)
    encoder, result = trained(tmp_path / "one", dropout=0.0)
    dealt = list(served)

    def one_process():
        served.clear()
        encoder, result = trained(tmp_path / "all", dropout=0.0, devices=world)
        return list(served), result.losses, weights(encoder)

    for rank, (items, losses, end) in enumerate(on_ranks(tmp_path, world, one_process)):
        assert items == [numbers[rank::world] for numbers in dealt]
        assert losses == pytest.approx(result.losses, rel=1e-4)
        torch.testing.assert_close(end, weights(encoder), rtol=0, atol=1e-4)


def test_devices_need_as_many_processes(tmp_path):
    encoder, data, _, config = prepare(devices=2)
    with pytest.raises(
        MixlingualError,
        match=r"trainer\.devices=2 on each of trainer\.nodes=1, but there are 1 processes; start the run with torchrun",
    ):
        train(tmp_path, encoder, data, config)


@pytest.mark.parametrize("kill_after", [3, 6, 11])
def test_a_killed_process_goes_on_and_ends_with_the_same_bits(tmp_path, kill_after):
    """SIGKILL as soon as the curve shows the step, so that the kill falls anywhere in the next one."""
    encoder, whole = trained(tmp_path / "whole")
    folder = tmp_path / "cut"

    def attempt(workers):
        again, result = trained(folder, checkpoint_steps=2, workers=workers)
        torch.save(weights(again), folder / "weights.pt")
        (folder / "done.json").write_text(json.dumps(result.losses))

    child = fork(lambda: attempt(kill_after % 2), folder)
    curves = folder / "curves.csv"
    deadline = time.monotonic() + 120
    while not (curves.exists() and len(curves.read_text().splitlines()) > kill_after):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    wait(child)
    assert wait(fork(lambda: attempt(0), folder)) == 0
    assert json.loads((folder / "done.json").read_text()) == whole.losses
    assert torch.equal(torch.load(folder / "weights.pt"), weights(encoder))


def test_processes_with_a_gpu_each_are_not_wrapped(monkeypatch):
    """Lightning would insist on its wrapper there; nothing else of it needs a GPU to see."""
    strategy = UnwrappedDDP()
    strategy._model = strategy._lightning_module = LightningModule()
    monkeypatch.setattr(UnwrappedDDP, "root_device", torch.device("cuda"))
    strategy.configure_ddp()
    assert type(strategy.model) is LightningModule
