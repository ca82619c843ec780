"""The dual encoder: one set of weights that turns queries and passages into vectors.

Shape suffixes: B texts, T tokens, D width of the embedding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from mixlingual.model.pooling import POOLING


class DualEncoder(nn.Module):
    """A Hugging Face encoder with pooling and a temperature, shared by queries and passages.

    Args:
        backbone: encoder whose output has `last_hidden_state`.
        pooling: key of `POOLING`.
        normalize: scale embeddings to length 1.
        temperature: divisor of scores in the loss; the starting value if it is learned.
        learn_temperature: make log(temperature) a parameter, as CLIP does (Radford et al. 2021).
    """

    log_temperature: nn.Parameter | None

    def __init__(
        self, backbone: PreTrainedModel, pooling: str, normalize: bool, temperature: float, learn_temperature: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.normalize = normalize
        self._fixed_temperature = temperature
        learned = nn.Parameter(torch.tensor(math.log(temperature))) if learn_temperature else None
        self.register_parameter("log_temperature", learned)

    @property
    def temperature(self) -> Tensor:
        """The divisor of scores, a float32 scalar; it has a gradient if it is learned."""
        if self.log_temperature is None:
            return torch.tensor(self._fixed_temperature)
        return self.log_temperature.float().exp()

    @property
    def dimension(self) -> int:
        """Width of the embedding."""
        return int(self.backbone.config.hidden_size)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """Embeddings embedding_BD in float32 of right-padded token ids and their mask, both int64."""
        output = self.backbone(input_ids=input_ids_BT, attention_mask=attention_mask_BT)
        embedding_BD = POOLING[self.pooling](output.last_hidden_state.float(), attention_mask_BT)
        return functional.normalize(embedding_BD, dim=-1) if self.normalize else embedding_BD


def parameter_counts(encoder: DualEncoder) -> dict[str, int]:
    """Weights of the backbone: `total`, and `non_embedding` without its lookup tables.

    The tables are those of tokens, positions and token types, as in Kaplan et al. 2020 (arXiv 2001.08361).
    Frozen weights count; a learned temperature does not.
    """
    total = sum(parameter.numel() for parameter in encoder.backbone.parameters())
    tables = {module.weight for module in encoder.backbone.modules() if isinstance(module, nn.Embedding)}
    return {"total": total, "non_embedding": total - sum(table.numel() for table in tables)}
