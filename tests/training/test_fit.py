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

from mixlingual.batches.datamodule import HybridDataModule, MicroBatches, ResumableLoader
from mixlingual.batches.permutation import derive_key
from mixlingual.batches.pools import make_sampler
from mixlingual.config import BatchingConfig, ModelConfig, OptimConfig, ScratchConfig, TrainConfig, TrainerConfig
from mixlingual.model.load import load_encoder
from mixlingual.model.loss import info_nce
from mixlingual.records import MixlingualError, ParallelCorpus, ParallelItem
from mixlingual.training.checkpoint import newest_checkpoint
from mixlingual.training.fit import fit
from mixlingual.training.module import ROWS_TOGETHER, embed
from mixlingual.training.schedule import make_optimizer, make_scheduler

STEPS = 20


def corpus(size=40):
    items = tuple(
        ParallelItem(
            f"{i}", "s",
            {x: f"{x} question number {i} about {i % 7}" for x in ("aa", "bb")},
            {x: f"{x} the passage that answers {i}" for x in ("aa", "bb")},
        )
        for i in range(size)
    )  # fmt: skip
    return ParallelCorpus("toy", items, ("aa", "bb"), {"s": 1.0}, "0")


def prepare(dropout=0.1, **trainer):
    """(encoder, data module, micro-batches, config) of a tiny run."""
    config = TrainConfig(
        model=ModelConfig(scratch=ScratchConfig(1, 16, 2, 32, 400, dropout), learn_temperature=True),
        batching=BatchingConfig(batch_size=8),
        optim=OptimConfig(learning_rate=0.01, eps=1e-3),  # Adam blows up rounding where gradients are 0
        trainer=TrainerConfig(**({"steps": STEPS, "log_every": 1, "checkpoint_minutes": None} | trainer)),
    )
    data = corpus()
    accumulate = config.trainer.accumulate
    sampler = make_sampler(data, config.batching, seed=0, steps=STEPS, accumulate=accumulate)
    texts = [text for item in data.items for text in (*item.query.values(), *item.passage.values())]
    encoder, tokenizer = load_encoder(config.model, lambda: texts, seed=0)
    batches = MicroBatches(data, sampler, tokenizer, steps=STEPS, accumulate=accumulate)
    return encoder, HybridDataModule(batches, workers=config.trainer.workers), batches, config


def train(folder, encoder, data, config):
    folder.mkdir(exist_ok=True)
    return fit(encoder, data, config, steps=STEPS, data_fingerprint="d", folder=folder, logger=None)


def weights(encoder):
    return torch.cat([parameter.detach().flatten() for parameter in encoder.parameters()])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning_trains_as_a_plain_loop_does(tmp_path, accumulate):
    encoder, data, batches, config = prepare(accumulate=accumulate)
    plain = copy.deepcopy(encoder)
    result = train(tmp_path, encoder, data, config)

    optimizer = make_optimizer(plain.parameters(), config.optim)
    scheduler = make_scheduler(optimizer, config.optim, STEPS)
    losses, rates = [], []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        step_losses = []
        for index in range(step * accumulate, (step + 1) * accumulate):
            batch = batches[index]
            torch.manual_seed(derive_key(0, "dropout", index, 0))
            query = embed(plain, batch["query_ids"], batch["query_mask"])
            passage = embed(plain, batch["passage_ids"], batch["passage_mask"])
            loss = info_nce(query, passage, batch["item"], batch["item"], plain.temperature)
            (loss.mean() / accumulate).backward()
            step_losses += loss.tolist()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), config.optim.gradient_clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(sum(step_losses) / len(step_losses))
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert curves.step.tolist() == list(range(1, STEPS + 1))
    assert curves.loss.tolist() == pytest.approx(losses, rel=1e-5)
    assert curves.learning_rate.tolist() == pytest.approx(rates)
    assert torch.allclose(weights(encoder), weights(plain), atol=1e-5)
    assert not torch.allclose(weights(encoder), weights(prepare()[0]), atol=1e-3), "the weights moved"
    assert result.summary() == {
        "steps": STEPS,
        "pairs": STEPS * 8,
        "final_loss": pytest.approx(sum(losses[-2:]) / 2, rel=1e-5),
    }
    kinds = [batches[i]["monolingual"].all() for i in range(STEPS * accumulate)]
    masks = [batches[i]["query_mask"].sum() + batches[i]["passage_mask"].sum() for i in range(STEPS * accumulate)]
    assert result.tokens["monolingual"] == sum(int(n) for n, mono in zip(masks, kinds) if mono)
    assert result.tokens["crosslingual"] == sum(int(n) for n, mono in zip(masks, kinds) if not mono)
    assert sum(losses[-8:]) < sum(losses[:8])


