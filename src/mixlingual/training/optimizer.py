"""Steps a token table by row with AdamW: the numbers are those of dense AdamW, the cost is that of a step's rows.

Shape suffixes: V tokens of the vocabulary, D width, R rows, T steps done so far + 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter, functional
from torch.optim import AdamW
from torch.optim.adamw import adamw

from mixlingual.config.schema import OptimConfig
from mixlingual.model.token_rows import OpenRows, TokenRows
from mixlingual.model.transfer import moved

NEGLIGIBLE = 2.0**-24
"""This is half the spacing of float32 at 1."""

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW keeps its moments under these names."""

ROWS_TOGETHER = 1 << 14
"""So many rows are brought up to date at once, which bounds the memory that it takes."""


def make_optimizer(parameters: Iterable[Parameter], config: OptimConfig, tables: Sequence[TokenRows] = ()) -> RowAdamW:
    """Returns AdamW that decays matrices only: biases, norms and the temperature are left alone.

    Args:
        parameters: all weights; frozen ones are left out.
        config: the `optim` options.
        tables: modules whose weights, among `parameters`, are stepped by row.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return RowAdamW(groups, tables, lr=config.learning_rate, betas=(beta1, beta2), eps=config.eps)


class RowAdamW(AdamW):
    """Is fused AdamW (Loshchilov & Hutter, arXiv 1711.05101) in which rows of token tables wait until they are needed.

    A row without a gradient still moves under dense AdamW: by its momentum and by weight decay. That motion
    follows from the learning rates alone, and is made up for in one go when the row is next looked up
    (docs/decisions/0006-row-sparse-adamw.md). A step of the caller:

        optimizer.bring_up_to_date(table, ids_R)
        table.open_rows(ids_R)
        ...                                                   # forward and backward
        clip_grad_norm_(optimizer.tensors_with_gradients(), 1.0)
        optimizer.step()
        table.close_rows()

    The state of a table has, beside those of AdamW, `as_of_V` (int32), the step that a row and its moments are
    of, and `missed_T3` (float64), what a row of step t has missed since: see `_count_step`. Checkpoints hold
    rows as they are, so that a resumed run has the same bits; `finish` before the weights are read elsewhere.

    Args:
        groups: parameter groups as AdamW takes them, the weights of the tables among them.
        tables: modules whose weights are stepped by row; frozen ones are ignored.
        lr: learning rate.
        betas: decay rates of the moments; with tables, beta1 < sqrt(beta2).
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        tables: Sequence[TokenRows],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=eps, fused=True)
        self._tables = [table for table in tables if table.weight.requires_grad]
        assert not self._tables or betas[0] < math.sqrt(betas[1]), "TrainConfig.problems refuses such betas"
        self.register_step_post_hook(_step_tables)

    @torch.no_grad()
    def bring_up_to_date(self, table: TokenRows, ids_R: Tensor) -> None:
        """Gives the rows `ids_R` [R] (int64, distinct) what dense AdamW did to them since they last had a gradient.

        Nothing happens to a frozen table.
        """
        if not table.weight.requires_grad:
            return
        _, state = self._of(table)
        ids_R = moved(ids_R, table.weight.device)
        _put(table.weight, state, ids_R, *self._caught_up(table, ids_R))

    def _caught_up(self, table: TokenRows, ids_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the rows and their moments as dense AdamW would have them, and changes nothing."""
        group, state = self._of(table)
        ids_R = moved(ids_R, table.weight.device)
        beta1, beta2 = group["betas"]
        done = len(state["missed_T3"]) - 1
        as_of_R = state["as_of_V"][ids_R].long()
        missed_R1 = (done - as_of_R).double()[:, None]
        shrink_R1, drift_R1, eps_R1 = state["missed_T3"][as_of_R].split(1, dim=1)
        eps_R1 = torch.where(drift_R1 > 0, eps_R1 / drift_R1, group["eps"]).float()
        moment_RD, square_RD = (state[key].index_select(0, ids_R) for key in MOMENTS)
        motion_RD = (moment_RD / square_RD.sqrt().add_(eps_R1)).mul_(drift_R1.float())
        rows_RD = table.weight.index_select(0, ids_R).mul_(shrink_R1.float()).sub_(motion_RD)
        moment_RD.mul_((beta1**missed_R1).float())
        square_RD.mul_((beta2**missed_R1).float())
        return rows_RD, moment_RD, square_RD

    @torch.no_grad()
    def finished(self, weight: Tensor) -> Tensor:
        """Returns a weight as `finish` would leave it, and changes nothing: a copy for a table, else the weight."""
        for table in self._tables:
            if table.weight is weight:
                parts = torch.split(torch.arange(len(weight), device=weight.device), ROWS_TOGETHER)
                return torch.cat([self._caught_up(table, ids_R)[0] for ids_R in parts])
        return weight

    def finish(self) -> None:
        """Brings all rows up to date, for whoever reads the weights next; not for checkpoints."""
        for table in self._tables:
            ids_V = torch.arange(table.num_embeddings, device=table.weight.device)
            for ids_R in torch.split(ids_V, ROWS_TOGETHER):
                self.bring_up_to_date(table, ids_R)

    def tensors_with_gradients(self) -> list[Tensor]:
        """Returns the weights and open rows that a step would move, which are what to clip."""
        dense = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        rows = [table.opened.rows_RD for table in self._tables if table.opened is not None]
        return dense + [rows_RD for rows_RD in rows if rows_RD.grad is not None]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the state as AdamW does, but lets the state of rows keep its types, which AdamW would cast."""
        super().load_state_dict(state_dict)
        saved = [number for group in state_dict["param_groups"] for number in group["params"]]
        numbers = dict(zip((p for group in self.param_groups for p in group["params"]), saved))
        for weight in (table.weight for table in self._tables):
            for key in {"as_of_V", "missed_T3"} & self.state[weight].keys():
                kept = state_dict["state"][numbers[weight]][key]
                self.state[weight][key] = kept.to(weight.device, copy=True)

    def _of(self, table: TokenRows) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the parameter group and the state of a table."""
        weight = table.weight
        group = next(group for group in self.param_groups if any(p is weight for p in group["params"]))
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), device=weight.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
            state["as_of_V"] = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
            state["missed_T3"] = _with_row(torch.zeros(0, 3, dtype=torch.float64, device=weight.device))
        return group, state


@torch.no_grad()
def _step_tables(optimizer: RowAdamW, *_: Any) -> None:
    """Steps the open rows, after the dense weights of a step."""
    for table in optimizer._tables:
        group, state = optimizer._of(table)
        _count_step(group, state)
        if table.opened is not None and table.opened.rows_RD.grad is not None:
            _step_rows(table.weight, table.opened, group, state)


def _step_rows(weight_VD: Tensor, opened: OpenRows, group: dict[str, Any], state: dict[str, Any]) -> None:
    """Takes one AdamW step of the rows by the gradient of their open copy; table and copy both hold the result."""
    ids_R, rows_RD, gradient_RD = opened.ids_R, opened.rows_RD, opened.rows_RD.grad
    assert gradient_RD is not None
    moment_RD, square_RD = (state[key].index_select(0, ids_R) for key in MOMENTS)
    beta1, beta2 = group["betas"]
    adamw(
        [rows_RD], [gradient_RD], [moment_RD], [square_RD], [], [state["step"] - 1], fused=True, amsgrad=False,
        maximize=False, beta1=beta1, beta2=beta2, eps=group["eps"], lr=group["lr"], weight_decay=group["weight_decay"],
    )  # fmt: skip
    _put(weight_VD, state, ids_R, rows_RD, moment_RD, square_RD)


def _put(
    weight_VD: Tensor, state: dict[str, Any], ids_R: Tensor, rows_RD: Tensor, moment_RD: Tensor, square_RD: Tensor
) -> None:
    """Writes rows and their moments back, and notes that they are those of the last step."""
    weight_VD.index_copy_(0, ids_R, rows_RD)
    state["exp_avg"].index_copy_(0, ids_R, moment_RD)
    state["exp_avg_sq"].index_copy_(0, ids_R, square_RD)
    state["as_of_V"][ids_R] = len(state["missed_T3"]) - 1


def _count_step(group: dict[str, Any], state: dict[str, Any]) -> None:
    """Adds this step u, with its learning rate, to what rows without a gradient since step s have missed.

    Row s of `missed_T3` has, over the missed steps u = s + 1 .. t and with q_u = sqrt(1 - beta2^u):
        0: the product of 1 - lr_u decay, by which the weight shrinks;
        1: the sum of lr_u q_u / (1 - beta1^u) (beta1 / sqrt(beta2))^(u - s), each shrunk by the steps after u:
           how far the weight then moves along -m_s / (sqrt(v_s) + eps');
        2: that sum with each term times eps q_u / beta2^((u - s) / 2); over column 1 it is eps'.
    """
    beta1, beta2 = group["betas"]
    missed_T3 = state["missed_T3"]
    step = len(missed_T3)
    missed_T3 *= 1 - group["lr"] * group["weight_decay"]
    recent = min(step, horizon(beta1, beta2))
    gap_T = torch.arange(recent, 0, -1, dtype=torch.float64, device=missed_T3.device)
    root = math.sqrt(1 - beta2**step)
    motion_T = (beta1 / math.sqrt(beta2)) ** gap_T * (group["lr"] * root / (1 - beta1**step))
    missed_T3[-recent:, 1] += motion_T
    missed_T3[-recent:, 2] += motion_T * (group["eps"] * root) * beta2 ** (-gap_T / 2)
    state["missed_T3"] = _with_row(missed_T3)
    state["step"] += 1


def _with_row(missed_T3: Tensor) -> Tensor:
    """Returns the table with a row for the last step, since which nothing is missed."""
    longer_T3 = functional.pad(missed_T3, (0, 0, 0, 1))
    longer_T3[-1, 0] = 1.0
    return longer_T3


def horizon(beta1: float, beta2: float) -> int:
    """Returns after how many missed steps momentum moves a row by less than float32 resolves, at a constant rate."""
    ratio = beta1 / math.sqrt(beta2)
    return math.ceil(math.log(NEGLIGIBLE) / math.log(ratio)) if ratio > NEGLIGIBLE else 1
