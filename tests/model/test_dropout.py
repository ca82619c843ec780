"""Cheap dropout has the distribution of nn.Dropout, and masks that repeat with the random state."""

import pytest
import torch
from torch import nn

from mixlingual.model.dropout import Dropout, drop, keep_mask, use_cheap_dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_entries_are_dropped_as_often_as_asked_and_the_mean_is_kept(probability):
    torch.manual_seed(1)
    dropped = drop(torch.ones(1_000_000), probability)
    assert (dropped == 0).double().mean() == pytest.approx(probability, abs=0.002)
    assert dropped.double().mean() == pytest.approx(1, abs=0.01)
    assert len(dropped.unique()) == 2


def test_entries_are_dropped_independently_of_their_neighbours():
    torch.manual_seed(2)
    dropped = ~keep_mask(torch.Size([1_000_000]), 1 << 15)
    for distance in (1, 2, 3, 4, 8, 64, 384):
        together = (dropped[:-distance] & dropped[distance:]).double().mean()
        assert together == pytest.approx(0.25, abs=0.003), distance
    assert not torch.equal(keep_mask(torch.Size([1000]), 1 << 15), keep_mask(torch.Size([1000]), 1 << 15))


def test_the_gradient_passes_where_the_value_passed():
    values = torch.randn(7, 5, dtype=torch.bfloat16, requires_grad=True)
    torch.manual_seed(3)
    dropped = drop(values, 0.4)
    dropped.backward(torch.ones_like(dropped))
    scale = 1 / (1 - round(0.4 * 65536) / 65536)
    assert torch.equal(values.grad != 0, dropped != 0)
    assert values.grad[dropped != 0].float().unique().tolist() == pytest.approx([scale], rel=0.01)
    assert dropped.dtype == torch.bfloat16
    torch.manual_seed(3)
    assert torch.equal(drop(values, 0.4), dropped)


def test_nothing_is_dropped_in_eval_mode_or_at_probability_0():
    values = torch.randn(4, 3)
    assert Dropout(0.5).eval()(values) is values
    assert torch.equal(drop(values, 0.0), values)


def test_every_dropout_of_a_module_is_replaced():
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.0)))
    use_cheap_dropout(module)
    assert [type(part) for part in module[1]] == [Dropout, Dropout]
    assert [part.p for part in module[1]] == [0.3, 0.0]
