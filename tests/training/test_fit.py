"""Training through Lightning: the numbers of a plain loop, our sampler, exact resumption, honest failure."""

import copy
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from pytorch_lightning import LightningModule
from training_fixture import STEPS, prepare, train, weights

from mixlingual.batches.datamodule import ResumableLoader, StepBatches
from mixlingual.model.loss import info_nce
from mixlingual.records import MixlingualError
from mixlingual.training.checkpoint import newest_checkpoint
from mixlingual.training.fit import UnwrappedDDP
from mixlingual.training.schedule import make_scheduler

HERE = [str(folder) for folder in Path(__file__).parents[:2]]
"""Where a process of its own finds this module and its fixture."""


def naive_losses(encoder, batch, accumulate):
    """The losses of a step by the plainest code: every text of every pair padded to the longest, one forward pass.

    The texts come from the batch; that they are those of the pairs is tested with the batches.
    """
    texts = batch["token_ids"].split(batch["lengths"].tolist())
    losses = []
    size = len(batch["item"]) // accumulate
    for part in range(accumulate):
        pairs = slice(part * size, (part + 1) * size)
        sides = []
        for side in ("query", "passage"):
            rows = [texts[place] for place in batch[side][pairs].tolist()]
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=encoder.pad_id).long()
            mask = (torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]).long()
            sides.append(encoder(ids, mask))
        item = batch["item"][pairs]
        losses.append(info_nce(*sides, item, item, encoder.temperature))
    return torch.cat(losses)


@pytest.mark.parametrize("embeddings", ["rows", "dense"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning_trains_as_a_plain_loop_does(tmp_path, accumulate, embeddings):
    """The plain loop: padded texts, one backward pass, the dense AdamW of PyTorch over the whole token table."""
    encoder, data, batches, config = prepare(dropout=0.0, accumulate=accumulate, optim={"embeddings": embeddings})
    plain = copy.deepcopy(encoder)
    result = train(tmp_path, encoder, data, config)

    matrices = [weight for weight in plain.parameters() if weight.ndim > 1]
    others = [weight for weight in plain.parameters() if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.optim.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.optim.learning_rate, eps=config.optim.eps)
    scheduler = make_scheduler(optimizer, config.optim, STEPS)
    losses, rates, norms = [], [], []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        loss = naive_losses(plain, batches[step], accumulate).mean()
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


def test_curves_tell_the_kinds_apart(tmp_path):
    encoder, data, batches, config = prepare()
    train(tmp_path, encoder, data, config)
    curves = pd.read_csv(tmp_path / "curves.csv")
    monolingual = [bool(batches[i]["monolingual"].all()) for i in range(STEPS)]
    assert set(monolingual) == {True, False}
    assert curves.loss_mono.notna().tolist() == monolingual
    assert curves.loss_cross.isna().tolist() == monolingual


def test_lightning_uses_our_batches_in_our_order(tmp_path, monkeypatch):
    encoder, data, _, config = prepare()
    served = []
    original = StepBatches.__getitem__
    monkeypatch.setattr(StepBatches, "__getitem__", lambda self, i: served.append(i) or original(self, i))
    train(tmp_path, encoder, data, config)
    assert served == list(range(STEPS))


def test_loading_workers_do_not_change_the_weights(tmp_path):
    ends = []
    for workers in (0, 2):
        encoder, data, _, config = prepare(workers=workers)
        train(tmp_path / str(workers), encoder, data, config)
        ends.append(weights(encoder))
    assert torch.equal(*ends)


def test_the_loader_goes_on_where_it_was():
    _, _, batches, _ = prepare()
    loader = ResumableLoader(batches, workers=2)
    handed = iter(loader)
    for _ in range(5):
        next(handed)
    resumed = ResumableLoader(batches, workers=0)
    resumed.load_state_dict(loader.state_dict())
    assert [int(batch["step"]) for batch in resumed] == list(range(5, STEPS))
    assert len(resumed) == STEPS


class InterruptionError(Exception):
    pass


@pytest.mark.parametrize(("accumulate", "stop", "workers"), [(1, 7, 0), (1, 7, 2), (2, 11, 0), (2, 16, 0)])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, monkeypatch, accumulate, stop, workers):
    encoder, data, _, config = prepare(accumulate=accumulate)
    whole = train(tmp_path / "whole", encoder, data, config)

    original = StepBatches.__getitem__
    with monkeypatch.context() as patch:

        def breaks(self, index):
            if index == stop:
                raise InterruptionError
            return original(self, index)

        patch.setattr(StepBatches, "__getitem__", breaks)
        first, data, _, config = prepare(accumulate=accumulate, checkpoint_steps=3)
        with pytest.raises(InterruptionError):
            train(tmp_path / "cut", first, data, config)
    second, data, _, config = prepare(accumulate=accumulate, checkpoint_steps=3, workers=workers)
    assert train(tmp_path / "cut", second, data, config).losses == whole.losses
    assert torch.equal(weights(second), weights(encoder))
    curves = [pd.read_csv(tmp_path / name / "curves.csv").drop(columns="pairs_per_second") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*curves)


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    encoder, data, _, config = prepare(checkpoint_steps=3, keep_checkpoints=3)
    train(tmp_path, encoder, data, config)
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

    again, data, _, config = prepare(checkpoint_steps=3, keep_checkpoints=3)
    train(tmp_path, again, data, config)
    assert torch.equal(weights(again), weights(encoder))
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_a_checkpoint_of_another_config_is_not_used(tmp_path):
    encoder, data, _, config = prepare(checkpoint_steps=3)
    train(tmp_path, encoder, data, config)
    config.optim.learning_rate = 0.5
    other, data, _, _ = prepare()
    alone = copy.deepcopy(other)
    train(tmp_path, other, data, config)
    train(tmp_path / "alone", alone, prepare()[1], config)
    assert torch.equal(weights(other), weights(alone))


DEALT = """
    import sys, json, os
    sys.path[:0] = {here!r}
    import test_fit as t, training_fixture as f
    from pathlib import Path
    print(json.dumps(t.dealt_losses(Path({folder!r}), {world})))
"""


def dealt_losses(folder, world, **options):
    """(item numbers that this process trained on, losses of all steps, weights) of a run without dropout."""
    served = []
    original = StepBatches.__getitem__

    def recording(self, index):
        batch = original(self, index)
        served.append(batch["item"].tolist())
        return batch

    StepBatches.__getitem__ = recording
    try:
        encoder, data, _, config = prepare(dropout=0.0, devices=world, **options)
        result = train(folder, encoder, data, config)
    finally:
        StepBatches.__getitem__ = original
    return served, result.losses, weights(encoder).tolist()


@pytest.mark.parametrize("world", [2, 4])
def test_any_number_of_processes_trains_alike(tmp_path, world):
    served, losses, end = dealt_losses(tmp_path / "one", 1)
    code = textwrap.dedent(DEALT).format(here=HERE, folder=str(tmp_path / "all"), world=world)
    script = tmp_path / "script.py"
    script.write_text(code)
    (tmp_path / "all").mkdir()
    launched = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world),
         "--log-dir", str(tmp_path / "log"), "--redirects", "3", str(script)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    logs = {int(path.parent.name): path.read_text() for path in tmp_path.glob("log/**/stdout.log")}
    assert launched.returncode == 0, "".join(path.read_text() for path in tmp_path.glob("log/**/stderr.log"))
    assert sorted(logs) == list(range(world))
    for rank, text in logs.items():
        dealt, seen, weights_there = json.loads(text.splitlines()[-1])
        assert dealt == [items[rank::world] for items in served]
        assert seen == pytest.approx(losses, rel=1e-4)
        assert weights_there == pytest.approx(end, abs=1e-4)


