"""Averages the weights exponentially over the steps, so that a fixed budget needs no tuned schedule.

Zhang et al. 2024 (arXiv 2410.21676) train at a constant rate and evaluate such an average instead of
letting the rate fall. The weights before the first step have no part in it: what zeros at the start leave
out is made up for as in Adam (Kingma & Ba 2015, arXiv 1412.6980, section 3), so that short runs are averages
of trained weights too.
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from mixlingual.training.module import RetrieverModule

EVERY = 10
"""The average looks at the weights every so many steps; each look is one pass over all of them."""

_DECAYS = ((512, 0.9995), (1024, 0.999), (2048, 0.998), (4096, 0.995))
"""Each pair is (largest batch, decay of a step). The values are those of arXiv 2410.21676 for batches of sequences."""


def decay_for(batch_size: int) -> float:
    """Returns the decay of a step of `batch_size` pairs."""
    return next((decay for largest, decay in _DECAYS if batch_size <= largest), 0.99)


class WeightAverage(Callback):
    """Averages what is trained; `take` puts the average in place of the weights.

    After looks at steps 0 < k_1 < ... < k_n, and with k_0 = 0, the average of the weights w_1 ... w_n is

        sum over i of (1 - d ** (k_i - k_{i-1})) * d ** (k_n - k_i) * w_i,    over 1 - d ** k_n.

    It is that of all steps, were the weights at a look those of every step since the one before.
    """

    def __init__(self, decay: float) -> None:
        """Takes the decay d of a step, in [0, 1)."""
        self._decay = decay
        self._sums: dict[str, Tensor] = {}
        self._step = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the weights every few steps and after the last."""
        if trainer.global_step % EVERY == 0 or trainer.global_step == trainer.max_steps:
            assert isinstance(pl_module, RetrieverModule)
            pl_module.optimizer.finish()
            self.look(pl_module, trainer.global_step)

    @torch.no_grad()
    def look(self, module: torch.nn.Module, step: int) -> None:
        """Adds the weights at a step, later than the last one added."""
        for name, weight in module.named_parameters():
            if weight.requires_grad:
                self._sums[name] = self._added(name, weight, step)
        self._step = step

    @torch.no_grad()
    def at(self, name: str, weight: Tensor, step: int) -> Tensor:
        """Returns the average of a weight that a run which ends at a step, with this weight, would take; adds no look.

        Args:
            name: of the weight.
            weight: its value after the step, brought up to date.
            step: the current one.
        """
        total = self._sums[name].to(weight.device) if step == self._step else self._added(name, weight, step)
        return total / (1 - self._decay**step)

    def _added(self, name: str, weight: Tensor, step: int) -> Tensor:
        """Returns the sum of a weight with a look at a step, as a new tensor."""
        earlier = self._sums[name].to(weight.device) if name in self._sums else torch.zeros_like(weight)
        return earlier.lerp(weight, 1 - self._decay ** (step - self._step))

    def end(self, module: torch.nn.Module, step: int) -> None:
        """Looks at the weights of the last step, unless that is done; a run that ends early has no look there yet."""
        if step > self._step:
            self.look(module, step)

    @torch.no_grad()
    def take(self, module: torch.nn.Module) -> None:
        """Sets the weights of the module to their average, after at least one look."""
        for name, weight in module.named_parameters():
            if name in self._sums:
                weight.copy_(self._sums[name] / (1 - self._decay**self._step))

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed run needs."""
        return {"sums": self._sums, "step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the average of the interrupted run."""
        self._sums, self._step = dict(state_dict["sums"]), state_dict["step"]
