"""Probes measure what plain autograd does, leave no trace in training, and outlive interruptions."""

import copy
import math
from contextlib import contextmanager

import pandas as pd
import pytest
import torch
from forks import on_ranks
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from training_fixture import STEPS, naive_losses, prepare, resumed, train, trained, weights

from mixlingual.batches.plan import Kind
from mixlingual.training.fit import fit
from mixlingual.training.module import RetrieverModule
from mixlingual.training.preemption import Signals
from mixlingual.training.probes import COLUMNS, measure, summarize


def points_of(folder):
    """Returns the rows of probes.csv, with None where a cell is empty."""
    table = pd.read_csv(folder / "probes.csv")
    return [{name: None if pd.isna(x) else x for name, x in row.items()} for row in table.to_dict("records")]


def plain_gradient(encoder, half, config):
    """Returns (mean loss, flat gradient of what is no lookup table) by one backward pass over padded texts."""
    encoder = copy.deepcopy(encoder)
    loss = naive_losses(encoder, half, config).mean()
    loss.backward()
    tables = [module.weight for module in encoder.modules() if isinstance(module, nn.Embedding)]
    kept = [w for w in encoder.backbone.parameters() if w.grad is not None and not any(w is table for table in tables)]
    return loss.item(), torch.cat([weight.grad.flatten() for weight in kept]).double()


@pytest.mark.parametrize(("accumulate", "embeddings"), [(1, "rows"), (2, "dense")])
def test_a_probe_measures_what_plain_autograd_does(tmp_path, accumulate, embeddings):
    encoder, data, batches, config = prepare(
        dropout=0.0, accumulate=accumulate, probe_every=STEPS, optim={"embeddings": embeddings}
    )
    expected = {"step": 0}
    whole = {}
    for kind, short in ((Kind.MONOLINGUAL, "mono"), (Kind.CROSSLINGUAL, "cross")):
        halves = batches.probe(0)[kind]
        (loss1, first), (loss2, second) = (plain_gradient(encoder, half, config) for half in halves)
        whole[short] = (first + second) / 2
        small, large = (first.norm() ** 2 + second.norm() ** 2) / 2, whole[short].norm() ** 2
        expected |= {
            f"loss_{short}": (loss1 + loss2) / 2,
            f"norm_{short}": large.sqrt().item(),
            # McCandlish et al. 2018, appendix A.1, with batches of 4 and 8 pairs
            f"square_{short}": ((8 * large - 4 * small) / (8 - 4)).item(),
            f"trace_{short}": ((small - large) / (1 / 4 - 1 / 8)).item(),
        }
    expected["product"] = (whole["mono"] @ whole["cross"]).item()
    expected["cosine"] = torch.cosine_similarity(whole["mono"], whole["cross"], dim=0).item()
    result = train(tmp_path, encoder, data, config)
    (point,) = points_of(tmp_path)
    assert list(point) == list(COLUMNS)
    assert point == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert abs(point["cosine"]) > 0.01
    assert result.probes == summarize([point])


