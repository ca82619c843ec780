"""The learning rate rises and falls over the steps as the schedule says."""

import pytest
import torch

from mixlingual.config.schema import OptimConfig
from mixlingual.training.optimizer import make_optimizer
from mixlingual.training.schedule import budget_steps, make_scheduler, rate_factor


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_every_step_moves_the_weights(schedule, steps):
    rates = [rate_factor(step, steps, 0.1, schedule) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_shapes_after_the_warm_up():
    assert [rate_factor(s, 12, 0.25, "linear") for s in (0, 1, 2, 3, 9, 12)] == [0.25, 0.5, 0.75, 1.0, 1 / 3, 0.0]
    assert rate_factor(5, 10, 0.0, "cosine") == pytest.approx(0.5)
    assert rate_factor(9, 10, 0.0, "constant") == 1.0


def test_the_scheduler_follows_the_factor():
    layer, config = torch.nn.Linear(3, 3), OptimConfig(learning_rate=2.0, warmup=0.5, schedule="linear")
    optimizer = make_optimizer(layer.parameters(), config)
    scheduler = make_scheduler(optimizer, config, steps=4)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([2 / 3, 4 / 3, 2.0, 1.0])


def test_a_budget_in_pairs_is_rounded_up_to_whole_batches():
    assert budget_steps(7, None, 64) == 7
    assert budget_steps(None, 129, 64) == 3
    assert budget_steps(None, 128, 64) == 2
