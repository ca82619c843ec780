"""Validates a run at chosen steps: which weights are measured, what is kept, and what follows.

Measured are the weights that the run would end with if it ended there: the average of the weights where it has one, and
token rows that wait for their motion brought up to date. They stand in for the run's own in copies, so that training
goes on with the very bits that it would have had.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from mixlingual.config.schema import ValidationConfig
from mixlingual.files import written_whole
from mixlingual.model.encoder import DualEncoder
from mixlingual.training.averaging import WeightAverage
from mixlingual.training.callbacks import CurveRecorder
from mixlingual.training.gather import from_first
from mixlingual.training.module import RetrieverModule
from mixlingual.training.preemption import PreemptGuard, Request
from mixlingual.training.sharding import whole_weights

log = logging.getLogger(__name__)

Measure = Callable[[DualEncoder, torch.device, bool], dict[str, float]]
"""(encoder on a device, device, whether this process measures alone) -> figure by name, in the first process at least.

All processes call it together, unless one measures alone while the others wait.
"""

Point = dict[str, float]
"""`step`, `pairs` seen, `seconds` of the validation, `value` by which points are compared, and the figures."""


@dataclass(frozen=True)
class Validator:
    """Says what is measured and how points compare."""

    measure: Measure
    compared: Sequence[str]
    """Names of the figures whose mean tells which of two points is better."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the result is to say of the development sets."""


class Validation(Callback):
    """Measures at the steps that the config names and after the last, writes validation.csv, selects and stops.

    Attributes:
        points: those measured so far, in order.
    """

    def __init__(
        self,
        path: Path,
        config: ValidationConfig,
        validator: Validator,
        *,
        pairs: int,
        sharded: bool,
        whole: DualEncoder,
        average: WeightAverage | None,
        recorder: CurveRecorder,
        guard: PreemptGuard,
        check: Callable[[], None],
    ) -> None:
        """Takes what the run has.

        Args:
            path: of the CSV file.
            config: the `validation` options.
            validator: what is measured.
            pairs: of a step.
            sharded: whether each process has a part of the weights.
            whole: where that is so, the first process's copy receives all of them to be measured.
            average: of the weights, if the run has one.
            recorder: is told what time was no training.
            guard: knows whether the run is about to leave.
            check: to be called before a write.
        """
        self.points: list[Point] = []
        self._path = path
        self._config = config
        self._validator = validator
        self._pairs = pairs
        self._sharded = sharded
        self._whole = whole
        self._average = average
        self._recorder = recorder
        self._guard = guard
        self._check = check
        self._best: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets a run that has ended early, and is started again, train no more."""
        trainer.should_stop = self.stops

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures before the first step, if that is due, or what an interrupted attempt left undone."""
        if trainer.is_global_zero:
            self._write()
        self._measure_if_due(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measures if due; a run that is about to leave does so first, and measures when it is started again."""
        stays = self._guard.request <= Request.CHECKPOINT or trainer.global_step == trainer.max_steps
        if stays and self._measure_if_due(trainer, pl_module):
            self._guard.agree_again(trainer)

    @property
    def best(self) -> Point | None:
        """Returns the best point; of equal ones the first. None if there is none."""
        sign = -1 if self._config.measure == "loss" else 1
        return max(self.points, key=lambda point: sign * point["value"], default=None)

    @property
    def stops(self) -> bool:
        """Tells whether so many points in a row were no better than one before that training ends."""
        since = [point for point in self.points if self.best and point["step"] > self.best["step"]]
        return self._config.patience is not None and len(since) >= self._config.patience

    def take_best(self, encoder: torch.nn.Module) -> None:
        """Sets the weights to those of the best point, where the config selects them."""
        if self._best:
            encoder.load_state_dict(self._best, strict=False)

    def summary(self) -> dict[str, Any]:
        """Returns what result.json keeps; nothing where a finished training was not measured.

        `points`: as in validation.csv; `measure`: what compares them; `selected`: the step whose weights are saved and
        evaluated; `stopped`: whether training ended early; and what is known of the development sets.
        """
        if self.best is None:
            return {}
        selected = self.best if self._config.select == "best" else self.points[-1]
        return {
            "measure": self._config.measure,
            "selected": selected["step"],
            "stopped": self.stops,
            "points": self.points,
            **self._validator.about,
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed run needs."""
        return {"points": list(self.points), "best": self._best, "of": self._of}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the points of the interrupted run, unless it was measured on other sets, by another measure."""
        if state_dict["of"] == self._of:
            self.points, self._best = list(state_dict["points"]), dict(state_dict["best"])
        elif state_dict["points"]:
            log.warning("the run was validated otherwise before it was interrupted; these points are left out")

    @property
    def _of(self) -> list[Any]:
        """Returns what tells whether points belong to one curve."""
        return [self._config.measure, self._validator.about]

    def _measure_if_due(self, trainer: Trainer, module: LightningModule) -> bool:
        step, every = trainer.global_step, self._config.every
        due = step in self._config.at or step == trainer.max_steps or bool(every and step and step % every == 0)
        if not due or (self.points and self.points[-1]["step"] >= step):
            return False
        assert isinstance(module, RetrieverModule)
        began = time.perf_counter()
        with self._encoder(module, step) as encoder:
            figures = from_first(self._validator.measure(encoder, module.device, self._sharded) if encoder else {})
            value = sum(figures[name] for name in self._validator.compared) / len(self._validator.compared)
            seconds = time.perf_counter() - began
            own = {"step": step, "pairs": step * self._pairs, "seconds": seconds, "value": value}
            self.points.append(own | figures)
            if encoder and self._config.select == "best" and self.best is self.points[-1]:
                self._best = {name: weight.cpu().clone() for name, weight in _trained(encoder)}
        trainer.should_stop = trainer.should_stop or self.stops
        self._tell(trainer)
        self._recorder.leave_out(time.perf_counter() - began)
        return True

    @contextmanager
    def _encoder(self, module: RetrieverModule, step: int) -> Iterator[DualEncoder | None]:
        """Yields the encoder with the weights that count; None in a process that has none to measure."""
        if self._sharded:
            weights = whole_weights(module.encoder)
            if weights:
                self._whole.load_state_dict(weights)
            yield self._whole.to(module.device) if weights else None
            self._whole.cpu()
            return
        own = {weight: weight.data for _, weight in _trained(module)}
        try:
            for name, weight in _trained(module) if step else ():
                current = module.optimizer.finished(weight).data
                weight.data = self._average.at(name, current, step) if self._average else current
            yield module.encoder
        finally:
            for weight, data in own.items():
                weight.data = data

    def _tell(self, trainer: Trainer) -> None:
        point, best = self.points[-1], self.best
        if trainer.is_global_zero:
            than = (
                "" if best is None or best is point else f"; the best is {best['value']:.4f} after step {best['step']}"
            )
            found = f"{self._config.measure} {point['value']:.4f}{than}"
            log.info("validated after step %d in %.1f s: %s", point["step"], point["seconds"], found)
            if self.stops:
                log.info("no better for %s validations: training ends", self._config.patience)
            self._write()
        if trainer.logger is not None:
            shown = {f"validation/{name}": value for name, value in point.items() if name not in ("step", "pairs")}
            trainer.logger.log_metrics(shown, step=trainer.global_step)

    def _write(self) -> None:
        self._check()
        if not self.points:
            self._path.unlink(missing_ok=True)
            return
        with written_whole(self._path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.points[0]))
            writer.writeheader()
            writer.writerows(self.points)


def _trained(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    return ((name, weight) for name, weight in module.named_parameters() if weight.requires_grad)