@pytest.mark.parametrize(
    ("embeddings", "frozen", "exact"), [("dense", False, True), ("rows", True, True), ("rows", False, False)]
)
def test_probes_leave_no_trace_in_training(tmp_path, embeddings, frozen, exact):
    """With rows, a probe brings rows up to date at other moments, which rounds differently."""
    ends = []
    for every in (None, 3):
        encoder, data, _, config = prepare(probe_every=every, optim={"embeddings": embeddings})
        encoder.backbone.get_input_embeddings().weight.requires_grad = not frozen
        result = train(tmp_path / str(every), encoder, data, config)
        ends.append((torch.tensor(result.losses), weights(encoder)))
        assert (result.probes != {}) == (every is not None)
    assert not (tmp_path / "None" / "probes.csv").exists()
    assert [point["step"] for point in points_of(tmp_path / "3")] == list(range(0, STEPS, 3))
    for without, beside in zip(*ends):
        if exact:
            assert torch.equal(without, beside)
        else:
            torch.testing.assert_close(without, beside, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_pure_ratio_gives_one_kind(tmp_path, ratio):
    _, result = trained(tmp_path, probe_every=10, batching={"monolingual_ratio": ratio})
    there, missing = ("mono", "cross") if ratio else ("cross", "mono")
    for point in points_of(tmp_path):
        empty = {name for name, value in point.items() if value is None}
        assert empty == {"product", "cosine", *(f"{name}_{missing}" for name in ("loss", "norm", "square", "trace"))}
    assert result.probes[f"loss_{there}"] > 0
    assert result.probes["cosine"] is result.probes[f"noise_scale_{missing}"] is None


def test_an_interrupted_run_keeps_its_points(tmp_path):
    options = {"probe_every": 2, "checkpoint_steps": 3}
    encoder, whole = trained(tmp_path / "whole", **options)
    second, result = resumed(tmp_path / "cut", 11, **options)
    assert result.probes == whole.probes
    assert torch.equal(weights(second), weights(encoder))
    assert (tmp_path / "cut/probes.csv").read_text() == (tmp_path / "whole/probes.csv").read_text()


def test_the_logger_gets_the_points(tmp_path):
    encoder, data, _, config = prepare(probe_every=7)
    logger = CSVLogger(tmp_path, name="", version="")
    fit(encoder, data, config, steps=STEPS, data_fingerprint="d", folder=tmp_path, logger=logger, signals=Signals(None))
    logged = pd.read_csv(tmp_path / "metrics.csv")
    for name in COLUMNS[1:]:
        shown = logged[["step", f"probe/{name}"]].dropna()
        assert shown.step.tolist() == [0, 7, 14]
        assert shown[f"probe/{name}"].tolist() == pytest.approx([point[name] for point in points_of(tmp_path)])


def test_numbers_that_are_not_finite_are_left_out(tmp_path, monkeypatch):
    """A probe does not end a run whose own steps are sound, and result.json can hold no NaN."""
    original = RetrieverModule.gradient

    @contextmanager
    def broken(self, batch):
        with original(self, batch) as loss_N:
            probed = ~int(batch["step"])
            yield loss_N * math.nan if probed // 4 == 10 and probed % 4 < 2 else loss_N

    monkeypatch.setattr(RetrieverModule, "gradient", broken)
    _, result = trained(tmp_path, probe_every=10)
    first, second = points_of(tmp_path)
    assert second["loss_mono"] is None
    assert result.probes["loss_mono"] == first["loss_mono"]
    assert result.probes["loss_cross"] == (first["loss_cross"] + second["loss_cross"]) / 2


def test_the_summary_recovers_a_known_noise_scale_and_cosine():
    """Per-pair gradients with known means and covariance; a half holds 8 pairs."""
    generator = torch.Generator().manual_seed(0)
    true = {Kind.MONOLINGUAL: torch.tensor([0.3, 0.0, 0.4]), Kind.CROSSLINGUAL: torch.tensor([0.0, 0.6, 0.8])}
    spread = {Kind.MONOLINGUAL: torch.tensor([1.0, 2.0, 2.0]), Kind.CROSSLINGUAL: torch.tensor([3.0, 1.0, 0.0])}
    points = []
    for _ in range(4000):
        pairs = {kind: torch.randn(2, 8, 3, generator=generator) * spread[kind] + true[kind] for kind in Kind}
        points.append(measure({kind: [(torch.ones(8), half.mean(0)) for half in pairs[kind]] for kind in Kind}))
    summary = summarize(points)
    assert summary["probes"] == 4000
    assert summary["noise_scale_mono"] == pytest.approx(9 / 0.25, rel=0.1)
    assert summary["noise_scale_cross"] == pytest.approx(10 / 1.0, rel=0.1)
    assert summary["cosine"] == pytest.approx(0.32 / (0.5 * 1.0), rel=0.1)
    naive = sum(point["cosine"] for point in points) / len(points)
    assert naive < 0.8 * summary["cosine"], "the noise of the halves shortens every single cosine"


def test_a_summary_without_a_positive_square_has_no_ratios():
    opposite = [(torch.ones(2), torch.tensor([1.0])), (torch.ones(2), torch.tensor([-1.0]))]
    alike = [(torch.ones(2), torch.tensor([1.0]))] * 2
    summary = summarize([measure({Kind.MONOLINGUAL: opposite, Kind.CROSSLINGUAL: alike})])
    assert summary["noise_scale_mono"] is summary["cosine"] is None
    assert summary["noise_scale_cross"] == 0


def test_two_processes_probe_and_average_as_one_does(tmp_path):
    options = {"dropout": 0.0, "probe_every": 5, "optim": {"average": "ewa"}}
    end = weights(trained(tmp_path / "one", **options)[0])
    for there in on_ranks(tmp_path, 2, lambda: weights(trained(tmp_path / "two", devices=2, **options)[0])):
        torch.testing.assert_close(there, end, rtol=0, atol=1e-4)
    for point, expected in zip(points_of(tmp_path / "two"), points_of(tmp_path / "one"), strict=True):
        assert point == pytest.approx(expected, rel=2e-2, abs=1e-3)