def test_bf16_trains_much_as_fp32_does(tmp_path):
    ends = []
    for name in ("32-true", "bf16-mixed"):
        encoder, data, _, config = prepare(precision=name)
        ends.append(train(tmp_path / name, encoder, data, config).losses)
    assert ends[1] == pytest.approx(ends[0], rel=0.1)
    assert ends[1] != ends[0]


def test_devices_need_as_many_processes(tmp_path):
    encoder, data, _, config = prepare(devices=2)
    with pytest.raises(
        MixlingualError,
        match=r"trainer\.devices=2 on each of trainer\.nodes=1, but there are 1 processes; start the run with torchrun",
    ):
        train(tmp_path, encoder, data, config)


KILLED = """
    import sys, json, torch
    sys.path[:0] = {here!r}
    import test_fit as t, training_fixture as f
    from pathlib import Path
    encoder, data, _, config = f.prepare(checkpoint_steps=2, workers={workers})
    result = f.train(Path({folder!r}), encoder, data, config)
    torch.save(f.weights(encoder), Path({folder!r}, "weights.pt"))
    Path({folder!r}, "done.json").write_text(json.dumps(result.losses))
"""


@pytest.mark.parametrize("kill_after", [3, 5, 6, 9, 11])
def test_a_killed_process_goes_on_and_ends_with_the_same_bits(tmp_path, kill_after):
    """SIGKILL as soon as the curve shows the step, so that the kill falls anywhere in the next one."""
    encoder, data, _, config = prepare()
    whole = train(tmp_path / "whole", encoder, data, config)
    folder = tmp_path / "cut"
    folder.mkdir()

    def start(workers):
        code = textwrap.dedent(KILLED).format(here=HERE, folder=str(folder), workers=workers)
        return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)

    process = start(workers=kill_after % 2)
    curves = folder / "curves.csv"
    deadline = time.monotonic() + 120
    while not (curves.exists() and len(curves.read_text().splitlines()) > kill_after) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(workers=0).wait(timeout=120) == 0
    assert json.loads((folder / "done.json").read_text()) == whole.losses
    assert torch.equal(torch.load(folder / "weights.pt"), weights(encoder))


def test_processes_with_a_gpu_each_are_not_wrapped(monkeypatch):
    """Lightning would insist on its wrapper there; nothing else of it needs a GPU to see."""
    strategy = UnwrappedDDP()
    strategy._model = strategy._lightning_module = LightningModule()
    monkeypatch.setattr(UnwrappedDDP, "root_device", torch.device("cuda"))
    strategy.configure_ddp()
    assert type(strategy.model) is LightningModule
