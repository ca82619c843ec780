"""Pooling equals plain loops over the real tokens."""

import pytest
import torch

from mixlingual.model.pooling import POOLING

HIDDEN_BTD = torch.arange(2 * 4 * 3, dtype=torch.float32).reshape(2, 4, 3) ** 2
MASK_BT = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])

REFERENCE = {
    "mean": lambda states: sum(states) / len(states),
    "cls": lambda states: states[0],
    "last": lambda states: states[-1],
}


@pytest.mark.parametrize("name", POOLING)
def test_pooling_sees_the_real_tokens_only(name):
    pooled_BD = POOLING[name](HIDDEN_BTD, MASK_BT)
    for row, length in enumerate((4, 2)):
        torch.testing.assert_close(pooled_BD[row], REFERENCE[name](list(HIDDEN_BTD[row, :length])))


def test_all_three_differ():
    assert len({tuple(pool(HIDDEN_BTD, MASK_BT)[1].tolist()) for pool in POOLING.values()}) == 3
