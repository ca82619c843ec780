"""Lets a training step touch and differentiate only some rows of an encoder's token table.

Shape suffixes: V tokens of the vocabulary, D width, R rows open in a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlingual.model.transfer import moved
from mixlingual.records import MixlingualError


@dataclass(frozen=True, slots=True)
class OpenRows:
    """Holds the rows of a step.

    Attributes:
        ids_R: their token ids, ascending and distinct, int64.
        rows_RD: a copy of them, float32; the leaf in whose `grad` all gradients of the step add up.
        place_V: where a token is in `ids_R`, int32; -1 for those that are not.
        padding_place: where the padding token is in `ids_R`, if it is; its row gets no gradient.
    """

    ids_R: Tensor
    rows_RD: Tensor
    place_V: Tensor
    padding_place: int | None


class TokenRows(nn.Embedding):
    """Is an `nn.Embedding` whose weight gets no dense gradient.

    A dense gradient of a table is as large as the table, is filled with zeros at every backward pass, and
    makes the optimiser pass over all of it, for the few rows that the texts of a step hold. Here a step
    trains a copy of its rows, which `RowAdamW` writes back:

        table.open_rows(ids_R)
        ...                      # any number of forward and backward passes, whose gradients add up
        optimizer.step()
        table.close_rows()

    Outside of a step the weight is looked up as a constant. Names, shapes and values are those of
    `nn.Embedding`, as is its rule for `padding_idx`. Under data parallelism every process opens the same ids,
    and the caller averages `opened.rows_RD.grad`.
    """

    opened: OpenRows | None = None

    @classmethod
    def from_embedding(cls, embedding: nn.Module) -> TokenRows:
        """Takes over the weight, the very parameter, of a plain `nn.Embedding`.

        Raises:
            MixlingualError: it is of another class, whose lookup may do more.
        """
        if type(embedding) is not nn.Embedding:
            raise MixlingualError(
                f"the encoder looks tokens up in a {type(embedding).__name__}, which may do more than look up; "
                "row-sparse training knows nn.Embedding alone. Set optim.embeddings=dense."
            )
        table = cls(
            embedding.num_embeddings, embedding.embedding_dim, embedding.padding_idx, _weight=embedding.weight.detach()
        )
        table.weight = embedding.weight
        return table

    def open_rows(self, ids_R: Tensor) -> None:
        """Starts a step in which only tokens of `ids_R` [R] (int64, ascending, distinct) are looked up.

        The rows must be up to date (`RowAdamW.bring_up_to_date`). Nothing is opened if the weight is frozen. Ids on the
        CPU make nobody wait for a GPU.
        """
        if not self.weight.requires_grad:
            return
        padding = [] if self.padding_idx is None else (ids_R == self.padding_idx).nonzero().flatten().tolist()
        ids_R = moved(ids_R, self.weight.device)
        rows_RD = self.weight.detach().index_select(0, ids_R).requires_grad_()
        place_V = torch.full((self.num_embeddings,), -1, dtype=torch.int32, device=ids_R.device)
        place_V[ids_R] = torch.arange(len(ids_R), dtype=torch.int32, device=ids_R.device)
        self.opened = OpenRows(ids_R, rows_RD, place_V, padding_place=padding[0] if padding else None)

    def close_rows(self) -> None:
        """Ends the step; the gradient goes with it."""
        self.opened = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Embedding gives it
        """Returns the rows [..., D] of token ids [...], int64.

        Raises:
            IndexError: a token is not among the open rows (on a GPU: a device-side assertion).
        """
        if self.opened is None:
            return functional.embedding(input, self.weight.detach())
        return functional.embedding(self.opened.place_V[input], self.opened.rows_RD, self.opened.padding_place)
