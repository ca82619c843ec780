"""Matrices alone decay, and rows that wait end up where dense AdamW would have put them.

Shape suffixes: V tokens, D width, R rows of a step.
"""

import io
import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from mixlingual.config.contradictions import contradictions
from mixlingual.config.schema import OptimConfig, TrainConfig, TrainerConfig
from mixlingual.model.token_rows import TokenRows
from mixlingual.training.optimizer import RowAdamW, horizon, make_optimizer
from mixlingual.training.schedule import rate_factor

V, D, R, STEPS = 60, 8, 6, 250
PEAK = 1e-2
RARE, RARE_STEPS = 59, (31, 210)
"""This token is drawn in two steps only, further apart than momentum lasts."""


def test_only_matrices_decay():
    layer, frozen = nn.Linear(3, 3), nn.Linear(2, 2)
    frozen.requires_grad_(requires_grad=False)
    optimizer = make_optimizer([*layer.parameters(), *frozen.parameters()], OptimConfig(weight_decay=0.3))
    assert [(len(g["params"]), g["weight_decay"]) for g in optimizer.param_groups] == [(1, 0.3), (1, 0.0)]
    assert optimizer.param_groups[0]["params"][0] is layer.weight


class Toy:
    """Trains a table and a dense layer, by row (`rows`) or as dense AdamW does it."""

    def __init__(self, *, rows, weight_decay=0.01, **options):
        torch.manual_seed(3)
        embedding = nn.Embedding(V, D, padding_idx=1)
        self.rows = rows
        self.layer = nn.Linear(D, D)
        self.table = TokenRows.from_embedding(embedding) if rows else embedding
        self.parameters = [self.layer.weight, self.table.weight, self.layer.bias]
        groups = [
            {"params": self.parameters[:2], "weight_decay": weight_decay},
            {"params": self.parameters[2:], "weight_decay": 0.0},
        ]
        options = {"lr": PEAK, "betas": (0.9, 0.999), "eps": 1e-8} | options
        self.optimizer = RowAdamW(groups, [self.table], **options) if rows else AdamW(groups, fused=True, **options)

    def train(self, steps, clip=0.5):
        for step in steps:
            for group in self.optimizer.param_groups:
                group["lr"] = rate(step)
            torch.manual_seed(step)
            ids = draw(step)
            if self.rows:
                open_rows(self.optimizer, self.table, ids)
            (self.layer(self.table(ids)) * torch.randn(len(ids), D)).sum().backward()
            clip_grad_norm_(self.optimizer.tensors_with_gradients() if self.rows else self.parameters, clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.rows:
                self.table.close_rows()


def open_rows(optimizer, table, ids):
    optimizer.bring_up_to_date(table, ids.unique())
    table.open_rows(ids.unique())


def rate(step):
    """Warms up and falls linearly, with a pause of no rate."""
    return 0.0 if 60 <= step < 70 else PEAK * rate_factor(step, STEPS, 0.1, "linear")


def draw(step):
    """Draws the ids of a step, skewed to the low ones, with padding; from 45 on none is drawn but `RARE`."""
    drawn = (torch.rand(R) ** 3 * 45).long()
    return torch.cat([drawn, torch.tensor([1] + [RARE] * (step in RARE_STEPS))])


def furthest(ours, theirs):
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs))


TIGHT = 1e-5
"""Weights up to 3, whose float32 spacing is 2.4e-7, are rounded once per gap by us and at every step by dense AdamW."""