def test_texts_of_like_length_together_give_the_same_embeddings_and_gradients():
    encoder, _, batches, _ = prepare(dropout=0.0)
    ids, mask = (torch.cat([part] * 5) for part in (batches[0]["query_ids"], batches[0]["query_mask"]))
    mask = mask.clone()
    for row in range(len(mask)):
        mask[row, 3 + row % (mask.shape[1] - 3) :] = 0
    assert len(mask) > 2 * ROWS_TOGETHER
    gradients = []
    for embedding in (embed(encoder, ids, mask), encoder(ids, mask)):
        encoder.zero_grad()
        (embedding * torch.arange(embedding.numel()).view_as(embedding)).sum().backward()
        gradients.append((embedding.detach(), torch.cat([p.grad.flatten() for p in encoder.backbone.parameters()])))
    assert torch.allclose(gradients[0][0], gradients[1][0], atol=1e-6)
    assert torch.allclose(gradients[0][1], gradients[1][1], rtol=1e-3, atol=1e-2 * gradients[1][1].abs().mean())


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
    original = MicroBatches.__getitem__
    monkeypatch.setattr(MicroBatches, "__getitem__", lambda self, i: served.append(i) or original(self, i))
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
    assert [int(batch["index"]) for batch in resumed] == list(range(5, STEPS))
    assert len(resumed) == STEPS


class InterruptionError(Exception):
    pass


@pytest.mark.parametrize(("accumulate", "stop", "workers"), [(1, 7, 0), (1, 7, 2), (2, 11, 0), (2, 16, 0)])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, monkeypatch, accumulate, stop, workers):
    encoder, data, _, config = prepare(accumulate=accumulate)
    whole = train(tmp_path / "whole", encoder, data, config)

    original = MicroBatches.__getitem__
    with monkeypatch.context() as patch:

        def breaks(self, index):
            if index == stop:
                raise InterruptionError
            return original(self, index)

        patch.setattr(MicroBatches, "__getitem__", breaks)
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


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    encoder, data, _, config = prepare()
    config.optim.learning_rate, config.optim.gradient_clip = 1e30, None
    with pytest.raises(MixlingualError, match=r"the loss is nan at step \d+; lower optim.learning_rate"):
        train(tmp_path, encoder, data, config)


def test_no_steps_leave_the_encoder_alone(tmp_path):
    encoder, data, _, config = prepare()
    before = weights(encoder).clone()
    assert fit(encoder, data, config, steps=0, data_fingerprint="d", folder=tmp_path, logger=None).summary() == {
        "steps": 0,
        "pairs": 0,
    }
    assert torch.equal(weights(encoder), before)


DEALT = """
    import sys, json, os
    sys.path.insert(0, {here!r})
    import test_fit as t
    from pathlib import Path
    print(json.dumps(t.dealt_losses(Path({folder!r}), {world})))
"""


def dealt_losses(folder, world, **options):
    """(item numbers that this process trained on, losses of all steps, weights) of a run without dropout."""
    served = []
    original = MicroBatches.__getitem__

    def recording(self, index):
        batch = original(self, index)
        served.append(batch["item"].tolist())
        return batch

    MicroBatches.__getitem__ = recording
    try:
        encoder, data, _, config = prepare(dropout=0.0, devices=world, **options)
        result = train(folder, encoder, data, config)
    finally:
        MicroBatches.__getitem__ = original
    return served, result.losses, weights(encoder).tolist()


@pytest.mark.parametrize("world", [2, 4])
def test_any_number_of_processes_trains_alike(tmp_path, world):
    served, losses, end = dealt_losses(tmp_path / "one", 1)
    code = textwrap.dedent(DEALT).format(here=str(Path(__file__).parent), folder=str(tmp_path / "all"), world=world)
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
        MixlingualError, match=r"trainer\.devices=2, but there are 1 processes; start the run with torchrun"
    ):
        train(tmp_path, encoder, data, config)


KILLED = """
    import sys, json, torch
    sys.path.insert(0, {here!r})
    import test_fit as t
    from pathlib import Path
    encoder, data, _, config = t.prepare(checkpoint_steps=2, workers={workers})
    result = t.train(Path({folder!r}), encoder, data, config)
    torch.save(t.weights(encoder), Path({folder!r}, "weights.pt"))
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
        code = textwrap.dedent(KILLED).format(here=str(Path(__file__).parent), folder=str(folder), workers=workers)
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
