"""Measures how the gradients of the two kinds of batches agree, and how noisy they are.

At a probe, two halves of a batch of either kind give four gradients at the same weights, each with the
passages of its own half as negatives. The halves are draws of other items, hence products between them are
free of the noise within a half: v1 . v2 estimates the squared length of the true gradient, and |v1 - v2|^2 / 2
the trace of the covariance of a half's. That is the estimate of McCandlish et al. 2018 (arXiv 1812.06162,
appendix A.1) from batches of b and 2b pairs, where b is half a batch and 2b the whole.

Lookup tables are left out, which would drown the rest, and so is the temperature.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from mixlingual.batches.datamodule import HybridDataModule
from mixlingual.batches.plan import Kind
from mixlingual.files import written_whole
from mixlingual.training.module import RetrieverModule

SHORT = {Kind.MONOLINGUAL: "mono", Kind.CROSSLINGUAL: "cross"}
OF_A_KIND = ("loss", "norm", "square", "trace")
COLUMNS = ("step", *(f"{name}_{short}" for short in SHORT.values() for name in OF_A_KIND), "product", "cosine")

Point = dict[str, float | None]
"""This is one probe, by `COLUMNS`; None stands where the data have one kind only, or a gradient was not finite."""


class GradientProbe(Callback):
    """Measures before every `every`-th step, the first included; writes probes.csv and the trainer's logger.

    Attributes:
        points: the probes so far. `step` counts the steps done before. Of each kind: the mean `loss`, the `norm` of
            the gradient over both halves, the unbiased `square` of the true norm and the `trace` of the covariance
            over single pairs; `product` and `cosine` are those of the two kinds' gradients over both halves.
    """

    def __init__(self, path: Path, data: HybridDataModule, check: Callable[[], None], *, every: int) -> None:
        """Takes the path of the CSV file, what draws batches, what to call before a write, and steps between probes."""
        self.points: list[Point] = []
        self._path = path
        self._data = data
        self._check = check
        self._every = every

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Probes if due; the coming step trains as it would have without."""
        if trainer.global_step % self._every:
            return
        assert isinstance(pl_module, RetrieverModule)
        halves = self._data.probe(trainer.global_step)
        measured = measure({kind: [_gradient(pl_module, half) for half in pair] for kind, pair in halves.items()})
        known = {name: value for name, value in measured.items() if math.isfinite(value)}
        self.points.append({name: known.get(name) for name in COLUMNS} | {"step": trainer.global_step})
        if trainer.is_global_zero:
            self._write()
        if trainer.logger is not None:
            points = {f"probe/{name}": value for name, value in known.items()}
            trainer.logger.log_metrics(points, step=trainer.global_step)

    def summary(self) -> dict[str, float | None]:
        """Returns what result.json keeps: see `summarize`."""
        return summarize(self.points)

    def state_dict(self) -> dict[str, Any]:
        """Returns the points so far."""
        return {"points": list(self.points)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with those of the interrupted run."""
        self.points = list(state_dict["points"])

    def _write(self) -> None:
        self._check()
        with written_whole(self._path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.points)


def measure(halves: dict[Kind, list[tuple[Tensor, Tensor]]]) -> dict[str, float]:
    """Returns the measures of a probe's gradients, by `COLUMNS`; those that need both kinds are there if both are.

    Args:
        halves: of each kind, (losses [pairs], gradient [weights]) of two halves of equal size.
    """
    point: dict[str, float] = {}
    mean: dict[str, Tensor] = {}
    for kind, ((first_loss_N, first), (second_loss_N, second)) in halves.items():
        mean[SHORT[kind]] = (first + second) / 2
        of_kind = (
            torch.cat([first_loss_N, second_loss_N]).mean(),
            mean[SHORT[kind]].norm(),
            first @ second,
            (first - second).square().sum() / 2 * len(first_loss_N),
        )
        point |= {f"{name}_{SHORT[kind]}": float(value) for name, value in zip(OF_A_KIND, of_kind)}
    if len(mean) == len(SHORT):
        point["product"] = float(mean["mono"] @ mean["cross"])
        length = point["norm_mono"] * point["norm_cross"]
        point["cosine"] = point["product"] / length if length else math.nan
    return point


def summarize(points: list[Point]) -> dict[str, float | None]:
    """Returns means over probes: `probes`, their number; of each kind `loss`, `norm` and `noise_scale`; and a `cosine`.

    `noise_scale` is the batch size in pairs at which noise and gradient are of one size, trace / square, B_simple
    of McCandlish et al. 2018. `cosine` is that of the true gradients, product / sqrt(square_mono * square_cross).
    Numerators and denominators are averaged apart, since a mean of noisy ratios is biased. None where a
    denominator is not positive, as noise can make it, or where a kind is missing.
    """
    mean = {name: _mean([point[name] for point in points]) for name in COLUMNS[1:]}
    summary: dict[str, float | None] = {"probes": float(len(points))}
    for short in SHORT.values():
        summary |= {f"{name}_{short}": mean[f"{name}_{short}"] for name in ("loss", "norm")}
        summary[f"noise_scale_{short}"] = _ratio(mean[f"trace_{short}"], mean[f"square_{short}"])
    squares = [mean[f"square_{short}"] for short in SHORT.values()]
    lengths = [math.sqrt(square) for square in squares if square is not None and square > 0]
    summary["cosine"] = _ratio(mean["product"], math.prod(lengths)) if len(lengths) == len(SHORT) else None
    return summary


def _gradient(module: RetrieverModule, half: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns losses [pairs] of all processes, and the gradient [weights] of the backbone without lookup tables."""
    tables = {id(table.weight) for table in module.encoder.modules() if isinstance(table, nn.Embedding)}
    with module.gradient(half) as loss_N:
        weights = [weight for weight in module.encoder.backbone.parameters() if id(weight) not in tables]
        return loss_N, torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return numerator / denominator