CASES = {
    "defaults": ({}, TIGHT),
    "no decay": ({"weight_decay": 0.0}, TIGHT),  # and no clipping
    "strong decay": ({"weight_decay": 1.0}, TIGHT),
    "betas of large batches": ({"betas": (0.9, 0.98)}, TIGHT),
    "short memory": ({"betas": (0.5, 0.9)}, TIGHT),
    "no momentum": ({"betas": (0.0, 0.99)}, TIGHT),
    # Roots of second moments are below eps here, where one eps for a whole gap is at its worst: see the decision.
    "large eps": ({"eps": 1e-3}, 5e-4),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_are_where_dense_adamw_puts_them(case):
    options, tolerance = CASES[case]
    clip = math.inf if case == "no decay" else 0.5
    ours, dense = Toy(rows=True, **options), Toy(rows=False, **options)
    assert horizon(0.9, 0.999) < RARE_STEPS[1] - RARE_STEPS[0]
    for first, last in pairwise([0, 1, 30, 211, STEPS]):
        before = dense.table.weight.detach().clone()
        ours.train(range(first, last), clip)
        dense.train(range(first, last), clip)
        ours.optimizer.finish()
        assert furthest(ours.parameters, dense.parameters) < tolerance
        assert furthest([before], [dense.table.weight]) > 20 * tolerance or last in (1, STEPS)


def test_a_resumed_run_has_the_same_bits():
    whole, first, second = (Toy(rows=True) for _ in range(3))
    whole.train(range(80))
    first.train(range(50))
    file = io.BytesIO()
    torch.save([first.optimizer.state_dict(), first.layer.state_dict(), first.table.state_dict()], file)
    file.seek(0)
    optimizer, layer, table = torch.load(file, weights_only=True)
    second.optimizer.load_state_dict(optimizer)
    second.layer.load_state_dict(layer)
    second.table.load_state_dict(table)
    second.train(range(50, 80))
    lazy = whole.table.weight.detach().clone()
    for toy in (whole, second, second):
        toy.optimizer.finish()  # twice is as once
    assert not torch.equal(lazy, whole.table.weight)
    assert furthest(whole.parameters, second.parameters) == 0
    state, resumed = (toy.optimizer.state[toy.table.weight] for toy in (whole, second))
    assert all(torch.equal(state[key], resumed[key]) and state[key].dtype == resumed[key].dtype for key in state)


def test_a_step_whose_rows_have_no_gradient_counts_as_missed():
    ours, dense = Toy(rows=True), Toy(rows=False)
    for toy in (ours, dense):
        toy.train(range(5))
    open_rows(ours.optimizer, ours.table, torch.arange(9))
    assert len(ours.optimizer.tensors_with_gradients()) == 0
    ours.optimizer.step()
    ours.optimizer.finish()
    dense.table.weight.grad = torch.zeros(V, D)
    dense.optimizer.step()
    assert furthest(ours.parameters, dense.parameters) < TIGHT


@pytest.mark.parametrize("touched_at", [1, 30, 2000])
def test_one_eps_for_a_gap_moves_a_row_too_little_within_the_bound(touched_at):
    """Against the sum over the missed steps in float64, elements with gradients of 1e-12 to 1."""
    beta1, beta2, eps, gap = 0.9, 0.999, 1e-3, 40
    table = TokenRows.from_embedding(nn.Embedding(2, 13, _weight=torch.zeros(2, 13)))
    groups = [{"params": [table.weight], "weight_decay": 0.0}]
    optimizer = RowAdamW(groups, [table], lr=1.0, betas=(beta1, beta2), eps=eps)
    for _ in range(touched_at - 1):
        optimizer.step()
    table.open_rows(torch.tensor([1]))
    gradient_D = torch.logspace(-12, 0, 13)
    (table(torch.tensor([1])) * gradient_D).sum().backward()
    optimizer.step()
    table.close_rows()
    before_D = table.weight[1].detach().double()
    for _ in range(gap):
        optimizer.step()
    optimizer.finish()
    moved_D = before_D - table.weight[1].detach().double()

    moment_D, root_D = (1 - beta1) * gradient_D.double(), math.sqrt(1 - beta2) * gradient_D.double()
    k_G = torch.arange(1, gap + 1, dtype=torch.float64)[:, None]
    q_G = (1 - beta2 ** (touched_at + k_G)).sqrt()
    weight_G = q_G / (1 - beta1 ** (touched_at + k_G)) * (beta1 / math.sqrt(beta2)) ** k_G
    eps_G = eps * q_G / beta2 ** (k_G / 2)
    exact_D = (weight_G * moment_D / (root_D + eps_G)).sum(0)
    mean = (weight_G * eps_G).sum() / weight_G.sum()
    variance = (weight_G * (eps_G - mean) ** 2).sum() / weight_G.sum()
    bound_D = variance / ((root_D + eps_G.min()) * (root_D + mean))
    short_D = 1 - moved_D / exact_D
    assert (short_D > -1e-6).all()
    assert (short_D < bound_D + 1e-6).all()


def test_the_frozen_table_is_left_alone():
    toy = Toy(rows=True)
    toy.table.weight.requires_grad_(requires_grad=False)
    optimizer = make_optimizer(toy.parameters, OptimConfig(), [toy.table])
    before = toy.table.weight.clone()
    open_rows(optimizer, toy.table, torch.arange(3))
    toy.layer(toy.table(torch.arange(3))).sum().backward()
    optimizer.step()
    optimizer.finish()
    assert torch.equal(toy.table.weight, before)
    assert toy.table.weight not in optimizer.state


def test_momentum_that_outlives_the_second_moment_is_refused():
    config = TrainConfig(trainer=TrainerConfig(steps=1), optim=OptimConfig(betas=[0.9, 0.81]))
    assert [path for path, _ in contradictions(config)] == ["optim.betas"]
    config.optim.embeddings = "dense"
    assert not list(contradictions(config))
